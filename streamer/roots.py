"""The feature files that an upload may name: those below an allow-list of roots, however the URI is spelled."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from schemas.errors import ConfigurationError, FeatureFileForbidden
from schemas.local_files import exists, is_folder

FILE: Final = "file"
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_PASSWORD: Final = re.compile(r"^[^/]*//[^/@]*:[^/]*@")
_MAX_QUOTED: Final = 200


@dataclass(frozen=True)
class Location:
    """A file that may be read: an absolute local path without symbolic links, or ``bucket/key`` of another scheme.

    A local path stands for bytes, as ``os.fsdecode`` writes them: names on disk need not be UTF-8.
    """

    scheme: str
    path: str


class FeatureRoots:
    """Resolves the URIs of uploads against the allowed roots.

    ``file`` paths are compared after every symbolic link is followed. Keys of other schemes are taken literally:
    ``a//b`` and ``a/b`` are two; a part ``..`` is refused.
    Raises ``ConfigurationError`` for a root that is not an absolute URI, or that contains a password, because error
    messages name roots.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._roots = tuple(roots)
        self._prefixes: dict[str, list[str]] = {}
        self._places: dict[str, Location] = {}
        for number, root in enumerate(self._roots, 1):
            if _PASSWORD.match(root):
                raise ConfigurationError(
                    f"feature root {number} contains a password; put it under streamer.store_options",
                    field="feature_roots",
                )
            try:
                place = _parse(root)
            except FeatureFileForbidden as error:
                raise ConfigurationError(f"feature root {error.message}", field="feature_roots") from error
            self._places[root] = place
            self._prefixes.setdefault(place.scheme, []).append(place.path.rstrip("/") + "/")

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset(self._prefixes)

    def unreadable_folders(self) -> dict[str, str]:
        """Why a local root cannot be read on this machine, for those that cannot, as they were given."""
        local = {root: Path(place.path) for root, place in self._places.items() if place.scheme == FILE}
        return {root: reason for root, folder in local.items() if (reason := _unreadable(folder)) is not None}

    def places(self) -> Mapping[str, Location]:
        """Where each root is, by its URI."""
        return self._places

    def resolve(self, uri: str) -> Location:
        """The file that ``uri`` names; ``FeatureFileForbidden`` if it lies outside every root."""
        place = _parse(uri)
        if place.scheme not in self._prefixes:
            schemes = ", ".join(sorted(self._prefixes)) or "none: send the features inline"
            raise FeatureFileForbidden(
                f"{_quote(uri)}: scheme {place.scheme!r} is not allowed here; allowed: {schemes}", field="features.uri"
            )
        if not any(place.path.startswith(prefix) for prefix in self._prefixes[place.scheme]):
            raise FeatureFileForbidden(
                f"{_quote(uri)} is outside the allowed roots; put the file under {', '.join(self._roots)}",
                field="features.uri",
            )
        return place


def _unreadable(folder: Path) -> str | None:
    if not is_folder(folder):
        return "it is not a folder" if exists(folder) else "there is no such folder"
    return None if os.access(folder, os.R_OK | os.X_OK) else "this user may not read it"


def _parse(uri: str) -> Location:
    match = _SCHEME.match(uri)
    if match is None:
        remedy = f"file://{uri}" if uri.startswith("/") else "file:///folder/clip.safetensors"
        raise FeatureFileForbidden(f"{_quote(uri)} has no scheme; write {_quote(remedy)}", field="features.uri")
    scheme = match.group(1).lower()
    if "\0" in uri or "::" in uri:
        raise FeatureFileForbidden(
            f"{_quote(uri)} chains file systems or contains NUL; name one file", field="features.uri"
        )
    rest = uri[match.end() :]
    return Location(scheme, _local_path(rest, uri) if scheme == FILE else _remote_path(rest, uri))


def _local_path(rest: str, uri: str) -> str:
    host, path = "", rest
    if rest.startswith("//"):
        host, slash, below = rest[2:].partition("/")
        path = slash + below
    try:
        # A URI carries the bytes of a name. The text that they would be in UTF-8 may not exist, or name another file.
        name = os.fsdecode(unquote_to_bytes(path.encode(errors="surrogateescape")))
    except UnicodeEncodeError as error:
        raise FeatureFileForbidden(
            f"{_quote(uri)} holds half of a character; escape the bytes of the name with %", field="features.uri"
        ) from error
    if host not in ("", "localhost") or "?" in rest or "#" in rest or not name.startswith("/") or "\0" in name:
        raise FeatureFileForbidden(
            f"{_quote(uri)} is not an absolute local path; write file:///folder/clip.safetensors, ?, # and % escaped",
            field="features.uri",
        )
    return os.path.realpath("/" + name.lstrip("/"))


def _remote_path(rest: str, uri: str) -> str:
    path = rest.removeprefix("//").lstrip("/")
    if not path or path == "." or ".." in path.split("/"):
        raise FeatureFileForbidden(f"{_quote(uri)} is empty, or contains '..'", field="features.uri")
    return path


def _quote(uri: str) -> str:
    return repr(uri if len(uri) <= _MAX_QUOTED else uri[:_MAX_QUOTED] + "…")

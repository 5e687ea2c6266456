"""Reads one file of bounded size from a disk or an object store."""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, Literal, Protocol, TypeVar

import fsspec
import stamina

from schemas.errors import (
    ConfigurationError,
    DancerankError,
    FeatureFileCorrupt,
    FeatureFileMissing,
    FeatureFileOversized,
    FeatureStoreUnavailable,
)
from streamer.roots import FILE, FeatureRoots, Location

_PERMANENT: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO}
)
"""Errors of a file that a retry does not resolve."""

_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
"""Schemes in which a name is a key and cannot refer to another place. Others have links (sftp), follow redirects to any
host and may send more than was requested (http), or open other file systems (zip, simplecache, local)."""

_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_COPIED_BYTES: Final = 1 << 20

Result = TypeVar("Result")


class MemoryReservation(Protocol):
    """Called with the size of a file in bytes before it is read; blocks until that much memory may be used."""

    def __call__(self, size_bytes: int) -> None: ...


class FeatureStore:
    """Reads files below an allow-list of roots.

    If a store does not answer, reading is retried for ``patience_s`` seconds, or until ``stopped`` returns true. Raises
    ``ConfigurationError`` for a root whose scheme is not that of an object store, or needs a package that is not
    installed.
    """

    def __init__(
        self,
        roots: FeatureRoots,
        *,
        max_bytes: int,
        patience_s: float,
        options: Mapping[str, Mapping[str, object]],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._roots = roots
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._options = options
        self._stopped = stopped
        for scheme in roots.schemes - {FILE}:
            if scheme not in _OBJECT_STORES:
                raise ConfigurationError(
                    f"feature roots of scheme {scheme!r} may refer to other places; allowed are {FILE}, "
                    f"{', '.join(sorted(_OBJECT_STORES))}",
                    field="feature_roots",
                )
            try:
                fsspec.get_filesystem_class(scheme)
            except (ImportError, ValueError) as error:
                raise ConfigurationError(
                    f"feature roots of scheme {scheme!r} cannot be read here: {error}", field="feature_roots"
                ) from error

    def check(self, uri: str) -> None:
        """Raise ``FeatureFileForbidden`` unless ``uri`` lies in a root."""
        self._roots.resolve(uri)

    def unreachable_roots(self) -> dict[str, str]:
        """Why a root cannot be read now, for those that cannot: local folders, and object stores, each asked once."""
        problems = self._roots.unreadable_folders()
        remote = {root: place for root, place in self._roots.places().items() if place.scheme != FILE}
        for root, place in remote.items():
            try:
                files = fsspec.filesystem(place.scheme, **self._options.get(place.scheme, {}))
                files.ls(place.path.rstrip("/"), detail=False)
            except Exception as error:  # noqa: BLE001 - object store clients raise types of their own
                problems[root] = f"{type(error).__name__}: {_text(error)}"
        return problems

    def read(self, uri: str, reserve: MemoryReservation) -> bytes:
        """The content of the file.

        Calls ``reserve`` with the size before it reads the content. Raises ``FeatureFileForbidden``,
        ``FeatureFileCorrupt``, ``FeatureFileMissing``, ``FeatureFileOversized`` or, if the store does not answer,
        ``FeatureStoreUnavailable``.
        """
        location = self._roots.resolve(uri)
        read = self._read_local if location.scheme == FILE else self._read_remote
        return self._patiently(location, uri, lambda: read(location, uri, reserve))

    @contextmanager
    def open_file(self, uri: str) -> Iterator[int]:
        """A descriptor of the file, open for reading from its start; what lies in an object store is first copied to a
        temporary file without a name.

        Raises as ``read`` does; what is there need not be a regular file.
        """
        location = self._roots.resolve(uri)
        is_local = location.scheme == FILE
        descriptor = self._patiently(
            location, uri, lambda: _opened(location.path) if is_local else self._copied(location, uri)
        )
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _copied(self, location: Location, uri: str) -> int:
        files = fsspec.filesystem(location.scheme, **self._options.get(location.scheme, {}))
        self._check_size(self._described(files, location, uri) or 0, uri)
        with TemporaryFile() as copy, files.open(location.path, "rb") as source:
            while chunk := source.read(_COPIED_BYTES):
                copy.write(chunk)
                self._check_size(copy.tell(), uri)
            copy.seek(0)
            return os.dup(copy.fileno())

    def _patiently(self, location: Location, uri: str, read: Callable[[], Result]) -> Result:
        """What ``read`` gives, tried again while the store does not answer."""
        try:
            for attempt in stamina.retry_context(
                on=self._is_retriable,
                attempts=None,
                timeout=self._patience_s,
                wait_initial=_FIRST_PAUSE_S,
                wait_max=_LONGEST_PAUSE_S,
                wait_jitter=_FIRST_PAUSE_S,
            ):
                with attempt:
                    return read()
        except DancerankError:
            raise
        except Exception as error:
            # Object store clients raise types of their own, so the boundary is the call, not the type.
            if _is_missing(error):
                remedy = _other_form(location) or "upload the file before the event"
                raise FeatureFileMissing(
                    f"{uri!r} cannot be read ({_text(error)}); {remedy}", field="features.uri"
                ) from error
            raise FeatureStoreUnavailable(
                f"{uri!r}: the store did not answer within {self._patience_s:g} s ({_text(error)}); check the store",
                field="features.uri",
            ) from error
        raise FeatureStoreUnavailable(f"{uri!r} was not tried", field="features.uri")  # pragma: no cover

    def _is_retriable(self, error: Exception) -> bool:
        return not (isinstance(error, DancerankError) or _is_missing(error) or self._stopped())

    def _read_local(self, location: Location, uri: str, reserve: MemoryReservation) -> bytes:
        handle = _opened(location.path)
        with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise FeatureFileMissing(f"{uri!r} is not a regular file; name one file", field="features.uri")
            self._check_size(status.st_size, uri)
            reserve(status.st_size)
            return file.read(status.st_size)

    def _read_remote(self, location: Location, uri: str, reserve: MemoryReservation) -> bytes:
        files = fsspec.filesystem(location.scheme, **self._options.get(location.scheme, {}))
        size = self._described(files, location, uri)
        self._check_size(size or 0, uri)
        bound = self._max_bytes + 1 if size is None else size
        reserve(bound)
        content: bytes = files.cat_file(location.path, start=0, end=bound) if bound else b""
        self._check_size(len(content), uri)
        return content

    def _described(self, files: Any, location: Location, uri: str) -> int | None:
        """The size in bytes, if the store states it."""
        info = files.info(location.path)
        if info.get("type") == "directory":
            raise FeatureFileMissing(f"{uri!r} is a folder; name one file", field="features.uri")
        encoding = info.get("contentEncoding") or info.get("ContentEncoding") or "identity"
        if encoding != "identity":
            raise FeatureFileCorrupt(
                f"{uri!r} is stored with Content-Encoding {encoding}, which stores undo without a limit on the size; "
                "store the file as it is",
                field="features.uri",
            )
        size: int | None = info.get("size")
        return size

    def _check_size(self, size_bytes: int, uri: str) -> None:
        if size_bytes > self._max_bytes:
            raise FeatureFileOversized(
                f"{uri!r} has {size_bytes} bytes, over the limit of {self._max_bytes}; shorten the clip or use float16",
                field="features.uri",
            )


def _opened(path: str) -> int:
    """Open a path that has no symbolic links; raises ELOOP or ENOTDIR if a part of it has become one.

    The path was resolved earlier. Opening it part by part keeps a user who can write below a root from replacing a part
    by a link in between.
    """
    *folders, name = Path(path).parts
    held = os.open(folders[0], _FOLDER)
    try:
        for folder in folders[1:]:
            inner = os.open(folder, _FOLDER, dir_fd=held)
            os.close(held)
            held = inner
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=held)
    finally:
        os.close(held)


def _other_form(location: Location) -> str | None:
    """The remedy if a file of the same letters is there in Unicode's other form: macOS writes NFD, most others NFC."""
    if location.scheme != FILE:
        return None
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    for form in forms:
        path = unicodedata.normalize(form, location.path)
        if path != location.path and os.path.lexists(path):
            return f"a file is there under the same name in the Unicode form {form}; write {Path(path).as_uri()}"
    return None


def _is_missing(error: Exception) -> bool:
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    return isinstance(error, OSError) and error.errno in _PERMANENT


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__

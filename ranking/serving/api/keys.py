"""API keys: a file of hashes, one JSON object a line, that may change while the service runs.

A key is 256 random bits, so its hash needs neither salt nor a slow function: there is no list of likely keys to try,
and no two keys are alike. BLAKE2b over it is enough, and costs a request a microsecond.
"""

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from schemas.decoder_messages import of_msgspec
from schemas.errors import ConfigurationError
from schemas.escaping import shortened
from schemas.local_files import not_json, read_file

log = logging.getLogger(__name__)

KEY_BYTES: Final = 32
SETTING: Final = "server.api_keys"
_PREFIX: Final = "dr_"
_DIGEST_BYTES: Final = 32

_NAME: Final = r"^[A-Za-z0-9._-]{1,64}\Z"
_HEXADECIMAL: Final = r"^[0-9a-f]{64}\Z"
_PATTERNS: Final = {
    _NAME: "1 to 64 letters, digits, dots, hyphens and underscores",
    _HEXADECIMAL: "64 hexadecimal digits in lower case",
}
KeyName = Annotated[str, msgspec.Meta(pattern=_NAME)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as the file holds it. ``digest``: its BLAKE2b-256 in hexadecimal.

    ``requests_per_minute``: its own limit; absent: that of the settings. ``burst``: requests that may come at once;
    absent: a minute's worth.
    """

    name: KeyName
    digest: Annotated[str, msgspec.Meta(pattern=_HEXADECIMAL)]
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    requests_per_minute: Count | None = None
    burst: Count | None = None


class KeyRing:
    """The keys of a file, read again whenever it changes.

    Raises ``ConfigurationError`` for a file that cannot be read at first. A later version that cannot be read is logged
    and the version before it stays active, so that a slip of an editor does not lock all clients out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = _version(path)
        self._keys = tuple((key, bytes.fromhex(key.digest)) for key in read_keys(path))

    def find(self, secret: str) -> ApiKey | None:
        """The key that ``secret`` is, if any; how long that takes says nothing about any of them."""
        self._follow_the_file()
        digest = _digest(secret)
        found = None
        for key, expected in self._keys:
            if hmac.compare_digest(expected, digest):
                found = key
        return found

    def keys(self) -> Sequence[ApiKey]:
        return [key for key, _ in self._keys]

    def _follow_the_file(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = tuple((key, bytes.fromhex(key.digest)) for key in read_keys(self._path))
        except ConfigurationError as error:
            log.error("the active API keys stay unchanged: %s", error)
        else:
            log.info("%d active API keys, read from %s", len(self._keys), self._path)


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file. Raises ``ConfigurationError`` naming file and line; no error holds what a line says."""
    try:
        lines = read_file(path).splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"{path} ({SETTING}): cannot be read ({error.strerror}); dancerank keys create makes it", field=SETTING
        ) from error
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key = _decoded(line, f"{path} ({SETTING}): line {number}")
        if key.name in keys:
            raise ConfigurationError(
                f"{path} ({SETTING}): line {number}: there is a key called {key.name} above; give it another name",
                field=SETTING,
            )
        keys[key.name] = key
    return list(keys.values())


def create_key(
    path: Path, name: str, *, created: datetime, requests_per_minute: int | None = None, burst: int | None = None
) -> str:
    """Add a key to a file, which is made if it is absent, and return the key itself: only its hash is kept.

    Raises ``ConfigurationError`` for a name that is taken or a value that is not allowed.
    """
    secret = _PREFIX + secrets.token_urlsafe(KEY_BYTES)
    added = {
        "name": name,
        "digest": _digest(secret).hex(),
        "created": created.astimezone(UTC).replace(microsecond=0),
        "requests_per_minute": requests_per_minute,
        "burst": burst,
    }
    try:
        key = msgspec.convert(added, ApiKey)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"no key was created: {of_msgspec(str(error), _PATTERNS)}") from error

    def add(keys: list[ApiKey]) -> list[ApiKey]:
        if any(other.name == name for other in keys):
            raise ConfigurationError(f"{path}: there is a key called {name}; revoke it first, or choose another name")
        return [*keys, key]

    _change(path, add)
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of a file. Raises ``ConfigurationError`` if none is called so."""

    def without(keys: list[ApiKey]) -> list[ApiKey]:
        remaining = [key for key in keys if key.name != name]
        if len(remaining) == len(keys):
            raise ConfigurationError(f"{path}: no key is called {name}; dancerank keys list shows those there are")
        return remaining

    _change(path, without)


def _digest(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()


def _decoded(line: bytes, place: str) -> ApiKey:
    try:
        return msgspec.json.decode(line, type=ApiKey)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = not_json(line) or shortened(of_msgspec(str(error), _PATTERNS))
        raise ConfigurationError(f"{place}: {problem}; write keys with dancerank keys create", field=SETTING) from error


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _change(path: Path, change: Callable[[list[ApiKey]], list[ApiKey]]) -> None:
    """Replace a file whole: a service that reads it meanwhile sees the old version or the new one."""
    try:
        path = path.resolve()
        with _exclusive(path.parent):
            keys = change(read_keys(path) if path.exists() else [])
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                try:
                    file.write(b"".join(msgspec.json.encode(key) + b"\n" for key in keys))
                    if path.exists():
                        os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
    except OSError as error:
        raise ConfigurationError(f"{path} ({SETTING}): cannot be written ({error.strerror})", field=SETTING) from error


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two commands at once do not lose each other's key."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

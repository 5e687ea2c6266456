"""Files that a person names: opened without waiting for a pipe, with reasons in words if they cannot be read."""

import codecs
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from schemas.escaping import shortened

T = TypeVar("T")

_CUT_OFF: Final = "Input data was truncated"
"""What msgspec says of a document that ends before it is complete."""
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def exists(path: Path) -> bool:
    """Whether anything is at ``path``. Where that cannot be asked, as of a name that is too long, nothing is."""
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Whether a file is at ``path``; likewise."""
    return stat.S_ISREG(_mode(path) or 0)


def is_folder(path: Path) -> bool:
    """Whether a folder is at ``path``; likewise."""
    return stat.S_ISDIR(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # the latter of a NUL character
        return None


def open_file(path: Path) -> BinaryIO:
    """The file at ``path``, to read. A pipe is read as far as its writers wrote; a pipe without any is empty, where the
    common way to open it waits.

    Raises ``OSError`` with a ``strerror`` for what cannot be opened, and for folders, devices and sockets.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError as error:  # Python's own, of a NUL character
        raise OSError(errno.EINVAL, "its name holds a NUL character", str(path)) from error
    status = os.fstat(descriptor)
    is_null = os.path.samestat(status, Path(os.devnull).stat())
    if not (is_null or stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is not a file", str(path))
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def check_is_file(path: Path) -> None:
    """For readers that open ``path`` themselves or need more than bytes in order: raises ``OSError`` as ``open_file``
    does, and for a pipe.
    """
    with open_file(path) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ESPIPE, "it is a pipe, not a file", str(path))


def read_file(path: Path) -> bytes:
    """The bytes of the file at ``path``. Raises ``OSError`` as ``open_file`` does, and for a pipe that is empty."""
    with open_file(path) as file:
        content = file.read()
        if not content and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ENODATA, "it is a pipe into which nothing is written", str(path))
    return content


def read_text(path: Path) -> str:
    """The text of the file at ``path``, without a byte-order mark. Raises ``OSError`` as ``read_file`` does, and for
    bytes that are not UTF-8.
    """
    content = read_file(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, not_utf8(content, error), str(path)) from None


def read_json(path: Path, as_type: type[T], what: str) -> T:
    """The JSON document at ``path``. Raises ``ValueError`` with a clause for one that cannot be read, which it calls
    ``what``, that is not JSON, or not of ``as_type``.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise ValueError(f"no readable {what} ({error.strerror})") from error
    if (wrong := not_json(content)) is not None:
        raise ValueError(wrong)
    try:
        return msgspec.json.decode(content, type=as_type)
    except msgspec.ValidationError as error:
        raise ValueError(shortened(str(error))) from error


def not_utf8(content: bytes, error: UnicodeDecodeError) -> str:
    """Why ``content`` is not UTF-8, and the remedy, as a clause."""
    if content.startswith(_UTF16):
        return "it is UTF-16; save it as UTF-8"
    line = content.count(b"\n", 0, error.start) + 1
    return f"byte {error.start} (line {line}) is not UTF-8; save it as UTF-8"


def not_json(content: bytes) -> str | None:
    """Why ``content`` is not a JSON document, and where, as a clause; ``None`` if it is."""
    if not content.strip():
        return "it is empty"
    try:
        content.decode()
        msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        return not_utf8(content, error)
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        if str(error) == _CUT_OFF:
            lines = content.count(b"\n") + 1
            return f"it is truncated: it ends after {len(content):,} bytes, on line {lines}"
        return f"it is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return None

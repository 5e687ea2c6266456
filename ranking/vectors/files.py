"""Files of snapshots: checksums, and writes that have reached the disk."""

import hashlib
import os
from pathlib import Path

from ranking.vectors.manifest import SnapshotFile
from schemas.errors import SnapshotError
from schemas.escaping import shortened

_READ_BYTES = 1 << 20


def listed(path: Path) -> SnapshotFile:
    """What a manifest says of a file. Raises ``OSError``."""
    with path.open("rb") as file:
        return SnapshotFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def check(path: Path, written: SnapshotFile) -> None:
    """Raises ``SnapshotError`` naming the file unless it is the one that was written."""
    try:
        intact = path.stat().st_size == written.size_bytes and listed(path) == written
    except (OSError, ValueError) as error:  # a name with a NUL byte raises ValueError
        raise SnapshotError(f"{shortened(str(path))}: cannot be read ({shortened(str(error))})") from error
    if not intact:
        raise SnapshotError(f"{path}: not the bytes that were written (length or checksum differs)")


def check_beginning(path: Path, written: SnapshotFile) -> None:
    """Raises ``SnapshotError`` naming the file unless it begins with what was written; more may follow."""
    try:
        digest, left = hashlib.sha256(), written.size_bytes
        with path.open("rb") as file:
            while content := file.read(min(left, _READ_BYTES)):
                digest.update(content)
                left -= len(content)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{shortened(str(path))}: cannot be read ({shortened(str(error))})") from error
    if left or digest.hexdigest() != written.sha256:
        raise SnapshotError(f"{path}: does not begin with the bytes that were written (length or checksum differs)")


def sync(path: Path) -> None:
    """Return once the file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Return once the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

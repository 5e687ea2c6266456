"""Files that each snapshot appends its changes to, so that what it writes does not depend on what there is."""

import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ranking.vectors.files import check_beginning
from ranking.vectors.manifest import SnapshotFile

_LENGTH_BYTES = 8
_MOST_WASTED_BYTES = 1 << 20


class ChangeLog:
    """Blocks of bytes, appended to a file of the folder that all snapshots share.

    A snapshot holds the beginning of the file up to what it appended itself; what lies beyond belongs to a later one,
    or to one that failed. ``add`` and ``rewrite`` change nothing on the disk; ``write`` appends, and then ``commit`` or
    ``roll_back`` says whether a snapshot holds it.
    """

    def __init__(self, kind: str) -> None:
        """An empty one; ``kind`` begins its name."""
        self._kind = kind
        self.name = f"{kind}-{uuid.uuid4().hex}"
        self._committed = SnapshotFile(0, hashlib.sha256().hexdigest())
        self._digest = hashlib.sha256()
        self._written: SnapshotFile | None = None
        self._pending: list[bytes] = []
        self._first_bytes = 0

    @classmethod
    def restored(cls, kind: str, name: str, content: bytes) -> "ChangeLog":
        """One whose beginning a snapshot holds."""
        made = cls(kind)
        made.name = name
        made._digest.update(content)
        made._committed = SnapshotFile(len(content), made._digest.hexdigest())
        made._first_bytes = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big") if content else 0
        return made

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever added, so that there is no file."""
        return not (self._committed.size_bytes or self._pending)

    @property
    def pending_bytes(self) -> int:
        """What ``write`` will append."""
        return sum(map(len, self._pending))

    @property
    def is_mostly_outdated(self) -> bool:
        """Whether more was appended than it began with: then writing it again costs each change no more than once."""
        appended = self._committed.size_bytes + self.pending_bytes - self._first_bytes
        return appended > max(self._first_bytes, _MOST_WASTED_BYTES)

    def is_in(self, folder: Path) -> bool:
        """Whether all that snapshots hold of it is there, by its size."""
        with suppress(OSError):
            size_bytes = (folder / self.name).stat().st_size if self._committed.size_bytes else 0
            return size_bytes >= self._committed.size_bytes
        return False

    def add(self, block: bytes) -> None:
        """Have the next snapshot append a block; an empty one is left out."""
        if block:
            self._pending.append(framed(block))

    def rewritten(self, folder: Path, merge: Callable[[Sequence[bytes]], bytes]) -> "ChangeLog":
        """A log of one block, ``merge`` of all blocks. Raises ``SnapshotError`` if the file is damaged, ``OSError``."""
        content = b""
        if self._committed.size_bytes:
            check_beginning(folder / self.name, self._committed)
            with (folder / self.name).open("rb") as file:
                content = file.read(self._committed.size_bytes)
        made = ChangeLog(self._kind)
        made.add(merge(blocks(content + b"".join(self._pending))))
        made._first_bytes = made.pending_bytes
        return made

    def write(self, folder: Path) -> SnapshotFile:
        """Append what is pending; returns the beginning that a snapshot holds with it. Raises ``OSError``."""
        digest, size_bytes = self._digest.copy(), self._committed.size_bytes
        with (folder / self.name).open("r+b" if size_bytes else "wb") as file:
            file.truncate(size_bytes)
            file.seek(size_bytes)
            for content in self._pending:
                file.write(content)
                digest.update(content)
                size_bytes += len(content)
            file.flush()
            os.fsync(file.fileno())
        self._written = SnapshotFile(size_bytes, digest.hexdigest())
        self._next_digest = digest
        return self._written

    def commit(self) -> None:
        """A snapshot holds what was written."""
        if self._written is not None:
            self._committed, self._digest, self._written = self._written, self._next_digest, None
            self._first_bytes = self._first_bytes or len(next(iter(self._pending), b""))
            self._pending = []

    def roll_back(self, folder: Path) -> None:
        """No snapshot holds what was written; it stays pending."""
        self._written = None
        with suppress(OSError):
            if self._committed.size_bytes:
                os.truncate(folder / self.name, self._committed.size_bytes)
            else:
                (folder / self.name).unlink()


def framed(block: bytes) -> bytes:
    """A block as it stands in a log: with its length before it."""
    return len(block).to_bytes(_LENGTH_BYTES, "big") + block


def blocks(content: bytes) -> list[bytes]:
    """The blocks of a log, in the order in which they were added. Raises ``ValueError``."""
    found: list[bytes] = []
    start = 0
    while start < len(content):
        end = start + _LENGTH_BYTES + int.from_bytes(content[start : start + _LENGTH_BYTES], "big")
        if end > len(content):
            raise ValueError("it ends in the middle of a block")
        found.append(content[start + _LENGTH_BYTES : end])
        start = end
    return found

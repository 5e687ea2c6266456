"""Small snapshots, and segments whose disk fails."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from ranking.vectors.manifest import MANIFEST, Position, SnapshotManifest
from ranking.vectors.snapshots import read_snapshot, write_snapshot

Write = Callable[[Path], None]


def manifest(offset: int) -> SnapshotManifest:
    position = Position("t", 0, offset)
    return SnapshotManifest(index="numpy", positions=(position,), spaces=(), deleted=0, created_at_ms=1)


def files(offset: int) -> dict[str, bytes]:
    return dict.fromkeys(("a.bin", "b.bin"), f"content at {offset}".encode())


@dataclass(frozen=True)
class SegmentContent:
    """``SegmentFile`` of bytes in memory."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def write(self, path: Path) -> None:
        path.write_bytes(self.content)


class Segment(SegmentContent):
    """Counts how often each content is written."""

    written: ClassVar[Counter[bytes]] = Counter()

    def write(self, path: Path) -> None:
        self.written[self.content] += 1
        super().write(path)


class Huge(SegmentContent):
    """Larger than any disk."""

    @property
    def size_bytes(self) -> int:
        return 1 << 60


class Failing(SegmentContent):
    """The disk refuses its second half."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(bytes(1 << 20))
        self.__dict__["error"] = error

    def write(self, path: Path) -> None:
        super().write(path)
        raise self.__dict__["error"]


def segments_of(folder: Path) -> list[str]:
    return list(msgspec.json.decode((folder / MANIFEST).read_bytes())["segments"])


def segments(*names: str) -> dict[str, Segment]:
    return {name: Segment(f"segment {name}".encode()) for name in names}


def write(root: Path, offset: int) -> Path:
    """A snapshot with two files, a segment that it shares with others and one of its own."""
    return write_snapshot(root, manifest(offset), files(offset), segments("shared", f"own-{offset}"))


def offset_in(root: Path) -> int | None:
    """The offset of the snapshot that is found; its files belong to it."""
    found = read_snapshot(root)
    if found is None:
        return None
    offset = found.manifest.positions[0].next_offset
    assert all((found.folder / name).read_text() == f"content at {offset}" for name in ("a.bin", "b.bin"))
    assert {name: path.read_text() for name, path in found.segments.items()} == {
        name: f"segment {name}" for name in ("shared", f"own-{offset}")
    }
    return offset

"""FAISS behind the index port: live indexes, see ``ranking.vectors.backends.live``."""

from collections.abc import Mapping
from pathlib import Path

from ranking.vectors.backends.live.background import MergeThreads
from ranking.vectors.backends.live.freezing import thawed
from ranking.vectors.backends.live.gpu import gpu_copies
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.live.segment_files import SegmentFolder
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.port import RowNumbers, reading


class FaissBackend:
    """``SnapshotBackend`` of ``LiveIndex``.

    ``threads``: how many each search may use. ``folder``: where segments are kept, in a folder that goes with the
    process; without, in the system's temporary one. A folder on the disk of the snapshots lets these link to the
    segments instead of copying them. Merges run in the background, or with ``background=False`` within the changes.
    Where FAISS has a GPU, segments with codes are copied to it and searched there.
    """

    name = "faiss"

    def __init__(
        self, *, threads: int = 1, folder: Path | None = None, shape: Shape | None = None, background: bool = True
    ) -> None:
        self._threads = threads
        self._folder = SegmentFolder(folder)
        self._shape = shape
        self._merges = MergeThreads() if background else None
        self._copies = gpu_copies()

    def create(self, dim: int, numbers: RowNumbers) -> LiveIndex:
        return LiveIndex(
            dim,
            numbers,
            folder=self._folder,
            merges=self._merges,
            shape=self._shape,
            threads=self._threads,
            copy=None if self._copies is None else self._copies.copy,
        )

    def rest(self) -> None:
        """Give up merges and wait until none goes on; the next change of an index starts them again."""
        if self._merges is not None:
            self._merges.rest()

    def read(self, state: bytes, segments: Mapping[str, Path], dim: int, numbers: RowNumbers) -> LiveIndex:
        made, held = self.create(dim, numbers), thawed(state, segments, dim)
        with reading(f"index {self.name}"):
            made.restore(held.segments, held.rows, held.vectors)
        return made

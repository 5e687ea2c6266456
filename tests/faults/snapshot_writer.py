"""What a process does that applies a log to an index view and saves snapshots without a pause, until it is killed."""

from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, positions_after
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.ranking.examples import NOW_MS, at, deletion, logged, result, scored_clip

SHAPE = Shape(capacity=32, exact_below=256, coded_from=64)
"""Small parts, so that they are sealed and merged all the time."""
_WIDTH = 8
_CLIPS = 400


def opened() -> IndexView:
    return IndexView(FaissBackend(shape=SHAPE), Observer(), ManualClock(start_ms=NOW_MS))


def entries(offset: int) -> list[LogEntry]:
    """The records at an offset: a clip, which may have been scored before, and now and then the deletion of another."""
    rng = np.random.default_rng(offset)
    name = f"clip{rng.integers(_CLIPS):04d}"
    modalities = {m: result(rng.normal(size=_WIDTH)) for m in (Modality.SKELETAL, Modality.SCENIC)}
    clip = scored_clip(name, modalities=modalities, uploaded_at_ms=NOW_MS + offset)
    found: list[LogEntry] = [*logged([clip], start=offset)]
    if offset % 10 == 0:
        found.append(deletion(f"clip{rng.integers(_CLIPS):04d}", offset))
    return found


def apply(view: IndexView, start: int, end: int) -> None:
    batch = [entry for offset in range(start, end) for entry in entries(offset)]
    view.apply(batch, positions_after(entry.record for entry in batch))


class NeverSaved:
    """A view that follows the log in memory alone."""

    def __init__(self) -> None:
        self._view, self._end = opened(), 0

    def content(self, end: int) -> str:
        """Hash of what it holds at an offset, which must not be less than the one before."""
        assert end >= self._end
        if end > self._end:
            apply(self._view, self._end, end)
        self._end = end
        return self._view.content()


def offset_of(view: IndexView) -> int:
    return view.positions([at()]).get(at(), 0)


def write(folder: Path, written: Connection) -> None:
    """Continues from the newest snapshot, and sends the offset after each one that it has written."""
    view = opened()
    view.restore(folder)
    while True:
        start = offset_of(view)
        apply(view, start, start + 20)
        view.save(folder)
        written.send(offset_of(view))

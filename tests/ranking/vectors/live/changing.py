"""A process that changes an index view and saves snapshots, until it is killed: ``python -m … FOLDER``."""

import sys
from itertools import count
from pathlib import Path

import numpy as np

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import TopicPartition
from tests.ranking.examples import DELETIONS, apply_entries, at, deletion, logged, result, scored_clip

SHAPE = Shape(capacity=8, ratio=2, exact_below=60, coded_from=16, scanned=4)
_CLIPS = 150
_SAVED_EVERY = 12


def entry(offset: int) -> LogEntry:
    """The log's record at ``offset``: an upload, or, of a few clips, a deletion."""
    rng = np.random.default_rng(offset)
    clip_id = f"c{rng.integers(_CLIPS)}"
    if clip_id.endswith("7") and rng.random() < 0.4:
        return deletion(clip_id, offset)
    modalities = {Modality.SKELETAL: result(rng.normal(size=8)), Modality.SCENIC: result(rng.normal(size=4))}
    return logged([scored_clip(clip_id, modalities=modalities, uploaded_at_ms=offset)], start=offset)[0]


def view(folder: Path) -> IndexView:
    return IndexView(FaissBackend(shape=SHAPE, folder=folder), Observer(), ManualClock())


def reached(held: IndexView) -> int:
    """The next offset: uploads and deletions are two topics that share one numbering here."""
    return max(held.positions([at(), TopicPartition(DELETIONS, 0)]).values(), default=0)


def main(folder: Path) -> None:
    changing = view(folder)
    changing.restore(folder)
    for offset in count(reached(changing)):
        apply_entries(changing, entry(offset))
        if offset % _SAVED_EVERY == 0:
            changing.save(folder)
        sys.stdout.write(f"{offset}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What an event costs the index view, in time and in bytes of snapshots, as its clips grow in number.

    python -m benchmarks.index_view [--quick | --full] [--rounds 12] [--width 64] [--index faiss]

One view for each size, all clips in one challenge: 10,000 and 100,000, with ``--full`` 1,000,000 too, with ``--quick``
2,000 and 20,000. In each round every view, in turn, applies new clips, clips scored again and deletions, in batches,
and saves a snapshot; a noisy machine disturbs all alike. Ratios are of means; that of the
time is of medians too, because a merge of large segments, which is rare, is in one round and not in the others.
*Bytes* are those of the files that were not there before, and what others grew by. *Catalogue* leaves out the vectors:
it is what the view itself writes. At the end each view is restored.

The cost of an event should be the same at every size: a ratio of largest to smallest of at most 1.5.
"""

import argparse
import itertools
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from dancerank.console.progress import counted
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.selection import open_backend
from ranking.vectors.view import IndexView
from ranking.views.log_records import DeletedRecord, LogEntry, positions_after
from schemas.clock import SystemClock
from schemas.events import ClipDeleted, ClipScored, ModalityResult, embedding_bytes
from schemas.modalities import PAPER_MODALITIES
from schemas.observation import Observer
from schemas.ports import Record, ScoredRecord

SIZES: Final = {"quick": (2_000, 20_000), "usual": (10_000, 100_000), "full": (10_000, 100_000, 1_000_000)}
BATCH: Final = 500
BATCHES: Final = 4
"""In each round."""
SCORED_AGAIN: Final = 0.2
DELETED: Final = 0.1
"""Of the events, how many are not a new clip."""
RATIO: Final = 1.5
RESTART_S: Final = 10.0
_DISTINCT: Final = 512
_NOW_MS: Final = 1_700_000_000_000
_DANCERS_PER_CLIP: Final = 0.2


Average = Callable[[Sequence[float]], float]


class Round(NamedTuple):
    """What one view took: microseconds an event, bytes an event that a snapshot writes, milliseconds to save it."""

    apply_us: float
    bytes: float
    catalogue_bytes: float
    save_ms: float


class Events:
    """An endless log of one challenge: new clips, clips scored again and deletions."""

    def __init__(self, width: int, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        vectors = self._rng.standard_normal((_DISTINCT, width))
        self._results = [ModalityResult(0.5, 0.25, embedding_bytes(vector)) for vector in vectors]
        self._offsets, self._clips = itertools.count(), 0

    def new(self, count: int) -> list[LogEntry]:
        """Clips that were never seen."""
        self._clips += count
        return [self._scored(number) for number in range(self._clips - count, self._clips)]

    def mixed(self, count: int) -> list[LogEntry]:
        """Mostly new clips, some scored again, some deleted."""
        again, deleted = round(SCORED_AGAIN * count), round(DELETED * count)
        old = self._rng.choice(self._clips, again + deleted, replace=False).tolist()
        return [
            *self.new(count - again - deleted),
            *map(self._scored, old[:again]),
            *map(self._deleted, old[again:]),
        ]

    def _scored(self, number: int) -> ScoredRecord:
        offset = next(self._offsets)
        places = self._rng.integers(0, _DISTINCT, len(PAPER_MODALITIES)).tolist()
        clip = ClipScored(
            clip_id=f"{number:032x}",
            dancer_id=f"dancer-{int(number * _DANCERS_PER_CLIP)}",
            challenge_id="challenge",
            uploaded_at_ms=_NOW_MS + offset,
            duration_s=10.0,
            generation="g1",
            modalities={m: self._results[place] for m, place in zip(PAPER_MODALITIES, places, strict=True)},
            missing=(),
            fused_score=0.5,
            scored_at_ms=_NOW_MS + offset,
        )
        return ScoredRecord(Record("clips.scored", 0, offset, _NOW_MS, None, b""), clip)

    def _deleted(self, number: int) -> DeletedRecord:
        record = Record("clips.deleted", 0, next(self._offsets), _NOW_MS, None, b"")
        return DeletedRecord(record, ClipDeleted(clip_id=f"{number:032x}", reason=""))


class Grown:
    """A view of so many clips, with a folder of its own for its snapshots."""

    def __init__(self, index: str, clips: int, width: int, folder: Path) -> None:
        self._index, self.clips, self.folder = index, clips, folder
        self.events = Events(width)
        before = _resident_bytes()
        self.view = self.opened()
        for start in counted(range(0, clips, BATCH), f"{clips:,} clips", -(-clips // BATCH)):
            _apply(self.view, self.events.new(min(BATCH, clips - start)))
        self.clip_bytes = (_resident_bytes() - before) / clips
        self.view.save(folder)

    def opened(self) -> IndexView:
        # Merges within changes: what they cost is measured, and how far they have come does not depend on the machine.
        faiss = self._index == "faiss"
        backend = FaissBackend(folder=self.folder.parent, background=False) if faiss else open_backend(self._index)
        # Without erasing at once: that is for views which are smaller than those compared here.
        return IndexView(backend, Observer(), SystemClock(), erase_at_once_bytes=0)

    def round(self) -> Round:
        """Some batches, and a snapshot."""
        batches = [self.events.mixed(BATCH) for _ in range(BATCHES)]
        started_s = time.perf_counter()
        for batch in batches:
            _apply(self.view, batch)
        applied_s = time.perf_counter() - started_s
        before = _sizes(self.folder)
        started_s = time.perf_counter()
        self.view.save(self.folder)
        saved_s = time.perf_counter() - started_s
        written = {path: size - before.get(path, 0) for path, size in _sizes(self.folder).items()}
        events = BATCH * BATCHES
        logs = sum(size for path, size in written.items() if path.name.startswith(("catalogue-", "deletions-")))
        return Round(1e6 * applied_s / events, sum(written.values()) / events, logs / events, 1e3 * saved_s)

    def restore_s(self) -> float:
        """How long a new process takes to read the snapshot."""
        view, started_s = self.opened(), time.perf_counter()
        view.restore(self.folder)
        return time.perf_counter() - started_s


def main() -> None:
    arguments = parse()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        views = [
            Grown(arguments.index, clips, arguments.width, folder / str(clips)) for clips in SIZES[arguments.sizes]
        ]
        rounds: dict[int, list[Round]] = {view.clips: [] for view in views}
        for number in counted(range(arguments.rounds), "Rounds", arguments.rounds):
            for view in views if number % 2 else reversed(views):
                rounds[view.clips].append(view.round())
        restored = {view.clips: view.restore_s() for view in views}
        memory = {view.clips: view.clip_bytes for view in views}
    report(console, rounds, restored, memory, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="sizes", action="store_const", const="quick", help="2,000 and 20,000 clips")
    sizes.add_argument("--full", dest="sizes", action="store_const", const="full", help="1,000,000 clips, too")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of batches and a snapshot")
    parser.add_argument("--width", type=int, default=64, help="width of the embeddings")
    parser.add_argument("--index", default="faiss", help="the backend, as ranking.index names it")
    parser.set_defaults(sizes="usual")
    return parser.parse_args()


def ratio(rounds: dict[int, list[Round]], name: str, average: Average = statistics.fmean) -> float:
    """Largest over smallest."""
    small, large = (average([getattr(each, name) for each in rounds[of(rounds)]]) for of in (min, max))
    return large / small


def report(
    console: Console,
    rounds: dict[int, list[Round]],
    restored: dict[int, float],
    memory: dict[int, float],
    arguments: argparse.Namespace,
) -> None:
    columns = {
        "apply_us": "µs an event",
        "bytes": "snapshot bytes an event",
        "catalogue_bytes": "of the catalogue",
        "save_ms": "ms to save",
    }
    title = f"means of {arguments.rounds} rounds of {BATCH * BATCHES:,} events, width {arguments.width}"
    table = Table("clips", *columns.values(), "s to restore", "bytes a clip in memory", title=title)
    for clips, found in rounds.items():
        values = [f"{statistics.fmean(getattr(each, name) for each in found):,.0f}" for name in columns]
        table.add_row(f"{clips:,}", *values, f"{restored[clips]:.2f}", f"{memory[clips]:,.0f}")
    ratios = {name: ratio(rounds, name) for name in columns}
    typical = ratio(rounds, "apply_us", statistics.median)
    table.add_row("largest / smallest", *(f"{each:.2f}" for each in ratios.values()), "", "")
    console.print(table)
    console.print(f"time of an event, largest / smallest, in a round without large merges (median): {typical:.2f}")
    largest = max(rounds)
    figures = [
        Measured(f"cost of an event: {columns[name]}", value, f"at {largest:,} clips / at {min(rounds):,}", RATIO, True)
        for name, value in ratios.items()
        if name not in ("save_ms", "apply_us")
    ]
    unit = f"at {largest:,} clips / at {min(rounds):,}"
    figures.append(Measured("time of an event, median of rounds", typical, unit, RATIO, lower_is_better=True))
    figures.append(Measured("time of an event, mean with all merges", ratios["apply_us"], unit))
    figures.append(Measured(f"restart at {largest:,} clips", restored[largest], "s", RESTART_S, lower_is_better=True))
    details = {str(clips): [each._asdict() for each in found] for clips, found in rounds.items()}
    path = write_figures("index_view", figures, rounds=details, restored_s=restored, clip_bytes=memory)
    console.print(f"written to {path}")


def _apply(view: IndexView, entries: Sequence[LogEntry]) -> None:
    view.apply(entries, positions_after(entry.record for entry in entries))


def _sizes(folder: Path) -> dict[Path, int]:
    return dict(_files(folder))


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.stat().st_size


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()

"""Retrieval: our index against other libraries, and a whole view at rest and while clips stream in.

    python -m benchmarks.retrieval [--quick] [--clips 100000] [--race 20000] [--queries 200] [--without RIVAL ...]

**Vectors.** *networks*: what the shipped bundle makes of synthetic clips, 64 wide. *hard*: in the paper's widths
(256 + 3 × 1,024), made up so that neighbours are hardly nearer than others (``benchmarks.workloads.vectors``). Their
intrinsic dimension stands beside each figure, since recall depends on it more than on anything else.

**Race** (``--race`` vectors, 1,024 wide, one query at a time on one thread, exact neighbours from a scan): our index
has one setting, a rival is shown at the least effort that reaches our recall, or at its best. A ratio is our queries/s
over its; all take turns in each round.

**View** (``--clips`` clips of four modalities in one challenge): weighted recall@10 against a scan of all; the memory
that the process itself holds over the vectors in float32, when no merge is left and right after the last clip; restart
from a snapshot; then the same questions while 500 upserts/s and 50 deletions/s stream in, and how long after it was due
an upsert can be found. The stream is a consumer (``benchmarks.workloads.streamed_view``): each round applies all that
has become due, as one poll returns all that was written. Every answer is checked for clips that are deleted or twice,
and clips that have just come for being found.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.rivals.indexes import RIVALS, Search
from benchmarks.workloads.streamed_view import StreamedView
from benchmarks.workloads.vectors import (
    PAPER_WIDTHS,
    HardVectors,
    Vectors,
    intrinsic_dimension,
    network_vectors,
    recall,
)
from dancerank.console.progress import counted, working
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.port import IndexedClip, RowNumbers
from schemas.modalities import Modality
from schemas.ports import Int64

K: Final = 10
OURS: Final = "dancerank"
WIDE: Final = Modality.HOLISTIC
NETWORK_CLIPS: Final = 2000
_BATCH: Final = 1000
_ROUNDS: Final = 3
_MOST_S: Final = 10.0
"""For the queries of one index in one round, of which at least so many are asked."""
_FEWEST: Final = 10


class Row(NamedTuple):
    """One index in the race: recall and queries/s at an effort; ``build_s`` is ``None`` if it is not installed."""

    name: str
    effort: int
    recall: float
    per_s: float
    build_s: float | None


class Rows:
    """``RowNumbers`` of clips that are named by their number."""

    def find(self, clip_ids: Any) -> Int64:
        return np.fromiter(map(int, clip_ids), np.int64)

    def clip_ids(self, rows: Int64) -> list[str]:
        return [*map(str, rows.tolist())]


def main() -> None:
    arguments = parse()
    console, figures = Console(), list[Measured]()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        embedded = network_vectors(arguments.embedded)
        hard = HardVectors({WIDE: PAPER_WIDTHS[WIDE]})
        sets = {
            "networks": embedded[WIDE],
            "hard": np.concatenate([block[WIDE] for block in hard.blocks(arguments.race + arguments.queries)]),
        }
        for name, vectors in sets.items():
            figures += race(console, name, vectors, arguments)
        figures += view(console, arguments, folder)
    path = write_figures("retrieval", figures, clips=arguments.clips, race=arguments.race, threads=arguments.threads)
    console.print(f"figures in {path}", markup=False)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sets: under three minutes on 2 cores")
    parser.add_argument("--clips", type=int, default=100_000, help="clips of the view")
    parser.add_argument("--race", type=int, default=20_000, help="hard vectors of the race")
    parser.add_argument("--embedded", type=int, default=NETWORK_CLIPS, help="synthetic clips that the networks embed")
    parser.add_argument("--queries", type=int, default=200, help="queries of each measurement")
    parser.add_argument("--seconds", type=float, default=30.0, help="that clips stream in")
    parser.add_argument("--threads", type=int, default=2, help="to build with")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        choices=[rival.name for rival in RIVALS],
        metavar="RIVAL",
        help="rivals to leave out, as pgvector, whose graph is built most slowly",
    )
    parser.add_argument("--folder", type=Path, help="for segments and snapshots; default: a temporary one")
    arguments = parser.parse_args()
    if arguments.quick:
        small = {"clips": 3000, "race": 3000, "embedded": 200, "queries": 40, "seconds": 5.0}
        for name, value in small.items():
            setattr(arguments, name, value)
    if min(arguments.race, arguments.embedded / 4) < arguments.queries:
        parser.error("--race needs at least as many vectors as --queries, and --embedded four times as many clips")
    return arguments


def race(console: Console, name: str, vectors: Vectors, arguments: argparse.Namespace) -> list[Measured]:
    """Ours and the rivals on one set; the last vectors are the queries."""
    held, queries = vectors[: -arguments.queries], vectors[-arguments.queries :]
    truth = np.argsort(-(queries @ held.T), axis=1)[:, :K].tolist()
    dimension = intrinsic_dimension(held)
    rows: list[Row] = []
    with ExitStack() as stack:
        searches: dict[str, dict[int, Search]] = {}
        seconds: dict[str, float] = {}
        for rival in (None, *(each for each in RIVALS if each.name not in arguments.without)):
            named = OURS if rival is None else rival.name
            if rival is not None and not rival.is_installed:
                rows.append(Row(named, 0, 0.0, 0.0, None))
                continue
            with working(f"building {named}"):
                started_s = time.perf_counter()
                if rival is None:
                    searches[named] = {0: ours(held)}
                else:
                    searches[named] = stack.enter_context(rival.build(held, arguments.threads)).searches
                seconds[named] = time.perf_counter() - started_s
        goal = recalled(searches[OURS][0], queries, truth)
        efforts = {named: least_effort(each, queries, truth, goal) for named, each in searches.items()}
        times: dict[str, list[float]] = {named: [] for named in searches}
        for _ in counted(range(_ROUNDS), f"Rounds, {name}", _ROUNDS):
            for named, each in searches.items():
                started_s = time.perf_counter()
                asked = len(ask(each[efforts[named]], queries))
                times[named].append((time.perf_counter() - started_s) / asked)
        for named, each in searches.items():
            found = recalled(each[efforts[named]], queries, truth)
            rows.append(Row(named, efforts[named], found, 1 / statistics.median(times[named]), seconds[named]))
    return race_report(console, f"{name}: {len(held)} × {held.shape[1]}, dimension {dimension:.0f}", rows)


def ours(vectors: Vectors) -> Search:
    """Our index of vectors that are named by their number, once its merges are done."""
    numbers: RowNumbers = Rows()
    backend = FaissBackend(threads=1, background=False)
    index = backend.create(vectors.shape[1], numbers)
    for start in range(0, len(vectors), _BATCH):
        rows = range(start, min(start + _BATCH, len(vectors)))
        index.upsert([IndexedClip(str(row), "challenge", "dancer", row) for row in rows], vectors[start : rows.stop])
    return lambda query, k: [*map(int, index.search(query, k).ids)]


def least_effort(searches: Mapping[int, Search], queries: Vectors, truth: Sequence[Sequence[int]], goal: float) -> int:
    """The least effort with a recall of ``goal``, or else the greatest."""
    for effort, search in searches.items():
        if recalled(search, queries, truth) >= goal:
            return effort
    return max(searches)


def ask(search: Search, queries: Vectors) -> list[Sequence[int]]:
    """Answers to ``queries``, or to as many of the first ones as a slow index gives in the time."""
    found: list[Sequence[int]] = []
    started_s = time.perf_counter()
    for query in queries:
        found.append(search(query, K))
        if len(found) >= _FEWEST and time.perf_counter() - started_s > _MOST_S:
            break
    return found


def recalled(search: Search, queries: Vectors, truth: Sequence[Sequence[int]]) -> float:
    found = ask(search, queries)
    return recall(found, truth[: len(found)])


def race_report(console: Console, title: str, rows: Sequence[Row]) -> list[Measured]:
    our = next(row for row in rows if row.name == OURS)
    table = Table("index", "effort", f"recall@{K}", "queries/s", "ours over it", "built in, s", title=title)
    figures = [Measured(f"recall@{K}, {title}", our.recall, "share")]
    for row in rows:
        if row.build_s is None:
            table.add_row(row.name, "", "", "not installed", "", "")
            continue
        ratio = our.per_s / row.per_s
        shown = [f"{row.recall:.3f}", f"{row.per_s:.0f}", f"{ratio:.2f}", f"{row.build_s:.1f}"]
        table.add_row(row.name, str(row.effort or ""), *shown)
        if row.name != OURS:
            figures.append(Measured(f"queries/s over {row.name}, {title}", ratio, "ratio", 1.0))
    console.print(table)
    return figures


def view(console: Console, arguments: argparse.Namespace, folder: Path) -> list[Measured]:
    """The index view at rest and while clips stream in."""
    held = StreamedView(HardVectors(PAPER_WIDTHS), arguments.clips, arguments.queries, folder)
    with working("saving, and opening again"):
        restart_s = held.restart()
    idle = held.ask(arguments.seconds)
    with held.streaming(arguments.seconds):
        busy = held.ask(arguments.seconds)
    found_s = held.freshness_s()
    figures = [
        Measured(f"weighted recall@{K}", idle.recall, "share", 0.95),
        Measured("memory of the process over float32, merged", held.memory_share, "ratio", 0.4, lower_is_better=True),
        Measured("memory of the process over float32, before merges", held.memory_share_at_once, "ratio"),
        Measured("restart from a snapshot", restart_s, "s", 10.0, lower_is_better=True),
        Measured("query, p50", 1000 * idle.quantile_s(0.5), "ms"),
        Measured("query, p99", 1000 * idle.quantile_s(0.99), "ms"),
        Measured(f"recall@{K} while streaming, over idle", busy.recall / idle.recall, "ratio", 0.8),
        Measured(
            "p99 while streaming, over idle",
            busy.quantile_s(0.99) / idle.quantile_s(0.99),
            "ratio",
            1.2,
            lower_is_better=True,
        ),
        Measured("upserts/s that streamed in", held.upserts_per_s, "1/s", 500.0 * 0.98),
        Measured("upsert until it can be found, p99", 1000 * found_s, "ms", 100.0, lower_is_better=True),
        Measured("hits deleted or twice, or not found", idle.wrong + busy.wrong, "hits", 0, lower_is_better=True),
    ]
    title = f"{arguments.clips} clips × {len(PAPER_WIDTHS)} modalities, dimension {held.dimension:.0f}"
    table = Table("figure", "value", "bar", "met", title=title)
    for figure in figures:
        met = {None: "", True: "yes", False: "no"}[figure.met]
        bar = "" if figure.bar is None else f"{figure.bar:g}"
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", bar, met)
    console.print(table)
    return [figure._replace(name=f"{figure.name}, {title}") for figure in figures]


if __name__ == "__main__":
    main()

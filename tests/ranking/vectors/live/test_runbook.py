"""A runbook in the manner of the streaming track of big-ann-benchmarks, against the oracle at each step."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.pgvector.backend import PgvectorBackend
from ranking.vectors.backends.pgvector.index import Graphs
from ranking.vectors.backends.port import SnapshotBackend, SnapshotIndex, VectorIndex
from schemas.modalities import Modality
from tests.ranking.vectors.live.clusters import NAMES, WIDTH, Beside

RUNBOOK = """
insert  0    1500
search
delete  100  400
search
replace 500  900
search
insert  1500 3000
restore
search
delete  0    1000
insert  200  600
search
replace 1500 2900
delete  2000 2600
search
compact
insert  2000 2500
restore
search
delete  0    2990
search
insert  0    2000
search
"""
EXACT = Shape(capacity=64, ratio=3, exact_below=100_000, coded_from=100_000, scanned=20)
CODED = Shape(capacity=64, ratio=3, exact_below=256, coded_from=128, scanned=20)
BACKENDS: dict[str, Callable[[Path], SnapshotBackend]] = {
    "segments": lambda folder: FaissBackend(shape=EXACT, folder=folder, background=False),
    "codes": lambda folder: FaissBackend(shape=CODED, folder=folder, background=False),
    "codes, merged in the background": lambda folder: FaissBackend(shape=CODED, folder=folder),
    "numpy": lambda _: NumpyBackend(),
}


@pytest.mark.parametrize("kind", BACKENDS)
def test_every_step_of_a_runbook_leaves_what_the_oracle_holds(kind: str, tmp_path: Path) -> None:
    backend = BACKENDS[kind](tmp_path)
    index = backend.create(WIDTH, NAMES)

    def restore(number: int) -> SnapshotIndex:
        nonlocal index
        index = restored(index, backend, tmp_path / f"snapshot-{number}")
        return index

    follow(index, restore, lambda: index.compact())


@pytest.mark.postgresql
def test_pgvector_follows_the_runbook(postgresql_url: str) -> None:
    graphs = Graphs(starting_at=256, background=False)
    with closing(PgvectorBackend(database_url=postgresql_url, graphs=graphs)) as backend:

        def opened(_: int = 0) -> VectorIndex:
            return backend.open("g1", Modality.SKELETAL, WIDTH)

        # Each change and each search is a round trip.
        follow(opened(), opened, lambda: None, queries=6, at_once=400)


def follow(
    index: VectorIndex,
    restore: Callable[[int], VectorIndex],
    compact: Callable[[], None],
    queries: int = 80,
    at_once: int = 50,
) -> None:
    """Each step of the runbook, and what is true after it."""
    beside = Beside(index)
    for number, step in enumerate(RUNBOOK.split("\n")):
        match step.split():
            case ["insert" | "replace", start, end]:
                for first in range(int(start), int(end), at_once):
                    beside.put(range(first, min(first + at_once, int(end))))
            case ["delete", start, end]:
                for first in range(int(start), int(end), at_once - 20):
                    beside.remove(range(first, min(first + at_once - 20, int(end))))
            case ["compact"]:
                compact()
            case ["restore"]:
                beside.index = restore(number)
            case ["search"]:
                assert beside.recall(10, queries=queries) >= 0.95
                assert beside.recall(150, queries=queries) >= 0.9
                assert beside.recall(10, beside.held(range(0, 3000, 7)), queries) >= 0.95
                assert beside.recall(10, beside.held(range(300, 310)), queries) == 1
        beside.agree(range(3000))


def restored(index: SnapshotIndex, backend: SnapshotBackend, folder: Path) -> SnapshotIndex:
    folder.mkdir()
    frozen = index.freeze()
    paths = {name: folder / name for name in frozen.segments}
    for name, path in paths.items():
        frozen.segments[name].write(path)
    return backend.read(frozen.state, paths, WIDTH, NAMES)

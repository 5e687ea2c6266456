"""A runbook in the manner of the streaming track of big-ann-benchmarks, against the oracle at each step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import SnapshotBackend, SnapshotIndex
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
    beside = Beside(backend.create(WIDTH, NAMES))
    for number, step in enumerate(RUNBOOK.split("\n")):
        match step.split():
            case ["insert" | "replace", start, end]:
                for first in range(int(start), int(end), 50):
                    beside.put(range(first, min(first + 50, int(end))))
            case ["delete", start, end]:
                for first in range(int(start), int(end), 30):
                    beside.remove(range(first, min(first + 30, int(end))))
            case ["compact"]:
                beside.index.compact()
            case ["restore"]:
                beside.index = restored(beside.index, backend, tmp_path / f"snapshot-{number}")
            case ["search"]:
                assert beside.recall(10) >= 0.95
                assert beside.recall(150) >= 0.9
                assert beside.recall(10, beside.held(range(0, 3000, 7))) >= 0.95
                assert beside.recall(10, beside.held(range(300, 310))) == 1
        beside.agree(range(3000))


def restored(index: SnapshotIndex, backend: SnapshotBackend, folder: Path) -> SnapshotIndex:
    folder.mkdir()
    frozen = index.freeze()
    paths = {name: folder / name for name in frozen.segments}
    for name, path in paths.items():
        frozen.segments[name].write(path)
    return backend.read(frozen.state, paths, WIDTH, NAMES)

import os
from pathlib import Path

import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import SnapshotBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.observation import Observer
from tests.ranking.examples import apply, scored_clip


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="a folder of index snapshots whose name is Latin-1",
    outcome="written and read",
)
@pytest.mark.parametrize("backend", [FaissBackend(), NumpyBackend()], ids=["faiss", "numpy"])
def test_snapshots_are_kept_in_a_folder_of_any_name(tmp_path: Path, backend: SnapshotBackend) -> None:
    folder = tmp_path / os.fsdecode(b"\xefndex\n#%")
    view, restored = (IndexView(backend, Observer(), ManualClock()) for _ in range(2))
    apply(view, [scored_clip("a"), scored_clip("b")])
    view.save(folder)
    restored.restore(folder)
    assert restored.content() == view.content()

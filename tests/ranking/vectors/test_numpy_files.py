"""Index files of the NumPy backend."""

from pathlib import Path

import numpy as np
import pytest

from ranking.vectors.backends.contract import NUMBERS
from ranking.vectors.backends.numpy_exact import NumpyBackend
from schemas.errors import SnapshotError


@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="an index file of a snapshot that is compressed",
    outcome="refused before it is decompressed; an older snapshot is used",
)
def test_a_compressed_file_is_not_one_that_was_written_here(tmp_path: Path) -> None:
    path = tmp_path / "skeletal.npz"
    np.savez_compressed(path, ids=np.frombuffer(b"\x91\xa1a", np.uint8), vectors=np.zeros((1, 4), np.float32))
    with pytest.raises(SnapshotError, match=r"skeletal\.npz.*compressed"):
        NumpyBackend().read(path, NUMBERS)
    index = NumpyBackend().create(4, NUMBERS)
    index.write(path)
    NumpyBackend().read(path, NUMBERS)

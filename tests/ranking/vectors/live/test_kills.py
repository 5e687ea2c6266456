"""A process that is killed while it merges segments and saves snapshots."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.observation import Observer
from tests.ranking.examples import apply_entries
from tests.ranking.vectors.live import changing


@pytest.mark.slow
def test_a_kill_at_any_moment_of_merges_and_snapshots_loses_nothing(tmp_path: Path) -> None:
    rng, reached = np.random.default_rng(), 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-m", changing.__name__, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = int(rng.integers(40, 120))
            for _ in range(lines):
                assert process.stdout.readline()
            process.kill()
        restored = changing.view(tmp_path)
        assert restored.restore(tmp_path)
        position = changing.reached(restored)
        assert position > reached  # it went on from what was saved
        reached = position
        rebuilt = IndexView(NumpyBackend(), Observer(), ManualClock())
        for offset in range(position):
            apply_entries(rebuilt, changing.entry(offset))
        assert restored.content() == rebuilt.content()
    assert len([*tmp_path.glob("live-*")]) <= 2  # of the last that was killed, and of this process

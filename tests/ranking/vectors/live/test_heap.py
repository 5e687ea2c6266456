"""Freed memory goes back to the system once large segments were merged."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ranking.vectors.backends.live import background
from ranking.vectors.backends.live.background import MergeThreads
from ranking.vectors.backends.live.heap import return_free_memory
from ranking.vectors.backends.live.tiers import Lane
from tests.waiting import wait_until


class Index:
    """One merge is due in a lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.left = lane, 1

    def merge(self, lane: Lane, _check: object) -> bool:
        due, self.left = self.left if lane is self.lane else 0, self.left - (lane is self.lane)
        return due > 0


@pytest.mark.parametrize(("lane", "times"), [(Lane.LARGE, 1), (Lane.SMALL, 0)])
def test_memory_is_returned_after_a_large_merge_and_not_after_each_small_one(
    monkeypatch: pytest.MonkeyPatch, lane: Lane, times: int
) -> None:
    returned: list[float] = []
    monkeypatch.setattr(background, "return_free_memory", lambda: returned.append(time.monotonic()))
    threads, index = MergeThreads(), Index(lane)
    threads.wake(index)
    wait_until(lambda: not threads._running, what="the merges end")
    assert len(returned) == times


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_what_was_freed_in_small_pieces_leaves_the_process() -> None:
    def anonymous_kib() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

    return_free_memory()
    before = anonymous_kib()
    pieces = [np.ones(4000) for _ in range(4000)]  # 125 MiB below the size that is mapped on its own
    pinned = pieces[-1]
    held = anonymous_kib()
    del pieces
    return_free_memory()
    assert held - before > 100_000
    assert anonymous_kib() - before < 20_000
    assert pinned[0] == 1

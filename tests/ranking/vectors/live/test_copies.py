"""Copies of segments, as on a GPU: searched in place of the codes, corrected by what the segments say."""

from pathlib import Path

from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.live.segment_files import SegmentFolder, SegmentVectors
from ranking.vectors.backends.live.tiers import Shape
from tests.ranking.vectors.live.clusters import NAMES, WIDTH, Beside, among
from tests.ranking.vectors.live.copies import OnTheHost

SHAPE = Shape(capacity=32, ratio=4, exact_below=100, coded_from=64, scanned=8, dead_share=0.95)


class Counted(OnTheHost):
    searches = 0

    def search(self, query, count):  # type: ignore[no-untyped-def]
        Counted.searches += 1
        return super().search(query, count)


def test_copies_are_searched_and_never_find_what_was_removed_since(tmp_path: Path) -> None:
    beside = Beside(LiveIndex(WIDTH, NAMES, folder=SegmentFolder(tmp_path), shape=SHAPE, copy=Counted))
    for start in range(0, 600, 40):
        beside.put(range(start, start + 40))
    assert beside.recall(10) >= 0.95
    assert Counted.searches
    beside.remove(range(0, 600, 2))
    beside.put(range(100, 150))
    assert beside.recall(10) >= 0.95
    searched = Counted.searches
    assert beside.recall(10, among(range(600))) >= 0.95  # a GPU takes no filter
    assert Counted.searches == searched


def test_a_gpu_without_room_costs_its_copies_only(tmp_path: Path) -> None:
    def full(_: SegmentVectors) -> OnTheHost:
        raise RuntimeError("out of memory")

    beside = Beside(LiveIndex(WIDTH, NAMES, folder=SegmentFolder(tmp_path), shape=SHAPE, copy=full))
    for start in range(0, 400, 40):
        beside.put(range(start, start + 40))
    assert any(part.codes is not None for part, _ in beside.index._state.shown)  # type: ignore[attr-defined]
    assert beside.recall(10) >= 0.95

"""Known positions of a view are kept while it fails, and reading them never waits for the view."""

import threading
from collections.abc import Collection

from ranking.views.known_positions import KnownPositions
from ranking.views.periodic import every
from schemas.clock import ManualClock
from schemas.errors import StoreUnavailable
from schemas.ports import TopicPartition

FIRST, SECOND = TopicPartition("clips", 0), TopicPartition("clips", 1)
WAIT_S = 60.0


class View:
    def __init__(self) -> None:
        self.holds = {FIRST: 4}
        self.fails = False

    def __call__(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.fails:
            raise StoreUnavailable("the database does not answer")
        return {at: offset for at, offset in self.holds.items() if at in partitions}


def test_a_position_is_unknown_until_the_view_has_given_it() -> None:
    known = KnownPositions(View(), ManualClock())
    assert known.position(FIRST) is None
    known.probe.ask()
    assert known.position(FIRST) == 4


def test_a_view_that_has_no_position_of_a_partition_is_at_its_beginning() -> None:
    known = KnownPositions(View(), ManualClock())
    known.position(SECOND)
    known.probe.ask()
    assert known.position(SECOND) == 0


def test_while_the_view_fails_the_last_position_stays() -> None:
    view = View()
    known = KnownPositions(view, ManualClock())
    known.position(FIRST)
    known.probe.ask()
    view.holds[FIRST], view.fails = 9, True
    known.probe.ask()
    assert known.position(FIRST) == 4
    view.fails = False
    known.probe.ask()
    assert known.position(FIRST) == 9


def test_a_view_that_hangs_blocks_neither_readers_nor_the_stop() -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def hang(_: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        asked.set()
        goes_on.wait(WAIT_S)
        return {}

    known = KnownPositions(hang, ManualClock())
    with every(0.001, known.probe.ask, name="asking", last_call_s=0.01):
        assert asked.wait(WAIT_S)
        assert known.position(FIRST) is None
    goes_on.set()

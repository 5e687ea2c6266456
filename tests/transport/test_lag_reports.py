"""Lag per partition, in records and seconds: of what is assigned, and zero for what was given up."""

from schemas.clock import ManualClock
from schemas.observation import Observer
from schemas.ports import Record, TopicPartition
from transport.lag_reports import LagReports
from transport.memory import MemoryBroker, MemorySource

FIRST, SECOND = TopicPartition("clips", 0), TopicPartition("clips", 1)


class Lagging(MemorySource):
    """A source with the lags that a test sets; what has one is assigned."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker(), [], group=None)
        self.lags: dict[TopicPartition, int] = {}

    def lag(self) -> dict[TopicPartition, int]:
        return self.lags

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self.lags)


class Lags(Observer):
    def __init__(self) -> None:
        self.known: dict[TopicPartition, tuple[int, float]] = {}

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self.known[partition] = (records, seconds)


class Scene:
    def __init__(self) -> None:
        self.clock, self.source, self.seen = ManualClock(), Lagging(), Lags()
        self.reports = LagReports(self.seen, self.clock)

    def report(self, **lags: int) -> dict[TopicPartition, tuple[int, float]]:
        self.source.lags = {{"first": FIRST, "second": SECOND}[name]: records for name, records in lags.items()}
        self.reports.report(self.source)
        return self.seen.known

    def read(self, at: TopicPartition, *, age_s: float) -> None:
        self.reports.read([Record(*at, 0, self.clock.now_ms() - round(1000 * age_s), None, b"")])


def test_the_lag_in_seconds_is_the_age_of_the_last_record_read() -> None:
    scene = Scene()
    scene.read(FIRST, age_s=60)
    scene.read(FIRST, age_s=20)
    scene.read(SECOND, age_s=5)
    assert scene.report(first=3, second=1) == {FIRST: (3, 20.0), SECOND: (1, 5.0)}


def test_a_partition_with_nothing_left_to_read_has_no_lag() -> None:
    scene = Scene()
    scene.read(FIRST, age_s=60)
    assert scene.report(first=0) == {FIRST: (0, 0.0)}


def test_a_partition_of_which_nothing_was_read_lags_since_it_was_first_seen() -> None:
    scene = Scene()
    scene.clock.advance(1000)
    assert scene.report(first=7) == {FIRST: (7, 0.0)}
    scene.clock.advance(30)
    assert scene.report(first=7) == {FIRST: (7, 30.0)}


def test_a_record_of_a_clock_that_is_ahead_has_no_negative_age() -> None:
    scene = Scene()
    scene.read(FIRST, age_s=-60)
    assert scene.report(first=1) == {FIRST: (1, 0.0)}


def test_a_partition_given_up_no_longer_shows_a_lag_and_starts_afresh_when_it_returns() -> None:
    scene = Scene()
    scene.read(FIRST, age_s=60)
    scene.report(first=5, second=5)
    assert scene.report(second=5)[FIRST] == (0, 0.0)
    scene.seen.known.clear()
    assert FIRST not in scene.report(second=5)
    assert scene.report(first=2, second=5)[FIRST] == (2, 0.0)

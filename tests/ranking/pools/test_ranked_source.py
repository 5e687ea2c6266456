"""Scored clips are held back until the rankings have them; nothing else waits, and nothing is lost or comes twice."""

from collections.abc import Iterable, Mapping, Sequence

import pytest

from ranking.pools.service import ranked_source
from ranking.pools.service.ranked_source import RankedSource
from schemas.errors import StoreUnavailable, TransportError
from schemas.observation import Observer
from schemas.ports import LogGap, OutgoingRecord, RebalanceListener, Record, TopicPartition
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

SCORED, OTHER = TopicPartition("scored", 0), TopicPartition("other", 0)


class FromTheBeginning:
    """A listener whose view has handled nothing."""

    def __init__(self) -> None:
        self.gaps: list[LogGap] = []

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    def dropped(self, gap: LogGap) -> None:
        self.gaps.append(gap)


class Waits(Observer):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage_timed(self, stage: str, duration_s: float, modality: object = None) -> None:
        self.stages.append(stage)


class Scene:
    """Two topics of one partition each, and rankings that are as far as ``ranked`` says."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.ensure_topics([TopicSpec(name=at.topic, partitions=1) for at in (SCORED, OTHER)])
        self.sink = MemorySink(self.broker)
        self.ranked: dict[TopicPartition, int] = {}
        self.failure: Exception | None = None
        self.waits = Waits()
        self.source = self.another()

    def another(self) -> RankedSource:
        def opened(listener: RebalanceListener) -> MemorySource:
            return MemorySource(self.broker, [SCORED.topic, OTHER.topic], group="g", listener=listener)

        return RankedSource(opened, FromTheBeginning(), [SCORED.topic], self._ranked_to, self.waits)

    def _ranked_to(self, wanted: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        if self.failure is not None:
            raise self.failure
        return {at: self.ranked.get(at, 0) for at in wanted}

    def write(self, at: TopicPartition, *values: str) -> None:
        for value in values:
            self.sink.send(OutgoingRecord(at.topic, b"key", value.encode()))
        self.sink.flush(1.0)

    def read(self, source: RankedSource | None = None, *, most: int = 100) -> list[str]:
        return values((source or self.source).poll(max_records=most, timeout_s=0.02))


def values(records: Iterable[Record]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_scored_clip_is_given_out_once_the_rankings_have_come_to_it_and_nothing_else_waits(scene: Scene) -> None:
    scene.write(SCORED, "s0", "s1", "s2")
    scene.write(OTHER, "o0", "o1")
    assert scene.read() == ["o0", "o1"]
    assert scene.source.positions() == {SCORED: 0, OTHER: 2}
    assert scene.source.lag() == {SCORED: 3, OTHER: 0}
    scene.ranked[SCORED] = 2
    scene.write(OTHER, "o2")
    assert sorted(scene.read()) == ["o2", "s0", "s1"]
    assert scene.source.positions() == {SCORED: 2, OTHER: 3}
    assert scene.read() == []
    scene.ranked[SCORED] = 9
    assert scene.read() == ["s2"]
    assert scene.source.lag() == {SCORED: 0, OTHER: 0}
    assert scene.waits.stages == ["rankings", "rankings"]


def test_no_more_records_are_given_out_than_asked_for_and_in_order(scene: Scene) -> None:
    scene.write(SCORED, *(f"s{number}" for number in range(5)))
    assert scene.read(most=10) == []
    scene.ranked[SCORED] = 5
    scene.write(OTHER, "o0", "o1")
    given: list[str] = []
    while records := scene.read(most=3):
        assert len(records) <= 3
        given += records
    assert [value for value in given if value[0] == "s"] == ["s0", "s1", "s2", "s3", "s4"]
    assert [value for value in given if value[0] == "o"] == ["o0", "o1"]


def test_what_is_held_of_a_partition_that_goes_is_dropped_and_read_by_who_gets_it(scene: Scene) -> None:
    scene.write(SCORED, "s0", "s1")
    scene.write(OTHER, "o0")
    assert scene.read() == ["o0"]
    other, given = scene.another(), list[str]()
    scene.ranked[SCORED] = 2
    for _ in range(4):
        for source in (other, scene.source):
            given += [value for value in scene.read(source) if value[0] == "s"]
    assert given == ["s0", "s1"]


@pytest.mark.parametrize("failure", [None, StoreUnavailable("gone")])
def test_what_is_held_for_too_long_is_given_out_to_who_says_what_it_waits_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    scene.write(SCORED, "s0", "s1")
    scene.failure = failure
    assert scene.read() == []
    monkeypatch.setattr(ranked_source, "_HOLD_S", 0.0)
    assert scene.read() == ["s0", "s1"]


def test_no_more_is_held_than_one_batch_has(scene: Scene) -> None:
    scene.write(SCORED, *(f"s{number}" for number in range(6)))
    given = scene.read(most=4)
    assert given == ["s0", "s1", "s2", "s3"]


def answering(scene: Scene, *answers: Sequence[Record] | Exception, expecting: bool) -> RankedSource:
    """One whose reader has these answers, and, if ``expecting``, others on their way."""
    left = list(answers)

    class Answering(MemorySource):
        is_expecting = expecting

        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    return RankedSource(
        lambda listener: Answering(scene.broker, ["other"], group="f", listener=listener),
        FromTheBeginning(),
        [SCORED.topic],
        scene._ranked_to,
        Observer(),
    )


FIRST, SECOND = ([Record("other", 0, offset, 0, None, b"o%d" % offset)] for offset in range(2))


def test_if_the_second_answer_fails_what_the_first_had_is_given_out_next(scene: Scene) -> None:
    source = answering(scene, FIRST, TransportError("gone"), [], expecting=True)
    with pytest.raises(TransportError):
        source.poll(max_records=9, timeout_s=0.0)
    assert values(source.poll(max_records=9, timeout_s=0.0)) == ["o0"]


@pytest.mark.parametrize(("expecting", "given"), [(True, ["o0", "o1"]), (False, ["o0"])])
def test_a_second_answer_is_waited_for_if_it_is_on_its_way(scene: Scene, expecting: bool, given: list[str]) -> None:
    source = answering(scene, FIRST, SECOND, expecting=expecting)
    assert values(source.poll(max_records=9, timeout_s=0.0)) == given


def test_a_paused_source_gives_out_nothing(scene: Scene) -> None:
    scene.write(SCORED, "s0")
    scene.write(OTHER, "o0")
    assert scene.read() == ["o0"]
    scene.source.pause()
    scene.ranked[SCORED] = 1
    assert scene.read() == []
    scene.source.resume()
    assert scene.read() == ["s0"]

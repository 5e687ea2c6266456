"""A source that is given nothing though records wait says so, and one that has nothing to read never does."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from schemas.errors import TransportError
from tests.transport.filled import read_all
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource

LOOK_S = 0.05


class Stalled:
    """A source of which some records are read, and whose client then gives nothing any more; the broker answers."""

    def __init__(self, source: KafkaSource, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source, self.monkeypatch, self.looks = source, monkeypatch, 0
        while not source.poll(max_records=1, timeout_s=1.0):
            continue
        self.answer = source.end_offsets
        monkeypatch.setattr(source._consumer, "poll", lambda **_: {})
        monkeypatch.setattr(source, "end_offsets", self.counted)

    def counted(self) -> object:
        self.looks += 1
        return self.answer()

    def look(self) -> None:
        """Poll until the source has asked once more where the log ends, or cannot any more."""
        before = self.looks
        time.sleep(LOOK_S)
        self.poll()
        assert self.looks == before + 1

    def poll(self) -> None:
        assert self.source.poll(max_records=10, timeout_s=0.0) == []


@pytest.fixture
def source(
    embedded_broker: KafkaConnection, filled_topic: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaSource]:
    monkeypatch.setattr("transport.standstill.STANDSTILL_S", LOOK_S)
    with closing(KafkaSource(embedded_broker, [filled_topic], group=None)) as opened:
        yield opened


@pytest.fixture
def stalled(source: KafkaSource, monkeypatch: pytest.MonkeyPatch) -> Stalled:
    return Stalled(source, monkeypatch)


def test_records_that_wait_from_one_look_to_the_next_are_a_standstill(stalled: Stalled) -> None:
    stalled.look()
    time.sleep(LOOK_S)
    with pytest.raises(TransportError, match=r"nothing was read of clips-\w+\[\d\] for .*open a new source") as caught:
        stalled.poll()
    assert str(stalled.source._connection) in caught.value.message


def test_the_broker_is_asked_once_in_a_while_and_not_with_every_poll(
    stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.standstill.STANDSTILL_S", 1.0)
    time.sleep(1.0)
    for _ in range(4):
        stalled.poll()
    assert stalled.looks == 1


def test_who_is_paused_stands_still_on_purpose(stalled: Stalled) -> None:
    stalled.look()
    stalled.source.pause()
    for _ in range(3):
        time.sleep(LOOK_S)
        stalled.poll()
    stalled.source.resume()
    stalled.look()  # what waited before the pause, and during it, was not asked for
    time.sleep(LOOK_S)
    with pytest.raises(TransportError, match="nothing was read"):
        stalled.poll()


def test_partitions_that_were_just_assigned_have_until_the_look_after_the_next(stalled: Stalled) -> None:
    stalled.look()
    stalled.source._start(stalled.source.assignment())
    stalled.look()


def test_an_unreachable_broker_is_not_a_standstill(stalled: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled.look()

    def unreachable() -> object:
        raise TransportError("no broker")

    assert not stalled.source.is_unreachable
    answer, stalled.answer = stalled.answer, unreachable
    for _ in range(3):
        stalled.look()
        assert stalled.source.is_unreachable
    stalled.answer = answer
    time.sleep(LOOK_S)
    with pytest.raises(TransportError, match="nothing was read"):
        stalled.poll()


def test_a_broker_that_answers_again_is_no_longer_away_though_nothing_is_there_to_read(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all(source)
    source._is_unreachable = True
    time.sleep(LOOK_S)
    source.poll(max_records=10, timeout_s=0.0)
    assert not source.is_unreachable


def test_who_has_read_everything_waits_for_as_long_as_it_takes(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all(source)
    asked, answer = [], source.end_offsets
    monkeypatch.setattr(source, "end_offsets", lambda: asked.append(1) or answer())
    while len(asked) < 3:
        assert source.poll(max_records=10, timeout_s=LOOK_S) == []


def test_what_was_read_in_between_is_progress(stalled: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled.look()
    poll = type(stalled.source._consumer).poll
    monkeypatch.setattr(stalled.source._consumer, "poll", lambda **asked: poll(stalled.source._consumer, **asked))
    while not stalled.source.poll(max_records=1, timeout_s=1.0):
        continue
    monkeypatch.setattr(stalled.source._consumer, "poll", lambda **_: {})
    stalled.look()

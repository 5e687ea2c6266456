"""A topic is read once, from its beginning to its end; one record by its offset."""

from collections.abc import Callable
from contextlib import closing

import pytest

from schemas.clock import ManualClock
from schemas.errors import TransportError
from schemas.ports import OutgoingRecord, Record, TopicPartition
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.reading import read_to_end, record_at
from transport.topics import TopicSpec, ensure_topics

TOPIC = "clips.uploaded"


def records(count: int, *, partitions: int = 3) -> MemorySource:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=partitions)])
    sink = MemorySink(broker)
    for number in range(count):
        sink.send(OutgoingRecord(TOPIC, str(number).encode(), str(number).encode()))
    sink.flush(1.0)
    return MemorySource(broker, [TOPIC], group=None)


class Marked(MemorySource):
    """A source whose partitions end one offset after the last record, as a transaction's marker leaves them."""

    def end_offsets(self) -> dict[TopicPartition, int]:
        if self.is_gone:
            raise TransportError("the broker is unreachable")
        return {at: end + 1 for at, end in super().end_offsets().items()}

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        taken = list(super().poll(max_records=max_records, timeout_s=0.0))
        if not taken:
            self.clock.advance(timeout_s)
            self.is_gone = self.goes
        return taken

    def lag(self) -> dict[TopicPartition, int]:
        return dict.fromkeys(self.assignment(), 1)

    clock: ManualClock
    goes = False
    is_gone = False


@pytest.mark.parametrize("count", [0, 1, 1700])
def test_a_topic_is_read_from_its_beginning_to_its_end(count: int) -> None:
    reported: list[tuple[int, int]] = []
    read = list(
        read_to_end(
            records(count), ManualClock(), patience_s=10.0, progress=lambda done, of: reported.append((done, of))
        )
    )
    assert sorted(int(record.value or b"") for record in read) == list(range(count))
    assert reported[-1] == (count, count)
    assert reported == sorted(reported)


@pytest.mark.parametrize("goes", [False, True])
def test_silence_is_the_end_only_while_the_broker_answers(goes: bool) -> None:
    source = records(20)
    source.__class__ = Marked
    assert isinstance(source, Marked)
    source.clock, source.goes = ManualClock(), goes
    reading = read_to_end(source, source.clock, patience_s=3.0, progress=lambda *_: None)
    if goes:
        with pytest.raises(TransportError, match="unreachable"):
            list(reading)
    else:
        assert len(list(reading)) == 20
    assert 3.0 <= source.clock.monotonic_s() < 4.0


@pytest.fixture
def topic(kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> str:
    """One partition of ten records."""
    name = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=name, partitions=1)])
    with closing(KafkaSink(kafka_connection)) as sink:
        for number in range(10):
            sink.send(OutgoingRecord(name, b"key", b"%d" % number, (("n", b"%d" % number),)))
        sink.flush(30.0)
    return name


@pytest.mark.kafka
def test_a_record_is_read_by_its_offset(kafka_connection: KafkaConnection, topic: str) -> None:
    at = TopicPartition(topic, 0)
    record = record_at(kafka_connection, at, 6)
    assert record is not None
    assert (record.topic_partition, record.offset, record.key, record.value) == (at, 6, b"key", b"6")
    assert record.headers == (("n", b"6"),)


@pytest.mark.kafka
def test_where_there_is_no_record_none_is_read(kafka_connection: KafkaConnection, topic: str) -> None:
    at = TopicPartition(topic, 0)
    assert record_at(kafka_connection, at, 10) is None
    assert record_at(kafka_connection, TopicPartition(topic, 9), 0) is None
    assert record_at(kafka_connection, TopicPartition("absent", 0), 0) is None


class Leaderless(MemorySource):
    """A source with a partition that has no leader from its second question on."""

    questions = 0

    def end_offsets(self) -> dict[TopicPartition, int]:
        self.questions += 1
        ends = super().end_offsets()  # a transaction's marker follows the last record
        return {at: end + 1 for at, end in ends.items() if at.partition or self.questions <= self.led_for}

    def lag(self) -> dict[TopicPartition, int]:
        return dict.fromkeys(self.assignment(), 1)

    led_for = 0


@pytest.mark.parametrize("led_for", [0, 1], ids=["from the beginning", "at the end"])
def test_a_topic_with_a_partition_that_has_no_leader_is_not_taken_for_read(led_for: int) -> None:
    source = records(20)
    source.__class__ = Leaderless
    source.led_for = led_for  # type: ignore[attr-defined]
    with pytest.raises(TransportError, match=r"clips\.uploaded\[0\] cannot be read: no leader"):
        list(read_to_end(source, ManualClock(), patience_s=0.0, progress=lambda *_: None))

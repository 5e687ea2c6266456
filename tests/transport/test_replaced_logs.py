"""A log that became shorter while it was read: a topic created again, or truncated by an unclean leader election."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import msgspec
import pytest
from kafka import KafkaAdminClient, OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import LogTruncationError

from schemas.errors import PositionBeyondLog
from schemas.ports import LogGap, OutgoingRecord, Record, TopicPartition
from tests.transport.filled import RECORDS, read_all
from transport.connection import KafkaConnection, open_client
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

PATIENCE = 100  # polls


class Committing:
    """The listener of a loop that commits to Kafka what it has read, as the streamer does."""

    def __init__(self) -> None:
        self.source: KafkaSource | None = None
        self.read: dict[TopicPartition, int] = {}

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert self.source is not None
        self.source.commit({at: offset for at, offset in self.read.items() if at in partitions})

    def dropped(self, gap: LogGap) -> None:
        raise AssertionError(f"nothing was dropped: {gap}")


class Stored(Committing):
    """The listener of a view, which keeps its positions itself."""

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {**dict.fromkeys(partitions, 0), **{at: n for at, n in self.read.items() if at in partitions}}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...


@pytest.fixture
def connection(kafka_connection: KafkaConnection) -> KafkaConnection:
    return msgspec.structs.replace(kafka_connection, metadata_refresh_s=1.0)


@pytest.fixture
def topic(connection: KafkaConnection, fresh_name: Callable[[str], str]) -> str:
    name = fresh_name("clips")
    create(connection, name)
    return name


@pytest.fixture
def admin(connection: KafkaConnection) -> Iterator[KafkaAdminClient]:
    opened, _ = open_client(KafkaAdminClient, connection)
    with closing(opened):
        yield opened


def create(connection: KafkaConnection, topic: str) -> None:
    ensure_topics(connection, [TopicSpec(name=topic, partitions=1)])


def create_again(connection: KafkaConnection, admin: KafkaAdminClient, topic: str) -> None:
    admin.delete_topics([topic])
    while any(found["name"] == topic and found["error_code"] == 0 for found in admin.describe_topics([topic])):
        continue
    create(connection, topic)


def write(connection: KafkaConnection, topic: str, count: int, stem: str) -> None:
    with closing(KafkaSink(connection)) as sink:
        for number in range(count):
            sink.send(OutgoingRecord(topic, b"k", f"{stem}-{number}".encode()))
        sink.flush(10.0)


def read(source: KafkaSource, listener: Committing, count: int) -> list[Record]:
    records: list[Record] = []
    for _ in range(PATIENCE):
        records += source.poll(max_records=100, timeout_s=0.2)
        listener.read |= {record.topic_partition: record.offset + 1 for record in records}
        if len(records) >= count:
            return records
    raise AssertionError(f"{len(records)} of {count} records came")


@pytest.mark.kafka
@pytest.mark.parametrize(
    "again",
    [
        pytest.param(
            3,
            marks=pytest.mark.tried(
                kind="metadata looked up once",
                given="the topic of uploads deleted and created again while it is read",
                outcome="the new one is read from its beginning, which is logged",
            ),
        ),
        pytest.param(
            9,
            marks=pytest.mark.tried(
                kind="metadata looked up once",
                given="a topic created again that is already longer than the old one was",
                outcome="none of its records is passed over",
            ),
        ),
    ],
)
def test_a_group_reads_a_topic_that_was_created_again_from_its_beginning(
    connection: KafkaConnection,
    admin: KafkaAdminClient,
    topic: str,
    fresh_name: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    again: int,
) -> None:
    listener = Committing()
    with closing(KafkaSource(connection, [topic], group=fresh_name("group"), listener=listener)) as source:
        listener.source = source
        write(connection, topic, 5, "old")
        read(source, listener, 5)
        source.commit(listener.read)
        create_again(connection, admin, topic)
        write(connection, topic, again, "new")
        values: list[bytes | None] = []
        while {b"new-%d" % number for number in range(again)} - set(values):
            values += [record.value for record in read(source, listener, 1)]
    assert topic in caplog.text
    assert "created again" in caplog.text


@pytest.mark.kafka
@pytest.mark.parametrize("again", [3, 9])
@pytest.mark.tried(
    kind="metadata looked up once",
    given="a log deleted and created again while a view of it is kept",
    outcome="refused: the view was built from another log",
)
def test_a_view_of_a_log_that_was_created_again_is_refused(
    connection: KafkaConnection, admin: KafkaAdminClient, topic: str, again: int
) -> None:
    listener = Stored()
    with closing(KafkaSource(connection, [topic], group=None, listener=listener)) as source:
        write(connection, topic, 5, "old")
        read(source, listener, 5)
        create_again(connection, admin, topic)
        write(connection, topic, again, "new")
        with pytest.raises(PositionBeyondLog, match=rf"{topic}.*delete the view"):
            read(source, listener, 100)


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="a log truncated by the election of a leader that lacked its newest records",
    outcome="logged with the offset; what replaced them is read",
)
@pytest.mark.parametrize("last", [2, None])
def test_a_log_that_was_truncated_is_read_again_from_there(
    embedded_broker: KafkaConnection,
    filled_topic: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    last: int | None,
) -> None:
    with closing(KafkaSource(embedded_broker, [filled_topic], group=None, listener=(listener := Stored()))) as source:
        read_all(source)
        at = next(at for at, offset in source.positions().items() if offset == RECORDS)
        listener.read = {at: RECORDS}
        poll = source._consumer.poll
        truncated = {KafkaTopicPartition(*at): None if last is None else OffsetAndMetadata(last, "", 3)}

        def once(**asked: object) -> object:
            monkeypatch.setattr(source._consumer, "poll", poll)
            raise LogTruncationError(truncated)

        monkeypatch.setattr(source._consumer, "poll", once)
        again = read(source, listener, RECORDS - (last or 0))
        assert [record.offset for record in again] == list(range(last or 0, RECORDS))
    assert f"{filled_topic}[{at.partition}] was truncated at offset {last or 0}" in caplog.text

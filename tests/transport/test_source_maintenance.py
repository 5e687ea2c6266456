"""What a source asks of Kafka's client, and how it lets go of partitions, where the broker alone would not show it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from kafka import OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CommitFailedError
from kafka.structs import ConsumerGroupMetadata

from schemas.errors import MembershipLost, TransportError
from schemas.ports import TopicPartition
from tests.transport.filled import RECORDS, read_all
from transport import kafka_source
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics


class Listener:
    """Records its calls, and fails to commit if asked to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, frozenset[TopicPartition]]] = []
        self.error: TransportError | None = None
        self.positions: dict[TopicPartition, int] = {}

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.calls.append(("assigned", partitions))
        return {at: offset for at, offset in self.positions.items() if at in partitions}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.calls.append(("revoked", partitions))
        if self.error is not None:
            raise self.error


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def source(embedded_broker: KafkaConnection, filled_topic: str, listener: Listener) -> Iterator[KafkaSource]:
    """A source that has read everything."""
    with closing(KafkaSource(embedded_broker, [filled_topic], group=None, listener=listener)) as opened:
        read_all(opened)
        yield opened


def test_every_setting_reaches_kafkas_client(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def open_client(*_: object, **settings: Any) -> None:
        asked.update(settings)
        raise TransportError("asked")

    monkeypatch.setattr(kafka_source, "open_client", open_client)
    settings = ConsumerOptions(
        session_timeout_s=7.0,
        heartbeat_interval_s=2.0,
        max_poll_interval_s=60.0,
        fetch_bytes=1000,
        instance="streamer-0",
    )
    with pytest.raises(TransportError, match="asked"):
        KafkaSource(KafkaConnection(servers=("broker:9092",)), ["clips"], group="streamers", options=settings)
    expected = {
        "group_id": "streamers",
        "session_timeout_ms": 7_000,
        "heartbeat_interval_ms": 2_000,
        "max_poll_interval_ms": 60_000,
        "group_instance_id": "streamer-0",
        "partition_assignment_strategy": [CooperativeStickyAssignor],
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": 1000,
    }
    assert {name: asked.get(name) for name in expected} == expected


def test_a_commit_has_the_time_of_one_request(source: KafkaSource, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, object]] = []
    monkeypatch.setattr(source, "_group", "streamers")
    monkeypatch.setattr(
        source._consumer, "commit", lambda offsets, timeout_ms=None: asked.append((offsets, timeout_ms))
    )
    source.commit({TopicPartition("clips", 1): 5})
    assert asked == [({KafkaTopicPartition("clips", 1): OffsetAndMetadata(5)}, source._connection.timeout_ms)]


def test_a_commit_that_is_not_waited_for_is_logged_if_it_fails(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[object, Callable[[object, object], None]]] = []
    monkeypatch.setattr(source, "_group", "streamers")
    monkeypatch.setattr(source._consumer, "commit_async", lambda offsets, callback: asked.append((offsets, callback)))
    source.commit({TopicPartition("clips", 1): 5}, wait=False)
    ((offsets, answered),) = asked
    assert offsets == {KafkaTopicPartition("clips", 1): OffsetAndMetadata(5)}
    answered(offsets, None)
    assert not caplog.records
    answered(offsets, CommitFailedError("moved on"))
    assert "offsets of group streamers not committed: CommitFailedError" in caplog.text


@pytest.mark.parametrize(("member", "generation"), [("", 3), ("member-1", -1)])
def test_who_is_no_member_has_no_membership_to_write_with(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch, member: str, generation: int
) -> None:
    metadata = ConsumerGroupMetadata("streamers", generation, member, None)
    monkeypatch.setattr(source._consumer, "group_metadata", lambda: metadata)
    with pytest.raises(MembershipLost, match="no member of group"):
        source.membership()
    joined = metadata._replace(member_id="member-1", generation_id=0)
    monkeypatch.setattr(source._consumer, "group_metadata", lambda: joined)
    assert source.membership() == joined


def test_partitions_that_were_lost_are_let_go_of_also_if_their_last_commit_is_refused(
    source: KafkaSource, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.error = TransportError("not a member any more")
    lost = frozenset(sorted(source.assignment())[:1])
    kept = source.assignment() - lost
    source._lose(lost)
    assert listener.calls[-1] == ("revoked", lost)
    assert source.assignment() == kept
    assert "not a member any more" in caplog.text


def test_partitions_given_up_are_reported_and_then_no_longer_counted(source: KafkaSource, listener: Listener) -> None:
    given_up = frozenset(sorted(source.assignment())[:1])
    source._give_up(given_up)
    assert listener.calls[-1] == ("revoked", given_up)
    assert not given_up & source.assignment()
    assert not given_up & source.lag().keys()


def test_a_partition_that_comes_back_begins_where_it_is_now_read(source: KafkaSource, listener: Listener) -> None:
    (read,) = (at for at, offset in source._next_offset.items() if offset == RECORDS)
    source._give_up(frozenset([read]))
    listener.positions[read] = 1
    source._start(frozenset([read]))
    assert source.lag()[read] == RECORDS - 1


@pytest.mark.kafka
def test_closing_calls_no_listener_and_leaves_no_thread_behind(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], listener: Listener
) -> None:
    topic = fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=topic)])
    before = set(threading.enumerate())
    source = KafkaSource(kafka_connection, [topic], group=fresh_name("group"), listener=listener)
    while not source.assignment():
        source.poll(max_records=1, timeout_s=0.5)
    source.close()
    assert [what for what, partitions in listener.calls if partitions] == ["assigned"]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("kafka-poll")]


def test_an_error_of_a_listener_that_names_positions_is_raised(
    embedded_broker: KafkaConnection, filled_topic: str
) -> None:
    class Gone(Listener):
        def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
            super().assigned(partitions)
            raise LookupError("the view is gone")

    listener = Gone()
    with closing(KafkaSource(embedded_broker, [filled_topic], group=None, listener=listener)) as source:
        for attempt in (1, 2):
            with pytest.raises(LookupError, match="the view is gone"):
                source.poll(max_records=1, timeout_s=0.1)
            assert len(listener.calls) == attempt

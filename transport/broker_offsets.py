"""What a broker says of topics and of the groups that read them, asked by a client of its own that is no member."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaTopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from schemas.errors import KafkaRefused, TransportError
from schemas.ports import TopicPartition
from transport.connection import KafkaConnection, open_client, transport_errors
from transport.group_offsets import assigned_to

_COMMITTED_ONLY: Final = "read_committed"
_SETTLED: Final = ("Stable", "Empty", "Dead")


class Span(NamedTuple):
    """A partition's first offset that is kept, and the one after the last that readers of committed records see."""

    start: int
    end: int


class BrokerOffsets(msgspec.Struct, frozen=True, kw_only=True):
    """Where topics begin and end, and how far groups have come.

    ``spans``: of each partition that answered. ``unanswered``: why the others did not. ``committed``: next offset to
    read, by group. ``held``: the partitions that members of a group have. A group that the broker says nothing of (its
    coordinator is unreachable, or this user may not describe it) is in neither. ``settled``: the groups that do not
    rebalance; of others the broker says what members held before, also of one that was killed.
    """

    spans: Mapping[TopicPartition, Span]
    unanswered: Mapping[TopicPartition, str] = {}
    committed: Mapping[str, Mapping[TopicPartition, int]] = {}
    held: Mapping[str, frozenset[TopicPartition]] = {}
    settled: Collection[str] = ()


class OffsetsReader(Protocol):
    """Asks a broker for its offsets."""

    def look(self, topics: Collection[str], groups: Collection[str]) -> BrokerOffsets:
        """The offsets now. Raises ``TransportError`` if no broker answers."""
        ...

    def close(self) -> None:
        """Disconnect. Idempotent."""
        ...


class KafkaOffsets:
    """An ``OffsetsReader`` on Kafka. Connects at the first ``look``, and again after one that failed; it is
    not a member of the group, so that rebalances do not affect it. Not thread-safe.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._admin: KafkaAdminClient | None = None

    def look(self, topics: Collection[str], groups: Collection[str]) -> BrokerOffsets:
        try:
            with transport_errors(self._connection, f"cannot measure the lag on {', '.join(sorted(topics))}"):
                admin = self._opened()
                spans, unanswered = self._spans(admin, topics)
                committed, held, settled = _groups(admin, groups, [*spans, *unanswered])
        except (TransportError, KafkaRefused):
            self.close()
            raise
        return BrokerOffsets(spans=spans, unanswered=unanswered, committed=committed, held=held, settled=settled)

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def _opened(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin, _ = open_client(KafkaAdminClient, self._connection)
        return self._admin

    def _spans(
        self, admin: KafkaAdminClient, topics: Iterable[str]
    ) -> tuple[dict[TopicPartition, Span], dict[TopicPartition, str]]:
        """A partition without a leader, or whose leader does not answer, keeps no other from being measured."""
        led, unanswered = _by_leader(admin.describe_topics(list(topics)))
        spans: dict[TopicPartition, Span] = {}
        failure: KafkaError | None = None
        for leader, partitions in led.items():
            try:
                spans |= self._spans_of(admin, partitions)
            except KafkaError as error:
                failure = error
                unanswered |= dict.fromkeys(partitions, f"broker {leader} does not answer ({type(error).__name__})")
        if failure is not None and not spans:
            raise failure
        return spans, unanswered

    def _spans_of(self, admin: KafkaAdminClient, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Span]:
        starts, ends = (
            admin.list_partition_offsets(
                {KafkaTopicPartition(*at): spec for at in partitions},
                isolation_level=_COMMITTED_ONLY,
                timeout_ms=self._connection.timeout_ms,
            )
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return {TopicPartition(at.topic, at.partition): Span(starts[at].offset, ends[at].offset) for at in starts}


def _by_leader(
    topics: Iterable[Mapping[str, Any]],
) -> tuple[dict[int, list[TopicPartition]], dict[TopicPartition, str]]:
    led: dict[int, list[TopicPartition]] = defaultdict(list)
    without: dict[TopicPartition, str] = {}
    for topic in topics:
        for partition in topic["partitions"]:
            at = TopicPartition(topic["name"], partition["partition_index"])
            if partition["leader_id"] < 0:
                without[at] = "it has no leader"
            else:
                led[partition["leader_id"]].append(at)
    return led, without


def _groups(
    admin: KafkaAdminClient, groups: Iterable[str], partitions: Collection[TopicPartition]
) -> tuple[dict[str, dict[TopicPartition, int]], dict[str, frozenset[TopicPartition]], set[str]]:
    committed: dict[str, dict[TopicPartition, int]] = {}
    held: dict[str, frozenset[TopicPartition]] = {}
    settled: set[str] = set()
    for group in groups:
        try:
            found = admin.list_group_offsets({group: [KafkaTopicPartition(*at) for at in partitions]})[group]
            committed[group] = {
                TopicPartition(at.topic, at.partition): kept.offset for at, kept in found.items() if kept.offset >= 0
            }
            described = admin.describe_groups([group])[group]
            held[group] = frozenset(at for member in described["members"] for at in assigned_to(member))
            if described["group_state"] in _SETTLED:
                settled.add(group)
        except KafkaError:
            continue  # its coordinator moves, or this user may not see it
    return committed, held, settled

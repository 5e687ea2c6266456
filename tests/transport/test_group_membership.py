"""A member that lost its broker does not keep its successor waiting until its session has timed out."""

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from schemas.errors import MembershipLost
from schemas.ports import RebalanceListener, TopicPartition
from tests.servers.kafka import KafkaServer
from tests.waiting import wait_until
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection, open_client
from transport.group_membership import Rejoining
from transport.group_offsets import members_of
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

LONG_S = 600.0
"""A session that outlasts every wait of these tests."""

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


class Listener:
    def assigned(self, _: frozenset[object]) -> dict[object, int]:
        return {}

    def revoked(self, _: frozenset[object]) -> None: ...


def rejoining(connection: KafkaConnection, topic: str, group: str, instance: str | None = None) -> Rejoining:
    ensure_topics(connection, [TopicSpec(name=topic, partitions=2)])
    options = ConsumerOptions(session_timeout_s=LONG_S, heartbeat_interval_s=1.0, instance=instance)

    def open_source(listener: RebalanceListener) -> KafkaSource:
        return KafkaSource(connection, [topic], group=group, listener=listener, options=options)

    return Rejoining(connection, group, open_source)


def joined(source: KafkaSource) -> None:
    wait_until(source.assignment, lambda: source.poll(max_records=1, timeout_s=0.5), what="it was given no partitions")


@pytest.mark.tried(
    kind="readiness by memory",
    given="a streamer, without an instance name, whose broker was down while it reconnected",
    outcome="it has its partitions at once, not after the session timeout",
)
@pytest.mark.parametrize("harm", ["killed", "stopped"])
def test_after_an_outage_a_member_takes_over_from_the_one_that_it_was(own_kafka_server: KafkaServer, harm: str) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,), timeout_s=5.0)
    opening = rejoining(connection, "t", "g")
    first = opening(Listener())
    joined(first)
    end: dict[str, Callable[[], None]] = {"killed": own_kafka_server.kill, "stopped": own_kafka_server.stop}
    end[harm]()
    first.close()
    own_kafka_server.start()
    with closing(opening(Listener())) as second:
        joined(second)
        assert len(members_of(connection, "g")) == 1


def test_a_member_that_left_in_order_is_not_missed(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    opening = rejoining(kafka_connection, fresh_name("t"), fresh_name("g"))
    for _ in range(2):
        with closing(opening(Listener())) as source:
            joined(source)


def test_a_static_member_is_never_removed(kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> None:
    group = fresh_name("g")
    opening = rejoining(kafka_connection, fresh_name("t"), group, instance="pod-1")
    first = opening(Listener())
    joined(first)
    first.close()
    assert first.left_behind is None
    assert [member.instance for member in members_of(kafka_connection, group)] == ["pod-1"]


@pytest.mark.tried(
    kind="readiness by memory",
    given="a member that its group removes while it rejoins, which Kafka's client tells nobody",
    outcome="it commits nothing of what it read as the member that it was, and reads again from what is committed",
)
def test_a_member_that_was_removed_while_it_rejoined_commits_nothing_of_before(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topic, group = fresh_name("t"), fresh_name("g")
    ensure_topics(kafka_connection, [TopicSpec(name=topic, partitions=2)])
    options = ConsumerOptions(session_timeout_s=LONG_S, heartbeat_interval_s=LONG_S / 3)
    with closing(KafkaSource(kafka_connection, [topic], group=group, options=options)) as source:
        joined(source)
        before = member_id(source)
        admin, _ = open_client(KafkaAdminClient, kafka_connection)
        with closing(admin):
            admin.remove_group_members(group, [MemberToRemove(member_id=before)])
        source._consumer._coordinator.request_rejoin()  # as another member that joins would have it do
        with pytest.raises(MembershipLost, match="removed this member while it rejoined"):
            wait_until(lambda: False, lambda: source.poll(max_records=1, timeout_s=0.5), what="it never noticed")
        assert member_id(source) != before
        for use in (source.membership, lambda: source.commit({TopicPartition(topic, 0): 0})):
            with pytest.raises(MembershipLost):
                use()
    with closing(KafkaSource(kafka_connection, [topic], group=group, options=options)) as source:
        joined(source)
        assert member_id(source)


def member_id(source: KafkaSource) -> str:
    found: str = source._consumer.group_metadata().member_id
    return found

"""The contract of members of a consumer group, for the memory broker and a real Apache Kafka."""

from schemas.ports import Record, TopicPartition
from tests.contracts.transports import (
    PARTITIONS,
    Transport,
    Watcher,
    groups_of_several,
    polled_together,
    positions,
    upload,
    values,
    write,
)
from tests.waiting import read, wait_until


@groups_of_several
def test_two_members_share_the_partitions(transport: Transport, topic: str, group: str) -> None:
    write(transport, [upload(topic, n) for n in range(100)])
    members = [transport.source([topic], group=group) for _ in range(2)]
    both_have_some = lambda: all(member.assignment() for member in members)  # noqa: E731
    wait_until(both_have_some, lambda: [member.poll(max_records=1, timeout_s=0.2) for member in members])
    first, second = (member.assignment() for member in members)
    assert not first & second
    assert first | second == {TopicPartition(topic, number) for number in range(PARTITIONS)}


@groups_of_several
def test_records_committed_on_revocation_are_not_read_by_the_next_member(
    transport: Transport, topic: str, group: str
) -> None:
    write(transport, [upload(topic, n) for n in range(100)])
    watcher = Watcher()
    first = transport.source([topic], group=group, listener=watcher)
    seen = read(first, 100)

    def commit_what_was_seen(partitions: frozenset[TopicPartition]) -> None:
        first.commit({at: offset for at, offset in positions(seen).items() if at in partitions})

    watcher.on_revoked = commit_what_was_seen
    second = transport.source([topic], group=group)
    late: list[Record] = []

    def both_poll() -> None:
        late.extend(polled_together(first, second))

    wait_until(lambda: bool(first.assignment() and second.assignment()), both_poll)
    write(transport, [upload(topic, n) for n in range(100, 140)])
    wait_until(lambda: len(late) >= 40, both_poll)
    assert values(late) == sorted(b"value-%d" % n for n in range(100, 140))


@groups_of_several
def test_partitions_are_reported_revoked_before_another_member_gets_them(
    transport: Transport, topic: str, group: str
) -> None:
    watchers = [Watcher(), Watcher()]
    first = transport.source([topic], group=group, listener=watchers[0])
    wait_until(lambda: len(first.assignment()) == PARTITIONS, lambda: first.poll(max_records=1, timeout_s=0.2))
    watchers[0].on_revoked = lambda partitions: assert_not_assigned_yet()

    def assert_not_assigned_yet() -> None:
        assert not any(what == "assigned" for what, _ in watchers[1].calls)

    second = transport.source([topic], group=group, listener=watchers[1])
    wait_until(
        lambda: bool(first.assignment() and second.assignment()),
        lambda: polled_together(first, second),
    )
    what, given_up = watchers[0].calls[1]
    assert what == "revoked"
    assert second.assignment() <= given_up  # Kafka moves only these; in memory all are revoked and assigned again
    assert [call for call in watchers[1].calls if call[1]] == [("assigned", second.assignment())]


@groups_of_several
def test_a_member_that_leaves_hands_its_partitions_over(transport: Transport, topic: str, group: str) -> None:
    first = transport.source([topic], group=group)
    second = transport.source([topic], group=group)
    wait_until(
        lambda: bool(first.assignment() and second.assignment()),
        lambda: polled_together(first, second),
    )
    first.close()
    wait_until(lambda: len(second.assignment()) == PARTITIONS, lambda: second.poll(max_records=1, timeout_s=0.2))

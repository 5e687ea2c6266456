"""Records that are dropped before they are read are reported to the listener, whoever keeps the position."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from schemas.errors import DeletionsLost
from schemas.ports import LogGap, TopicPartition
from tests.contracts.transports import (
    ON_KAFKA,
    InMemory,
    OnKafka,
    Transport,
    Watcher,
    positions,
    upload,
    write,
)
from tests.waiting import read, wait_until

ONE = "one partition"


@pytest.fixture(params=["memory", ON_KAFKA])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """One on which records can be deleted."""
    opened = InMemory() if request.param == "memory" else OnKafka(request.getfixturevalue("kafka_connection"))
    with closing(opened) as transport:
        yield transport


@pytest.fixture
def filled(transport: Transport, topic: str) -> TopicPartition:
    """The partition that holds ten records."""
    write(transport, [upload(topic, n, challenge=ONE) for n in range(10)])
    return read(transport.source([topic], group=None), 10)[0].topic_partition


def committed_at(transport: Transport, at: TopicPartition, group: str, offset: int) -> None:
    with closing(transport.source([at.topic], group=group)) as source:
        source.commit(positions(read(source, 10)[:offset]))


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="uploads that retention dropped while no member of the group ran",
    outcome="reported with topic, partition and offsets; what is left is read",
)
def test_a_commit_before_the_beginning_is_a_gap_that_is_reported_once(
    transport: Transport, filled: TopicPartition, group: str
) -> None:
    committed_at(transport, filled, group, 3)
    transport.delete_records(filled, 7)
    watcher = Watcher()
    with closing(transport.source([filled.topic], group=group, listener=watcher)) as source:
        assert [record.offset for record in read(source, 3)] == [7, 8, 9]
        assert watcher.gaps == [LogGap(filled, 3, 7)]
    again = Watcher()
    with closing(transport.source([filled.topic], group=group, listener=again)) as source:
        assert [record.offset for record in read(source, 3)] == [7, 8, 9]
    assert again.gaps == []


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="a view's own position, of which the records are no longer kept",
    outcome="reported; what is left is read",
)
@pytest.mark.parametrize("grouped", [True, False], ids=["group", "no group"])
def test_a_position_of_the_listener_before_the_beginning_is_reported(
    transport: Transport, filled: TopicPartition, group: str, grouped: bool
) -> None:
    transport.delete_records(filled, 7)
    watcher = Watcher({filled: 2})
    source = transport.source([filled.topic], group=group if grouped else None, listener=watcher)
    assert [record.offset for record in read(source, 3)] == [7, 8, 9]
    assert watcher.gaps == [LogGap(filled, 2, 7)]


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="a reader that retention overtakes while it is paused",
    outcome="reported; it continues with what is left",
)
@pytest.mark.parametrize("grouped", [True, False], ids=["group", "no group"])
def test_a_reader_that_is_overtaken_reports_the_gap_and_continues(
    transport: Transport, topic: str, group: str, grouped: bool
) -> None:
    watcher = Watcher()
    source = transport.source([topic], group=group if grouped else None, listener=watcher)
    write(transport, [upload(topic, n, challenge=ONE) for n in range(5)])
    records = read(source, 5)
    (at,) = positions(records)
    if grouped:
        source.commit(positions(records))
    watcher.start = positions(records)
    source.pause()
    source.poll(max_records=1, timeout_s=0.2)
    write(transport, [upload(topic, n, challenge=ONE) for n in range(5, 12)])
    transport.delete_records(at, 9)
    source.resume()
    assert [record.offset for record in read(source, 3)] == [9, 10, 11]
    assert watcher.gaps == [LogGap(at, 5, 9)]
    assert ("revoked", frozenset([at])) in watcher.calls  # what was in flight could be finished


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="every record of a partition dropped, also those that were not read",
    outcome="the gap reaches to the end, and new records are read",
)
def test_a_partition_that_was_emptied_is_a_gap_up_to_its_end(
    transport: Transport, filled: TopicPartition, group: str
) -> None:
    committed_at(transport, filled, group, 3)
    transport.delete_records(filled, 10)
    watcher = Watcher()
    source = transport.source([filled.topic], group=group, listener=watcher)
    wait_until(lambda: bool(watcher.gaps), lambda: source.poll(max_records=1, timeout_s=0.2))
    assert watcher.gaps == [LogGap(filled, 3, 10)]
    write(transport, [upload(filled.topic, 10, challenge=ONE)])
    assert [record.offset for record in read(source, 1)] == [10]


def test_a_group_without_a_commit_begins_at_the_beginning_and_misses_nothing(
    transport: Transport, filled: TopicPartition, group: str
) -> None:
    transport.delete_records(filled, 4)
    watcher = Watcher()
    assert len(read(transport.source([filled.topic], group=group, listener=watcher), 6)) == 6
    assert watcher.gaps == []


@pytest.mark.parametrize("grouped", [True, False], ids=["group", "no group"])
def test_what_the_listener_raises_about_a_gap_comes_out_of_poll_and_nothing_is_read(
    transport: Transport, filled: TopicPartition, group: str, grouped: bool
) -> None:
    transport.delete_records(filled, 7)
    watcher = Watcher({filled: 2})
    watcher.refuses = DeletionsLost("deletions are missing")
    for _ in range(2):
        with (
            closing(transport.source([filled.topic], group=group if grouped else None, listener=watcher)) as source,
            pytest.raises(DeletionsLost, match="deletions are missing"),
        ):
            wait_until(lambda: False, lambda: nothing_of(filled, source.poll(max_records=10, timeout_s=0.2)))
    assert watcher.gaps == [LogGap(filled, 2, 7)] * 2


def nothing_of(at: TopicPartition, records: list) -> None:
    assert at not in {record.topic_partition for record in records}

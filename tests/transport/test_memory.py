"""The in-memory broker keeps time by its clock and serves several threads."""

import threading

from schemas.clock import ManualClock
from schemas.ports import OutgoingRecord, Record
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

TOPICS = ["clips.scored", "clips.deleted"]


def test_records_are_stamped_by_the_brokers_clock() -> None:
    clock = ManualClock(start_ms=1_000)
    broker = MemoryBroker(clock)
    broker.ensure_topics([TopicSpec(name="clips")])
    sink = MemorySink(broker)
    for _ in range(2):
        sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
        sink.flush(1.0)
        clock.advance(2.5)
    assert [record.timestamp_ms for record in broker.records("clips")] == [1_000, 3_500]


def test_a_record_is_not_readable_before_it_is_flushed() -> None:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name="clips")])
    sink, source = MemorySink(broker), MemorySource(broker, ["clips"], group=None)
    sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
    assert not source.poll(max_records=1, timeout_s=0.0)
    sink.flush(1.0)
    assert len(source.poll(max_records=1, timeout_s=0.0)) == 1


def test_a_waiting_poll_wakes_for_a_record() -> None:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name="clips")])
    source = MemorySource(broker, ["clips"], group="g")
    got: list[Record] = []
    reader = threading.Thread(target=lambda: got.extend(source.poll(max_records=1, timeout_s=30.0)))
    reader.start()
    sink = MemorySink(broker)
    sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
    sink.flush(1.0)
    reader.join(10.0)
    assert [record.key for record in got] == [b"clip-1"]


def test_members_on_threads_read_everything_once_between_them() -> None:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name="clips", partitions=6)])
    sink = MemorySink(broker)
    for number in range(600):
        sink.send(OutgoingRecord("clips", b"%d" % number, b"value"))
    seen: list[bytes | None] = []
    done = threading.Event()

    def read_and_commit(source: MemorySource) -> None:
        while not done.is_set():
            records = source.poll(max_records=7, timeout_s=0.01)
            seen.extend(record.key for record in records)
            source.commit({record.topic_partition: record.offset + 1 for record in records})
            if len(seen) >= 600:
                done.set()

    members = [MemorySource(broker, ["clips"], group="g") for _ in range(3)]
    threads = [threading.Thread(target=read_and_commit, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    sink.flush(1.0)
    for thread in threads:
        thread.join(20.0)
    assert len(seen) == len(set(seen)) == 600
    assert sum(broker.committed("g").values()) == 600


def test_two_topics_with_like_partitions_are_shared_alike() -> None:
    broker = MemoryBroker()
    broker.ensure_topics([TopicSpec(name=topic) for topic in TOPICS])
    members = [MemorySource(broker, TOPICS, group="g") for _ in range(2)]
    for _ in range(3):
        for member in members:
            member.poll(max_records=1, timeout_s=0.0)
    for member in members:
        numbers = {topic: {at.partition for at in member.assignment() if at.topic == topic} for topic in TOPICS}
        assert numbers["clips.scored"] == numbers["clips.deleted"] != set()

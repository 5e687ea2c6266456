"""A broker in memory, and the source and sink on it: Kafka's behaviour towards its clients, without sockets or threads.

For tests and for whole pipelines in one process. It keeps all records, never fails, and takes time from a
clock. A group rebalances as Kafka's eager protocol does: every member gives up its partitions in its next ``poll``, and
only when all have done so does each get its share in the ``poll`` after. A member that neither polls nor closes blocks
its group.
"""

import itertools
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from schemas.clock import Clock, SystemClock
from schemas.errors import ConfigurationError, TransportError
from schemas.ports import OutgoingRecord, RebalanceListener, Record, RecordSource, TopicPartition
from transport.broker_offsets import BrokerOffsets, Span
from transport.partitioning import partition_of
from transport.refusals import check_size
from transport.starting_offsets import starting_offsets
from transport.topics import TopicSpec

_ANY_SIZE: Final = 1 << 62


class MemoryBroker:
    """Topics, their records, and the committed offsets of groups. Safe to share between threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._topics: dict[str, list[list[Record]]] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._groups: dict[str, _Group] = {}
        self._version = 0

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create the topics that are absent; settings other than the number of partitions have no meaning here."""
        with self._changed:
            for spec in specs:
                self._topics.setdefault(spec.name, [[] for _ in range(spec.partitions)])

    def add_partitions(self, topic: str, total: int) -> None:
        """Give a topic partitions until it has ``total``; the groups that read it share all partitions out."""
        with self._changed:
            log = self._log(topic)
            log += [[] for _ in range(total - len(log))]
            for group in self._groups.values():
                if any(topic in member._topics for member in group.members):
                    group.rebalance()
            self._notify()

    def records(self, topic: str) -> list[Record]:
        """Every record that is kept of a topic, partition after partition."""
        with self._changed:
            found = [record for partition in self._log(topic) for record in partition]
            return [record for record in found if record.offset >= self._start(record.topic_partition)]

    def delete_records(self, at: TopicPartition, before: int) -> None:
        """Drop what stands before an offset, as retention does."""
        with self._changed:
            self._starts[at] = max(before, self._start(at))
            self._notify()

    def _start(self, at: TopicPartition) -> int:
        return self._starts.get(at, 0)

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """Next offset to read of each partition that the group has committed."""
        with self._changed:
            return dict(self._groups[group].committed) if group in self._groups else {}

    def _notify(self) -> None:
        """Something changed that a waiting ``poll`` may be waiting for. Called with the lock held."""
        self._version += 1
        self._changed.notify_all()

    def _log(self, topic: str) -> list[list[Record]]:
        try:
            return self._topics[topic]
        except KeyError:
            raise TransportError(f"no topic {topic} (in memory); create it first") from None

    def _append(self, records: Iterable[OutgoingRecord], turn: Iterator[int]) -> None:
        with self._changed:
            for record in records:
                log = self._log(record.topic)
                number = partition_of(record, len(log), next(turn))
                offset, now_ms = len(log[number]), self._clock.now_ms()
                stored = Record(record.topic, number, offset, now_ms, record.key, record.value, record.headers)
                log[number].append(stored)
            self._notify()

    def _ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {at: len(self._log(at.topic)[at.partition]) for at in partitions}

    def _partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in range(len(self._log(topic)))]


class MemoryOffsets:
    """An ``OffsetsReader`` of a ``MemoryBroker``. ``leaderless``: partitions that do not answer."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.leaderless: set[TopicPartition] = set()

    def look(self, topics: Collection[str], groups: Collection[str]) -> BrokerOffsets:
        with self._broker._changed:
            known = self._broker._partitions(topic for topic in topics if topic in self._broker._topics)
            ends = self._broker._ends(at for at in known if at not in self.leaderless)
            members = {name: self._broker._groups[name].members for name in groups if name in self._broker._groups}
            return BrokerOffsets(
                spans={at: Span(self._broker._start(at), end) for at, end in ends.items()},
                unanswered=dict.fromkeys(self.leaderless & set(known), "it has no leader"),
                committed={name: self._broker.committed(name) for name in groups},
                held={name: frozenset(at for m in members.get(name, ()) for at in m.assignment()) for name in groups},
                settled={name for name in groups if name not in members or not self._broker._groups[name].rebalancing},
            )

    def close(self) -> None:
        """There is nothing to close."""


class MemorySink:
    """A ``RecordSink`` on a ``MemoryBroker``. Records are readable once flushed, as a batch that was acknowledged."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._queued: list[OutgoingRecord] = []
        self._turn = itertools.count()

    def send(self, record: OutgoingRecord) -> None:
        check_size(record, _ANY_SIZE)
        with self._broker._changed:
            self._broker._log(record.topic)
        self._queued.append(record)

    def partitions(self, topic: str) -> int:
        with self._broker._changed:
            return len(self._broker._log(topic))

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - memory never waits
        queued, self._queued = self._queued, []
        self._broker._append(queued, self._turn)

    def close(self) -> None:
        self.flush(0.0)


class MemoryTransactionalSink:
    """A ``TransactionalSink`` on a ``MemoryBroker``, for a ``MemorySource``."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._turn = itertools.count()

    def check(self, record: OutgoingRecord) -> None:
        check_size(record, _ANY_SIZE)

    def commit(
        self, records: Sequence[OutgoingRecord], positions: Mapping[TopicPartition, int], source: RecordSource
    ) -> None:
        with self._broker._changed:
            source.commit(positions)
            self._broker._append(records, self._turn)

    def close(self) -> None:
        """There is nothing to close."""


class MemorySource:
    """A ``RecordSource`` on a ``MemoryBroker``; ``group`` and ``listener`` as for ``KafkaSource``."""

    def __init__(
        self,
        broker: MemoryBroker,
        topics: Iterable[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
    ) -> None:
        self._broker = broker
        self._topics = sorted(set(topics))
        self._listener = listener
        self._next_offset: dict[TopicPartition, int] = {}
        self._turn = 0
        self._paused = False
        self._closed = False
        self._group: _Group | None = None
        if group is not None:
            with broker._changed:
                self._group = broker._groups.setdefault(group, _Group())
                self._group.join(self)
                broker._notify()

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self._closed:
            raise TransportError("the source is closed")
        broker, deadline_s = self._broker, time.monotonic() + timeout_s
        while True:
            seen = broker._version
            self._follow_assignment()
            with broker._changed:
                overtaken = {at for at, offset in self._next_offset.items() if offset < broker._start(at)}
            if overtaken:
                self._start_again(frozenset(overtaken))
            with broker._changed:
                records = [] if self._paused else self._take(max_records)
                left_s = deadline_s - time.monotonic()
                if records or left_s <= 0:
                    return records
                broker._changed.wait_for(lambda: broker._version != seen, timeout=left_s)  # noqa: B023 - called at once

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:  # noqa: ARG002 - memory never waits
        if self._group is None:
            raise ConfigurationError("a source without a group cannot commit; its positions are kept by the listener")
        with self._broker._changed:
            strange = positions.keys() - self._next_offset.keys()
            if strange:
                raise TransportError(f"cannot commit {sorted(strange)}: not assigned to this member")
            self._group.committed.update(positions)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._next_offset)

    @property
    def is_unreachable(self) -> bool:
        return False

    def membership(self) -> object:
        return self

    def lag(self) -> Mapping[TopicPartition, int]:
        ends = self.end_offsets()
        return {at: max(0, ends[at] - offset) for at, offset in self._next_offset.items()}

    @property
    def is_expecting(self) -> bool:
        return False

    @property
    def is_member(self) -> bool:
        return bool(self._next_offset) if self._group is None else not self._group.awaits(self)

    def positions(self) -> Mapping[TopicPartition, int]:
        return dict(self._next_offset)

    def end_offsets(self) -> Mapping[TopicPartition, int]:
        with self._broker._changed:
            return self._broker._ends(self._next_offset)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._broker._changed:
            self._next_offset.clear()
            if self._group is not None:
                self._group.leave(self)
                self._broker._notify()

    def _follow_assignment(self) -> None:
        """Give partitions up or take them on, as the group demands. The listener is called without the lock."""
        if self._group is None:
            with self._broker._changed:
                added = set(self._broker._partitions(self._topics)) - self._next_offset.keys()
            if added:
                self._start(added)
            return
        with self._broker._changed:
            must_give_up = self._group.awaits(self)
        if must_give_up:
            if self._listener and self._next_offset:
                self._listener.revoked(frozenset(self._next_offset))
            with self._broker._changed:
                self._next_offset.clear()
                self._group.gave_up(self)
                if self._group.is_free():
                    self._group.divide(
                        {member: self._broker._partitions(member._topics) for member in self._group.members}
                    )
                    self._broker._notify()
        with self._broker._changed:
            share = self._group.shares.pop(self, None)
        if share is not None:
            self._start(share)

    def _start_again(self, partitions: frozenset[TopicPartition]) -> None:
        if self._listener is not None:
            self._listener.revoked(partitions)
        for at in partitions:
            del self._next_offset[at]
        self._start(partitions)

    def _start(self, partitions: Iterable[TopicPartition]) -> None:
        assigned = frozenset(partitions)
        positions = self._listener.assigned(assigned) if self._listener and assigned else {}
        with self._broker._changed:
            committed = self._group.committed if self._group is not None else {}
            starts = {at: self._broker._start(at) for at in assigned}
            start = starting_offsets(positions, committed, starts, self._broker._ends(assigned), "in memory")
        for gap in start.gaps:
            if self._listener is not None:
                self._listener.dropped(gap)
            if self._group is not None:
                self._group.committed[gap.at] = gap.start
        self._next_offset |= start.offsets

    def _take(self, max_records: int) -> list[Record]:
        """The next records; each call begins with another partition, so that a busy one starves none."""
        order = list(self._next_offset)
        self._turn += 1
        taken: list[Record] = []
        for step in range(len(order)):
            at = order[(self._turn + step) % len(order)]
            start = self._next_offset[at]
            batch = self._broker._log(at.topic)[at.partition][start : start + max_records - len(taken)]
            self._next_offset[at] = start + len(batch)
            taken += batch
        return taken


class _Group:
    """A consumer group: who belongs to it, who has given up its partitions, and who gets which next."""

    def __init__(self) -> None:
        self.members: list[MemorySource] = []
        self.committed: dict[TopicPartition, int] = {}
        self.shares: dict[MemorySource, list[TopicPartition]] = {}
        self._to_give_up: set[MemorySource] = set()
        self.rebalancing = False

    def join(self, member: MemorySource) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: MemorySource) -> None:
        self.members.remove(member)
        self.rebalance()

    def awaits(self, member: MemorySource) -> bool:
        return member in self._to_give_up

    def gave_up(self, member: MemorySource) -> None:
        self._to_give_up.discard(member)

    def is_free(self) -> bool:
        """Whether a rebalance is under way and no member holds on to a partition."""
        return self.rebalancing and not self._to_give_up

    def divide(self, readable: Mapping[MemorySource, Sequence[TopicPartition]]) -> None:
        """Topic by topic in ranges, in the order of joining: partition n of two like topics goes to one member."""
        self.rebalancing = False
        self.shares = {member: [] for member in self.members}
        for topic in sorted({at.topic for partitions in readable.values() for at in partitions}):
            readers = [member for member in self.members if any(at.topic == topic for at in readable[member])]
            partitions = [at for at in readable[readers[0]] if at.topic == topic]
            for at in partitions:
                self.shares[readers[at.partition * len(readers) // len(partitions)]].append(at)

    def rebalance(self) -> None:
        """Every member has to give up what it has before the partitions are shared out."""
        self.rebalancing = True
        self._to_give_up = set(self.members)
        self.shares = {}

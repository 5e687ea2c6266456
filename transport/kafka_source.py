"""Reads records from Kafka, as a member of a consumer group or, without a group, every partition of its topics."""

import logging
import queue
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.future import Future

from schemas.errors import ConfigurationError, Fenced, KafkaRefused, MembershipLost, PositionBeyondLog, TransportError
from schemas.ports import RebalanceListener, Record, TopicPartition
from transport.batches.unreadable import BatchReader
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection, open_client, transport_errors
from transport.kafka_commits import commit
from transport.kafka_internals import TopicIds, has_leader, in_flight, known_partitions, next_to_return, read_batches_by
from transport.kafka_partitions import listed, offsets_where_led, ours, theirs
from transport.rebalances import Call, Rebalances
from transport.standstill import STANDSTILL_S, Standstill
from transport.starting_offsets import not_there, starting_offsets

log = logging.getLogger(__name__)

_JOINING_POLL_S: Final = 1.0
_ANYWHERE: Final[Mapping[TopicPartition, int]] = MappingProxyType({})
_DEFAULTS: Final = ConsumerOptions()


class KafkaSource:
    """A ``RecordSource``.

    With a ``group`` the members share the partitions and start at the committed offsets; without one this source reads
    all partitions of ``topics``, and cannot commit. Partitions that are added later are read from their beginning, once
    the client has refreshed its metadata. In both cases ``listener`` may name the positions to start at. It is called
    on the thread that polls, where it may commit. Records of aborted transactions are skipped. A partition without any
    position begins at its beginning. Kafka's client never chooses another position by itself: records that were dropped
    before they were read are reported to ``listener``, at the start and while reading, and a log that has lost its
    newest records, or was created again, is read again from there.

    While the broker is unreachable ``poll`` returns nothing and ``commit`` raises within its time limit. If the client
    cannot recover, ``poll`` raises ``TransportError``; open a new source. Not thread-safe. Raises ``TransportError`` if
    no broker answers; ``poll`` raises ``PositionBeyondLog`` for a position of the listener that is not in its log.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Iterable[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
        options: ConsumerOptions = _DEFAULTS,
    ) -> None:
        self._connection = connection
        self._topics = sorted(set(topics))
        self._group = group
        self._listener = listener
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._next_offset: dict[TopicPartition, int] = {}
        self._passed: dict[TopicPartition, int] = {}
        self._paused = self._closed = False
        self._is_dynamic = group is not None and options.instance is None
        self._member_id: str | None = None
        self.left_behind: str | None = None
        """Once closed, the id of a member that its group has to be rid of, in case that the broker was unreachable."""
        self._is_unreachable = False
        self._standstill = Standstill()
        # Kafka's client calls back on its own network thread; such calls come through here to the thread that polls.
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._poller = ThreadPoolExecutor(1, thread_name_prefix="kafka-poll")
        group_settings = {
            "group_id": group,
            "session_timeout_ms": round(options.session_timeout_s * 1000),
            "heartbeat_interval_ms": round(options.heartbeat_interval_s * 1000),
            "max_poll_interval_ms": round(options.max_poll_interval_s * 1000),
            "group_instance_id": options.instance,
            # Members keep what they have while others come and go; only what moves stands still.
            "partition_assignment_strategy": [CooperativeStickyAssignor],
        }
        self._consumer, self._network = open_client(
            KafkaConsumer,
            connection,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=min(connection.fetch_wait_ms, connection.timeout_ms // 2),
            max_partition_fetch_bytes=options.fetch_bytes,
            allow_auto_create_topics=connection.topics_on_demand,
            **(group_settings if group is not None else {}),
        )
        self._topic_ids = TopicIds(self._network, self._topics)
        read_batches_by(BatchReader(options.max_batch_bytes), self._consumer)
        if group is not None:
            self._consumer.subscribe(self._topics, listener=self._rebalances())
            # The client compares the partitions at joining with those of the first update after subscribing. What it
            # fetched earlier does not count: without this update it would join, share out, and join once more.
            with transport_errors(connection, f"cannot read {', '.join(self._topics)}"):
                self._consumer.topics()

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self._group is None:
            self._assign_all()
        elif not self._assigned:
            # A poll that ends just as the group answers makes the client join once more. So few end while it joins, and
            # not all after a round length: brokers answer after whole seconds.
            timeout_s = max(timeout_s, _JOINING_POLL_S) * random.uniform(0.5, 1.0)
        self._check_same_member()
        self._look_for_replaced_topics()
        deadline_s = time.monotonic() + timeout_s
        polling = self._poller.submit(self._consumer.poll, timeout_ms=round(timeout_s * 1000), max_records=max_records)
        polling.add_done_callback(lambda _: self._calls.put(None))
        errors: list[BaseException] = []
        while (call := self._calls.get()) is not None:
            errors += call.answer()
            self._network.wakeup()
        if errors:
            raise errors[0]
        with transport_errors(self._connection, f"cannot read {', '.join(self._topics)}"):
            try:
                fetched = polling.result()
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                self._start_again(not_there(error))
                fetched = {}
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._await_broker(error, deadline_s)
                return []
        self._commit_passed()
        records = self._received(fetched)
        if not records:
            self._look_for_standstill()
        return records

    def pause(self) -> None:
        self._paused = True
        self._standstill.forget()
        self._consumer.pause(*map(theirs, self._assigned))

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(*map(theirs, self._assigned))

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
        if self._group is None:
            raise ConfigurationError("a source without a group cannot commit; its positions are kept by the listener")
        self._check_same_member()
        with transport_errors(self._connection, f"cannot commit {listed(positions)} for group {self._group}"):
            commit(self._consumer, positions, self._connection.timeout_ms if wait else None, self._group)

    def assignment(self) -> frozenset[TopicPartition]:
        return self._assigned

    @property
    def is_unreachable(self) -> bool:
        return self._is_unreachable

    def membership(self) -> object:
        """kafka-python's metadata of this member, by which brokers from 2.5 on refuse one that was given up.

        Raises ``MembershipLost`` for one that knows it: brokers would let through who says nothing of a membership.
        """
        metadata = self._consumer.group_metadata()
        if metadata.generation_id < 0 or not metadata.member_id:
            raise MembershipLost(f"no member of group {self._group} at the moment")
        self._check_same_member()
        return metadata

    def _check_same_member(self) -> None:
        """Raise ``MembershipLost`` if the partitions were assigned to a member that this one is not any more: who is
        removed while it rejoins joins under a new id, and kafka-python keeps its partitions without telling the
        listener, though others may have read them meanwhile.
        """
        if self._group and self._assigned and self._consumer.group_metadata().member_id not in ("", self._member_id):
            raise MembershipLost(f"group {self._group} removed this member while it rejoined")

    def lag(self) -> Mapping[TopicPartition, int]:
        ends = {at: self._consumer.highwater(theirs(at)) for at in self._assigned}
        return {at: max(0, end - self._position(at)) for at, end in ends.items() if end is not None}

    @property
    def is_expecting(self) -> bool:
        return in_flight(self._consumer)

    @property
    def is_member(self) -> bool:
        return bool(self._assigned) or (self._group is not None and self._consumer.group_metadata().generation_id >= 0)

    def positions(self) -> Mapping[TopicPartition, int]:
        own = next_to_return(self._consumer, self._assigned)  # passes offsets without a record: transaction markers
        return {at: offset for at in self._assigned if (offset := max(self._next_offset.get(at, 0), own.get(at, 0)))}

    def end_offsets(self) -> Mapping[TopicPartition, int]:
        with transport_errors(self._connection, "cannot read end offsets"):
            return self._where_led(self._consumer.end_offsets, self._assigned)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._poller.shutdown()
        if self._is_dynamic:
            self.left_behind = self._consumer.group_metadata().member_id or None
        with transport_errors(self._connection, "cannot leave the group"):
            self._consumer.close(autocommit=False, timeout_ms=self._connection.timeout_ms)

    def _await_broker(self, error: KafkaError, deadline_s: float) -> None:
        if not self._is_unreachable:
            self._is_unreachable = True
            log.warning("cannot read %s for now (Kafka at %s): %s", ", ".join(self._topics), self._connection, error)
        # The client failed at once; callers that poll in a loop count on being held for as long as they said.
        time.sleep(max(0.0, deadline_s - time.monotonic()))

    def _look_for_standstill(self) -> None:
        """Raise ``TransportError`` if records wait where none was returned from one look to the next."""
        if self._paused or not self._assigned or not self._standstill.is_due():
            return
        try:
            ends = self.end_offsets()
        except TransportError:
            self._is_unreachable = True
            return  # unreachable, which is not a standstill
        self._is_unreachable = False
        if stuck := self._standstill.look({at: self._position(at) for at in self._assigned}, ends):
            raise TransportError(
                f"nothing was read of {listed(stuck)} for {STANDSTILL_S:g} s, though records are there (Kafka at "
                f"{self._connection}); open a new source, and if that repeats, restore the partition from a replica"
            )

    def _received(self, fetched: Mapping[KafkaTopicPartition, Sequence[Record]]) -> list[Record]:
        records = [record for batch in fetched.values() for record in batch]
        self._is_unreachable = self._is_unreachable and not records
        for record in records:
            self._next_offset[record.topic_partition] = record.next_offset
        return records

    def _position(self, at: TopicPartition) -> int:
        try:
            # The client's own position also passes offsets without a record: transaction markers.
            position = self._consumer.position(theirs(at), timeout_ms=0) or 0
        except (NoOffsetForPartitionError, LogTruncationError):
            position = 0  # of another partition, perhaps; the next poll says so
        return max(self._next_offset.get(at, 0), position)

    def _assign_all(self) -> None:
        """Without a group: begin every partition that is there and not read yet, at first all of them."""
        added = (self._known_partitions() if self._assigned else self._partitions()) - self._assigned
        if not added:
            return
        if self._assigned:
            log.info("%s were added; they are read from now on", listed(added))
        self._consumer.assign([*map(theirs, self._assigned | added)])
        try:
            self._start(added)
        except BaseException:
            self._assigned -= added  # the next poll must not read from an arbitrary position
            raise

    def _partitions(self) -> frozenset[TopicPartition]:
        with transport_errors(self._connection, f"cannot read {', '.join(self._topics)}"):
            absent = [topic for topic in self._topics if not self._consumer.partitions_for_topic(topic)]
        if absent:
            raise TransportError(f"no topic {', '.join(absent)} (Kafka at {self._connection}); create it first")
        return self._known_partitions()

    def _known_partitions(self) -> frozenset[TopicPartition]:
        """As of the client's last metadata; asks nothing of the broker."""
        return frozenset(
            TopicPartition(topic, number) for topic in self._topics for number in known_partitions(self._network, topic)
        )

    def _start(self, partitions: frozenset[TopicPartition], at_most: Mapping[TopicPartition, int] = _ANYWHERE) -> None:
        """Partitions were assigned, beside those that stayed: begin where the listener says, or the group's commit."""
        if not self._assigned and self._group is not None:
            self._member_id = self._consumer.group_metadata().member_id
        self._assigned |= partitions
        self._standstill.forget()
        for at in partitions:
            self._next_offset.pop(at, None)
        if not partitions:
            return
        stored = self._listener.assigned(partitions) if self._listener else {}
        starts, ends = self._bounds(partitions)
        committed = self._committed(partitions - stored.keys())
        offsets, gaps = starting_offsets(stored, committed, starts, ends, f"Kafka at {self._connection}")
        for gap in gaps:
            if self._listener is not None:
                self._listener.dropped(gap)
            else:
                log.error("%s (Kafka at %s)", gap, self._connection)
            self._passed[gap.at] = gap.start
        for at, offset in offsets.items():
            self._consumer.seek(theirs(at), max(starts[at], min(offset, at_most.get(at, offset))))
        for at in sorted(partitions - starts.keys()):
            # Whether that is within the log shows once it can be read: the broker refuses a position that is not.
            offset = stored.get(at, committed.get(at, 0))
            self._consumer.seek(theirs(at), min(offset, at_most.get(at, offset)))
            log.warning("%s[%d] has no leader; it is read from offset %d on once it has one", *at, offset)
        if self._paused:
            self._consumer.pause(*map(theirs, partitions))

    def _bounds(
        self, partitions: frozenset[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        """The first offset that is kept of each partition that has a leader, and the one after the last."""
        with transport_errors(self._connection, f"cannot tell where {listed(partitions)} begin and end"):
            starts = self._where_led(self._consumer.beginning_offsets, partitions)
            return starts, self._where_led(self._consumer.end_offsets, starts)

    def _where_led(
        self, look: Callable[..., Mapping[Any, int]], partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return offsets_where_led(look, partitions, partial(has_leader, self._network), self._connection.timeout_ms)

    def _committed(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self._group is None:
            return {}
        with transport_errors(self._connection, f"cannot read the offsets of group {self._group}"):
            patience_ms = self._connection.timeout_ms
            found = {at: self._consumer.committed(theirs(at), timeout_ms=patience_ms) for at in partitions}
        return {at: offset for at, offset in found.items() if offset is not None}

    def _start_again(self, truncated_at: Mapping[TopicPartition, int | None]) -> None:
        """The next record of these partitions does not exist; begin again, at most where they were truncated."""
        at_most = {at: offset for at, offset in truncated_at.items() if offset is not None}
        for at, offset in at_most.items():
            log.error(
                "%s[%d] was truncated at offset %d by an unclean leader election, after it had been read to offset %d; "
                "it is read again from there (Kafka at %s)",
                *(at.topic, at.partition, offset, self._position(at), self._connection),
            )
        partitions = self._assigned & truncated_at.keys()
        self._give_up(partitions)
        self._start(partitions, at_most)

    def _look_for_replaced_topics(self) -> None:
        """Positions in a topic that was deleted and created again mean nothing: the group begins at its beginning.

        Raises ``PositionBeyondLog`` if the positions are the listener's: what it keeps is of the topic that was.
        """
        for topic in self._topic_ids.replaced():
            partitions = frozenset(at for at in self._assigned if at.topic == topic)
            log.error("topic %s was deleted and created again (Kafka at %s)", topic, self._connection)
            self._give_up(partitions)
            stored = self._listener.assigned(partitions) if self._listener else {}
            if any(stored.values()):
                raise PositionBeyondLog(
                    f"topic {topic} was deleted and created again (Kafka at {self._connection}): the view was built "
                    "from another log; delete the view (the database or the index folder) to rebuild it"
                )
            self._start(partitions, dict.fromkeys(partitions, 0))
            self._passed |= {at: self._position(at) for at in partitions}

    def _commit_passed(self) -> None:
        """So that what was dropped is reported once, even if nothing is read before the next start."""
        passed, self._passed = {at: next_ for at, next_ in self._passed.items() if at in self._assigned}, {}
        if not passed or self._group is None:
            return
        try:
            self.commit(passed)
        except (TransportError, KafkaRefused) as error:
            log.warning("%s; the same records are reported again after a restart", error)

    def _give_up(self, partitions: frozenset[TopicPartition]) -> None:
        if self._listener and partitions:
            self._listener.revoked(partitions)
        self._assigned -= partitions

    def _lose(self, partitions: frozenset[TopicPartition]) -> None:
        """The group rebalanced without this member: its last commit will be refused, and another reads the records."""
        try:
            self._give_up(partitions)
        except (TransportError, KafkaRefused, Fenced) as error:
            self._assigned -= partitions
            log.warning("lost %s of group %s: %s", listed(partitions), self._group, error)

    def _rebalances(self) -> Rebalances:
        return Rebalances(
            assigned=partial(self._on_polling_thread, self._start),
            revoked=partial(self._on_polling_thread, self._give_up),
            lost=partial(self._on_polling_thread, self._lose),
        )

    def _on_polling_thread(self, action: Callable[[frozenset[TopicPartition]], None], theirs: Iterable[Any]) -> Future:
        call = Call(action, frozenset(map(ours, theirs)))
        if self._closed:
            call.done.success(None)  # ``close`` promises to commit nothing
        else:
            self._calls.put(call)
        return call.done

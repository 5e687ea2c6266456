"""How far a process is behind, measured from the broker's end offsets whatever its loops do."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.clock import Clock
from schemas.errors import KafkaRefused, TransportError
from schemas.observation import Observer
from schemas.ports import TopicPartition
from transport.broker_offsets import BrokerOffsets, OffsetsReader, Span
from transport.reading_progress import ReadingProgress

log = logging.getLogger(__name__)

MEASURE_INTERVAL_S: Final = 2.0
"""Time between two measurements."""
FORGOTTEN_AFTER_S: Final = 30.0
"""A lag that could not be measured for so long is reported no more: it may be anything."""


_NO_POSITION: Final = "no position is known yet"


@dataclass(frozen=True, eq=False)
class Reader:
    """A loop whose lag is measured.

    With a ``group``, what this process holds and what no other live member holds is measured; without one, every
    partition of ``topics``. ``stored`` gives the position that is kept with what was read, ``None`` while it is not
    known; absent, or not known, the group's committed offset counts.
    """

    topics: Sequence[str]
    group: str | None
    progress: ReadingProgress
    stored: Callable[[TopicPartition], int | None] | None = None

    def is_concerned(self, at: TopicPartition, offsets: BrokerOffsets) -> bool:
        """Whether this process measures a partition: another live member measures those that it holds. Which members
        live is known to the members of a group that does not rebalance: it waits for one that was killed, and
        describes its partitions, until its session has timed out.
        """
        if at.topic not in self.topics:
            return False
        if self.group is None or at in self.progress.held:
            return True
        held = offsets.held.get(self.group)
        if held is None:
            return False
        return at not in held or self.group not in offsets.settled or not self.progress.is_member

    def leaves_out(self, at: TopicPartition, offsets: BrokerOffsets) -> bool:
        """Whether a partition of ``topics`` has no reader. Without a group: whether this loop never did; it may be
        reconnecting. While a group rebalances, that cannot be known.
        """
        if at.topic not in self.topics:
            return False
        if self.group is None:
            return at not in self.progress.ever_held
        if at in self.progress.held or self.group not in offsets.settled:
            return False
        return at not in offsets.held.get(self.group, ())

    def waiting(self, at: TopicPartition, span: Span, offsets: BrokerOffsets) -> int | None:
        """Records that are kept and not done; ``None`` while no position is known."""
        stored = None if self.stored is None else self.stored(at)
        if stored is None and self.group is not None:
            committed = offsets.committed.get(self.group)
            stored = None if committed is None else committed.get(at, 0)
        known = [position for position in (self.progress.position(at), stored) if position is not None]
        return max(0, span.end - max(span.start, *known)) if known else None


class LagMonitor:
    """``measure`` is called from time to time, on a thread of its own: it asks a broker and reports to ``observer``.

    Of several readers of a partition the one that is furthest behind counts. What was not measured is never reported
    as 0: the last lag of a partition whose leader does not answer stays for ``FORGOTTEN_AFTER_S``, then it is reported
    as unknown. The time of the last complete measurement is reported too.
    """

    def __init__(self, offsets: OffsetsReader, readers: Sequence[Reader], observer: Observer, clock: Clock) -> None:
        self._offsets = offsets
        self._readers = readers
        self._observer = observer
        self._clock = clock
        self._measured_ms: dict[TopicPartition, int] = {}
        self._first_seen_ms: dict[TopicPartition, int] = {}
        self._no_lag_ms: dict[TopicPartition, int] = {}
        self._failure = ""
        self._without_position: frozenset[TopicPartition] = frozenset()
        self.found: BrokerOffsets | None = None
        """What the broker said last."""
        self.answered_s = float("-inf")
        """When the last question that was answered had been asked, by a monotonic clock."""
        self.silent_since_s: dict[TopicPartition, float] = {}
        """Partitions that the broker answered nothing for, and since when."""
        self._unheld_since_s: dict[Reader, dict[TopicPartition, float]] = {}

    def measure(self) -> None:
        """Ask the broker once. If it does not answer, that is logged when it begins and when it is over."""
        topics = {topic for reader in self._readers for topic in reader.topics}
        groups = {reader.group for reader in self._readers if reader.group is not None}
        asked_s = self._clock.monotonic_s()
        try:
            offsets = self._offsets.look(topics, groups)
        except (TransportError, KafkaRefused) as error:
            self._say(str(error))
            self._forget(set(self._measured_ms), self._clock.now_ms())
            return
        self.found, self.answered_s = offsets, asked_s
        self.silent_since_s = {at: self.silent_since_s.get(at, asked_s) for at in offsets.unanswered}
        for reader in self._readers:
            before_s = self.unheld_since_s(reader)
            left_out = (at for at in (*offsets.spans, *offsets.unanswered) if reader.leaves_out(at, offsets))
            self._unheld_since_s[reader] = {at: before_s.get(at, asked_s) for at in left_out}
        now_ms = self._clock.now_ms()
        missing = self._report(offsets, now_ms) | {
            TopicPartition(topic, 0): "there is no such topic"
            for topic in topics - {at.topic for at in (*offsets.spans, *offsets.unanswered)}
        }
        self._forget(set(missing) & set(self._measured_ms), now_ms)
        # A view is asked for the position of a partition that is new to it, and answers until the next measurement.
        without = frozenset(at for at, why in missing.items() if why is _NO_POSITION)
        awaited, self._without_position = without - self._without_position, without
        said = {at: why for at, why in missing.items() if at not in awaited}
        self._say("; ".join(f"{at.topic}[{at.partition}]: {why}" for at, why in sorted(said.items())))
        if not missing:
            self._observer.lag_measured(now_ms)

    def unheld_since_s(self, reader: Reader) -> Mapping[TopicPartition, float]:
        """The partitions without a reader that ``reader``, or its group, should read, and since when."""
        return self._unheld_since_s.get(reader, {})

    def close(self) -> None:
        """Disconnect."""
        self._offsets.close()

    def _report(self, offsets: BrokerOffsets, now_ms: int) -> dict[TopicPartition, str]:
        """Report what is known; what is not and why."""
        missing = dict(offsets.unanswered)
        for at, span in offsets.spans.items():
            readers = [reader for reader in self._readers if reader.is_concerned(at, offsets)]
            if not readers:
                self._drop(at)
                continue
            lags = [(reader.waiting(at, span, offsets), reader) for reader in readers]
            known = [(records, reader) for records, reader in lags if records is not None]
            if not known:
                missing[at] = _NO_POSITION
                continue
            records, reader = max(known, key=lambda pair: pair[0])
            self._measured_ms[at] = now_ms
            seconds = self._seconds(at, reader.progress.last_read_ms(at), now_ms) if records else 0.0
            if not records:
                self._no_lag_ms[at] = now_ms
            self._observer.lag(at, records, seconds)
        return missing

    def _seconds(self, at: TopicPartition, last_read_ms: int | None, now_ms: int) -> float:
        """Age of the last record read, or time since the partition was first seen if none was; not longer than since
        there was nothing to read.
        """
        since_ms = last_read_ms if last_read_ms is not None else self._first_seen_ms.setdefault(at, now_ms)
        return max(0, now_ms - max(since_ms, self._no_lag_ms.get(at, since_ms))) / 1000

    def _forget(self, partitions: set[TopicPartition], now_ms: int) -> None:
        for at in partitions:
            if now_ms - self._measured_ms[at] > FORGOTTEN_AFTER_S * 1000:
                self._drop(at)

    def _drop(self, at: TopicPartition) -> None:
        """Another process measures it now, or its lag is unknown."""
        for kept in (self._first_seen_ms, self._no_lag_ms):
            kept.pop(at, None)
        if self._measured_ms.pop(at, None) is not None:
            self._observer.lag_unknown(at)

    def _say(self, failure: str) -> None:
        if failure and not self._failure:
            log.warning("the lag is not measured: %s", failure)
        elif self._failure and not failure:
            log.info("the lag is measured again")
        self._failure = failure

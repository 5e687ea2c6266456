"""Reads for the pools, and holds scored clips back until the rankings have them, so that nothing else waits for it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from schemas.errors import RetriableError
from schemas.observation import Observer
from schemas.ports import LogGap, RebalanceListener, Record, RecordSource, TopicPartition

_HOLD_S: Final = 1.0
"""Longest that a record is held. Then it is given out, and who handles it waits, and says what for."""
_LOOK_AGAIN_S: Final = 0.005
_FRESH_S: Final = 0.01
"""For an answer of the broker that is on its way when records are given out. These were there before: Kafka's client
had asked for them when it gave out others, so they are a batch old. The answer has what came since; if it is not waited
for, it is a batch old the next time. An answer takes 4 ms, most of them less than 9."""

RankedTo = Callable[[Mapping[TopicPartition, int]], Mapping[TopicPartition, int]]
"""How far the rankings have come, at least, in the partitions of positions to which they should have."""


class RankedSource:
    """A ``RecordSource`` that gives out records of the topics ``scored`` once the rankings have come to them, and all
    others at once. The order within a partition stays.

    What it holds it has not given out: no position passes it, and whoever gets the partition next reads it again.
    Of partitions that are revoked or assigned anew it drops what it holds.
    """

    def __init__(
        self,
        open_source: Callable[[RebalanceListener], RecordSource],
        listener: RebalanceListener,
        scored: Iterable[str],
        ranked_to: RankedTo,
        observer: Observer,
    ) -> None:
        self._scored = frozenset(scored)
        self._ranked_to = ranked_to
        self._observer = observer
        self._ready: list[Record] = []
        self._held: dict[TopicPartition, list[tuple[float, Record]]] = {}
        """By partition, in order, each with the second at which it was read."""
        self._paused = False
        self._source = open_source(_Forgetting(listener, self._forget))

    def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
        if self._paused:
            return self._source.poll(max_records=max_records, timeout_s=timeout_s)
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._read(max_records, max(0.0, deadline_s - time.monotonic()))
            self._release(max_records)
            if self._ready or time.monotonic() >= deadline_s:
                given, self._ready = self._ready[:max_records], self._ready[max_records:]
                return given

    def pause(self) -> None:
        self._paused = True
        self._source.pause()

    def resume(self) -> None:
        self._paused = False
        self._source.resume()

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
        self._source.commit(positions, wait=wait)

    def assignment(self) -> frozenset[TopicPartition]:
        return self._source.assignment()

    def lag(self) -> Mapping[TopicPartition, int]:
        waiting = self._waiting()
        return {at: lag + len(waiting.get(at, ())) for at, lag in self._source.lag().items()}

    @property
    def is_expecting(self) -> bool:
        return self._source.is_expecting

    @property
    def is_member(self) -> bool:
        return self._source.is_member

    def positions(self) -> Mapping[TopicPartition, int]:
        return {**self._source.positions(), **{at: records[0].offset for at, records in self._waiting().items()}}

    def end_offsets(self) -> Mapping[TopicPartition, int]:
        return self._source.end_offsets()

    @property
    def is_unreachable(self) -> bool:
        return self._source.is_unreachable

    def membership(self) -> object:
        return self._source.membership()

    def close(self) -> None:
        self._source.close()

    def _read(self, max_records: int, left_s: float) -> None:
        """What the broker has, waiting for the first record at most ``left_s``, and less if some are here."""
        wait_s = 0.0 if self._ready else min(left_s, _LOOK_AGAIN_S) if self._held else left_s
        for timeout_s in (wait_s, _FRESH_S):
            room = max_records - len(self._ready)
            # If this raises, what was read stays here for the next call.
            records = self._source.poll(max_records=room, timeout_s=timeout_s) if room > 0 else ()
            if not records:
                return
            read_s = time.monotonic()
            for record in records:
                if record.topic in self._scored:
                    self._held.setdefault(record.topic_partition, []).append((read_s, record))
                else:
                    self._ready.append(record)
            if not self._source.is_expecting:
                return

    def _release(self, max_records: int) -> None:
        """Move what the rankings have come to, and what was held for too long, to what is given out."""
        if not self._held:
            return
        try:
            ranked = self._ranked_to({at: records[-1][1].offset + 1 for at, records in self._held.items()})
        except RetriableError:
            ranked = {}  # who handles the records has to ask as well, and says what is wrong
        now_s = time.monotonic()
        is_full = sum(map(len, self._held.values())) >= max_records
        for at, records in list(self._held.items()):
            passed = sum(record.offset < ranked.get(at, 0) for _, record in records)
            overdue = len(records) if is_full else sum(now_s - read_s > _HOLD_S for read_s, _ in records)
            count = max(passed, overdue)
            if not count:
                continue
            self._observer.stage_timed("rankings", now_s - records[0][0])
            self._ready += [record for _, record in records[:count]]
            del records[:count]
            if not records:
                del self._held[at]

    def _waiting(self) -> dict[TopicPartition, list[Record]]:
        """Records that were read and not given out, in order."""
        waiting: dict[TopicPartition, list[Record]] = {}
        for record in (*self._ready, *(record for records in self._held.values() for _, record in records)):
            waiting.setdefault(record.topic_partition, []).append(record)
        return waiting

    def _forget(self, partitions: frozenset[TopicPartition]) -> None:
        self._ready = [record for record in self._ready if record.topic_partition not in partitions]
        for at in partitions & self._held.keys():
            del self._held[at]


class _Forgetting:
    """``listener``, before which ``forget`` is told of partitions that come and go."""

    def __init__(self, listener: RebalanceListener, forget: Callable[[frozenset[TopicPartition]], None]) -> None:
        self._listener, self._forget = listener, forget

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._forget(partitions)
        return self._listener.assigned(partitions)

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self._forget(partitions)
        self._listener.revoked(partitions)

    def dropped(self, gap: LogGap) -> None:
        self._listener.dropped(gap)

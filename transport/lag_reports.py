"""How far a consumer is behind, reported per partition."""

from collections.abc import Iterable

from schemas.clock import Clock
from schemas.observation import Observer
from schemas.ports import Record, RecordSource, TopicPartition


class LagReports:
    """Reports the lag of each assigned partition to an observer, in records and seconds."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._last_read_ms: dict[TopicPartition, int] = {}

    def read(self, records: Iterable[Record]) -> None:
        """These were read, in order."""
        self._last_read_ms |= {record.topic_partition: record.timestamp_ms for record in records}

    def report(self, source: RecordSource) -> None:
        """The lag in seconds is the age of the last record that was read, or the time since the partition was first
        seen if none was; 0 where nothing is left to read, and for partitions given up: another member reports them now,
        and the last value would stay.
        """
        now_ms = self._clock.now_ms()
        for at, records in source.lag().items():
            age_ms = now_ms - self._last_read_ms.setdefault(at, now_ms)
            self._observer.lag(at, records, max(0, age_ms) / 1000 if records else 0.0)
        for given_up in self._last_read_ms.keys() - source.assignment():
            self._observer.lag(given_up, 0, 0.0)
            del self._last_read_ms[given_up]

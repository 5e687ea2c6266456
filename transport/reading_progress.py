"""How far a loop has come, for the monitor of its lag, which runs on another thread."""

import threading
from collections.abc import Iterable, Mapping

from schemas.ports import Record, TopicPartition


class ReadingProgress:
    """The partitions that a loop holds and the positions before which everything is done. The loop writes, others read;
    what it wrote last stays while it stands still.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: frozenset[TopicPartition] = frozenset()
        self._done: dict[TopicPartition, int] = {}
        self._last_read_ms: dict[TopicPartition, int] = {}
        self._ever_held: frozenset[TopicPartition] = frozenset()
        self.is_member = False
        """Whether the loop has been given its share of the partitions, which may be empty."""
        self.stepped_s: float | None = None
        """When the loop last began a step, by a monotonic clock; ``None`` before the first."""
        self.steps = 0
        """How many steps the loop has begun."""

    def stepped(self, now_s: float, *, is_member: bool) -> None:
        """The loop moves."""
        self.stepped_s, self.is_member = now_s, is_member
        self.steps += 1

    def read(self, records: Iterable[Record]) -> None:
        """These were read, in order."""
        latest = {record.topic_partition: record.timestamp_ms for record in records}
        with self._lock:
            self._last_read_ms |= latest

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The loop holds these, beside those that it held."""
        with self._lock:
            self._held |= frozenset(partitions)
            self._ever_held |= self._held

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The loop holds these no longer."""
        given_up = frozenset(partitions)
        with self._lock:
            self._held -= given_up
            for at in given_up:
                self._done.pop(at, None)
                self._last_read_ms.pop(at, None)

    def released(self) -> None:
        """The loop holds nothing: it has disconnected."""
        self.is_member = False
        self.revoked(self._held)

    def done(self, positions: Mapping[TopicPartition, int]) -> None:
        """Everything before ``positions`` is done; other partitions are where they were."""
        with self._lock:
            self._done |= {at: offset for at, offset in positions.items() if at in self._held}

    @property
    def held(self) -> frozenset[TopicPartition]:
        """What the loop holds."""
        return self._held

    @property
    def ever_held(self) -> frozenset[TopicPartition]:
        """What it holds or held."""
        return self._ever_held

    def position(self, at: TopicPartition) -> int | None:
        """Next offset of a held partition that is not done; ``None`` if the loop has not said."""
        with self._lock:
            return self._done.get(at)

    def last_read_ms(self, at: TopicPartition) -> int | None:
        """Time of the last record that was read of a held partition, in milliseconds since 1970, UTC."""
        with self._lock:
            return self._last_read_ms.get(at)

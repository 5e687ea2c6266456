"""Reading a topic once, from its beginning to its end."""

from collections.abc import Callable, Iterator
from typing import Final

from schemas.clock import Clock
from schemas.ports import RecordSource, TopicPartition

Progress = Callable[[int, int], object]
"""Called with how much is done, and of how much."""

_RECORDS_PER_POLL: Final = 500
_POLL_S: Final = 0.5


def read_to_end(source: RecordSource, clock: Clock, *, patience_s: float, progress: Progress) -> Iterator[bytes | None]:
    """The values of all records that the topics of ``source`` held when the first was asked for, and perhaps of a few
    more; those of one partition in order.

    A partition may end in offsets that no record has, those of transaction markers. So when nothing has come for
    ``patience_s`` and the broker still answers, that is the end. Raises ``TransportError`` if it does not answer, or
    has no such topic.
    """
    records = source.poll(max_records=_RECORDS_PER_POLL, timeout_s=_POLL_S)
    ends = dict(source.end_offsets())
    reached: dict[TopicPartition, int] = {}
    heard_at_s = clock.monotonic_s()
    while True:
        for record in records:
            yield record.value
            reached[record.topic_partition] = record.offset + 1
        progress(sum(min(reached.get(at, 0), end) for at, end in ends.items()), sum(ends.values()))
        lags = source.lag()
        if all(reached.get(at, 0) >= end or lags.get(at) == 0 for at, end in ends.items()):
            return
        if records:
            heard_at_s = clock.monotonic_s()
        elif clock.monotonic_s() - heard_at_s >= patience_s:
            source.end_offsets()  # a broker that is gone looks like the end of a topic until it is asked
            progress(sum(ends.values()), sum(ends.values()))
            return
        records = source.poll(max_records=_RECORDS_PER_POLL, timeout_s=_POLL_S)

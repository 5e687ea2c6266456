"""Where reading begins: at positions that are kept, unless the log no longer holds what comes next."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from schemas.errors import PositionBeyondLog
from schemas.ports import LogGap, TopicPartition

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """Next offset to read of each partition, and what was dropped before it was read."""

    offsets: Mapping[TopicPartition, int]
    gaps: list[LogGap]


def starting_offsets(
    stored: Mapping[TopicPartition, int],
    committed: Mapping[TopicPartition, int],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    place: str,
) -> Start:
    """Where to begin each partition of ``starts`` and ``ends``, the first offset that is kept and the one after the
    last.

    ``stored`` are positions kept outside Kafka, which win over ``committed`` ones. A partition with neither begins at
    its beginning, and so does one whose committed position lies beyond its end: Kafka would do the same, but silently.
    Raises ``PositionBeyondLog`` if a stored one does, naming ``place``: a view that was built from another log would
    skip records up to where that log ended.
    """
    offsets: dict[TopicPartition, int] = {}
    gaps: list[LogGap] = []
    for at, start in sorted(starts.items()):
        end, position = ends[at], stored.get(at, committed.get(at, start))
        offsets[at] = max(start, position)
        if position < start:
            gaps.append(LogGap(at, position, start))
        elif position > end and at in stored:
            raise PositionBeyondLog(
                f"{at.topic}[{at.partition}] ends at offset {end}, but the position to continue at is {position} "
                f"({place}): the view was built from another log; connect to that log's Kafka, or delete the view (the "
                "database or the index folder) to rebuild it"
            )
        elif position > end:
            offsets[at] = start
            log.error(
                "%s[%d] ends at offset %d, but the committed position is %d: the topic was created again, or has lost "
                "its newest records; it is read again from offset %d on",
                *(at.topic, at.partition, end, position, start),
            )
    return Start(offsets, gaps)


def not_there(error: OffsetOutOfRangeError | LogTruncationError) -> dict[TopicPartition, int | None]:
    """The partitions whose next record does not exist: it was dropped, or the log has become shorter (``None``).

    With an offset the log was truncated there, by the election of a leader that lacked the newest records: what follows
    are other records than those that were read. It is 0 if the leader does not know where.
    """
    if isinstance(error, LogTruncationError):
        known = {at: 0 if last is None else last.offset for at, last in error.divergent_offsets.items()}
    else:
        known = dict.fromkeys(error.args[0])
    return {TopicPartition(at.topic, at.partition): offset for at, offset in known.items()}

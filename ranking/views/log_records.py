"""Reading the log of scored clips and the deletions: records into what the views apply, or into what is wrong."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from schemas.clock import Clock, SystemClock
from schemas.codec import decode, unreported
from schemas.errors import DancerankError
from schemas.events import ClipDeleted, ClipScored
from schemas.ports import Record, Refusal, ScoredRecord, TopicPartition
from schemas.times import LOG_AHEAD_MS, check_time, written_ms

DELETED_CLIP: Final = "deleted_clip"
"""Why a scored record is skipped: its clip was deleted."""
RETIRED_GENERATION: Final = "retired_generation"
"""Likewise: its model generation is no longer held."""
OTHER_GENERATION: Final = "other_generation"
"""Likewise, by the pools: its model generation is not active."""


class DeletedRecord(NamedTuple):
    """A record that names a clip to be deleted, decoded."""

    record: Record
    event: ClipDeleted


LogEntry = ScoredRecord | DeletedRecord
"""Records that the views of the log apply."""


def read_log(
    records: Iterable[Record],
    deletions_topic: str,
    on_unknown_modality: Callable[[str], None] = unreported,
    clock: Clock | None = None,
) -> tuple[list[LogEntry], list[Refusal]]:
    """The scored clips and, from ``deletions_topic``, the deletions; and the records that are neither. Each in order.

    Either is refused on the other's topic: there compaction would drop what has to stay. Results of modalities that are
    unknown here are left out and reported to ``on_unknown_modality`` by name.
    """
    clock = clock or SystemClock()
    entries: list[LogEntry] = []
    refused: list[Refusal] = []
    for record in records:
        try:
            if record.topic == deletions_topic:
                entries.append(DeletedRecord(record, decode(record.value, ClipDeleted)))
            else:
                clip = decode(record.value, ClipScored, on_unknown_modality=on_unknown_modality)
                check_scored_times(record, clip, clock)
                entries.append(ScoredRecord(record, clip))
        except DancerankError as error:
            refused.append(Refusal(record, error))
    return entries, refused


def check_scored_times(record: Record, clip: ClipScored, clock: Clock) -> None:
    """Raise ``MalformedEvent`` for times that lie implausibly far ahead of when the record was written."""
    for name in ("uploaded_at_ms", "scored_at_ms"):
        at_ms: int = getattr(clip, name)
        if at_ms > written_ms(record, clock) + LOG_AHEAD_MS:
            check_time(at_ms, written_ms(record, clock), field=name, ahead_ms=LOG_AHEAD_MS)


def positions_after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """The positions after ``records``: the next offset of each partition."""
    positions: dict[TopicPartition, int] = {}
    for record in records:
        at = record.topic_partition
        positions[at] = max(positions.get(at, 0), record.next_offset)
    return positions

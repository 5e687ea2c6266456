"""Reading the log of scored clips and the deletions: records into what the views apply, or into what is wrong."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from schemas.codec import decode, unreported
from schemas.errors import DancerankError
from schemas.events import ClipDeleted, ClipScored
from schemas.ports import Record, Refusal, ScoredRecord, TopicPartition

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
"""What the views of the log apply."""


def read_log(
    records: Iterable[Record], deletions_topic: str, on_unknown_modality: Callable[[str], None] = unreported
) -> tuple[list[LogEntry], list[Refusal]]:
    """The scored clips and, from ``deletions_topic``, the deletions; and the records that are neither. Each in order.

    Either is refused on the other's topic: there compaction would drop what has to stay. Results of modalities that are
    unknown here are left out and reported to ``on_unknown_modality`` by name.
    """
    entries: list[LogEntry] = []
    refused: list[Refusal] = []
    for record in records:
        try:
            if record.topic == deletions_topic:
                entries.append(DeletedRecord(record, decode(record.value, ClipDeleted)))
            else:
                clip = decode(record.value, ClipScored, on_unknown_modality=on_unknown_modality)
                entries.append(ScoredRecord(record, clip))
        except DancerankError as error:
            refused.append(Refusal(record, error))
    return entries, refused


def positions_after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Where to continue once all of ``records`` are done with: the next offset of each partition."""
    positions: dict[TopicPartition, int] = {}
    for record in records:
        at = record.topic_partition
        positions[at] = max(positions.get(at, 0), record.offset + 1)
    return positions

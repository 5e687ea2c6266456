"""Reading the log of scored clips: records into clips, or into what is wrong with them."""

from collections.abc import Iterable

from schemas.codec import decode
from schemas.errors import DancerankError
from schemas.events import ClipScored
from schemas.ports import Record, Refusal, ScoredRecord, TopicPartition


def read_scored(records: Iterable[Record]) -> tuple[list[ScoredRecord], list[Refusal]]:
    """The records that are scored clips, and those that are not, each in order."""
    scored: list[ScoredRecord] = []
    refused: list[Refusal] = []
    for record in records:
        try:
            scored.append(ScoredRecord(record, decode(record.value, ClipScored)))
        except DancerankError as error:
            refused.append(Refusal(record, error))
    return scored, refused


def positions_after(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """Where to continue once all of ``records`` are done with: the next offset of each partition."""
    positions: dict[TopicPartition, int] = {}
    for record in records:
        at = record.topic_partition
        positions[at] = max(positions.get(at, 0), record.offset + 1)
    return positions

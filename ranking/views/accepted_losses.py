"""What operators have accepted as lost: for each partition, the offset before which records may be missing."""

from collections.abc import Iterable, Mapping
from typing import Final

from ranking.database.connection import Database
from ranking.views.applied_offsets import ViewPositions
from schemas.ports import TopicPartition

_ACCEPTED: Final = "accepted losses"
"""Name among the stored offsets. No view has it: their names hold no space."""


class AcceptedLosses:
    """In the database, so that one decision holds for every process on it.

    Every method raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database) -> None:
        self._positions = ViewPositions(database)

    def of(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset before which records may be missing, for those of ``partitions`` that have one."""
        return self._positions.of(_ACCEPTED, partitions)

    def accept(self, starts: Mapping[TopicPartition, int]) -> None:
        """Records before these offsets may be missing from now on."""
        self._positions.set(_ACCEPTED, starts)

"""Which outputs and offsets can be committed when clips finish out of order. Pure logic."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.ports import OutgoingRecord, TopicPartition


class Ticket(NamedTuple):
    """One tracked record. ``epoch`` distinguishes assignments of the same partition."""

    partition: TopicPartition
    offset: int
    epoch: int


class _Progress:
    """One partition during one assignment. Offsets rise but need not be consecutive: compaction and transaction markers
    leave gaps."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.unfinished: dict[int, None] = {}  # in the order read, which is the order of offsets
        self.next_offset: int | None = None
        self.committed: int | None = None
        self.outputs: dict[int, OutgoingRecord] = {}  # of finished records, until they are committed

    def position(self) -> int | None:
        """Offset to resume from after a restart: the lowest unfinished one, or the one after the last that was read."""
        return next(iter(self.unfinished), self.next_offset)


class OffsetTracker:
    """Tracks started and finished records of each partition, and the offset up to which a commit may go.

    It keeps the output of each record until all records before it are finished. A commit then writes exactly the
    outputs below the offset that it stores, so that a crash repeats nothing that was written.
    """

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Progress] = {}
        self._epoch = 0

    def started(self, partition: TopicPartition, offset: int, next_offset: int | None = None) -> Ticket:
        """Start tracking a record. Records of a partition are started in the order of their offsets. ``next_offset``:
        where reading continues after it, by default at the next offset.

        An offset at or below one that was started before means that the partition was rewound: its state is reset.
        """
        progress = self._partitions.get(partition)
        if progress is None or (progress.next_offset is not None and offset < progress.next_offset):
            self._epoch += 1
            progress = self._partitions[partition] = _Progress(self._epoch)
        progress.unfinished[offset] = None
        progress.next_offset = offset + 1 if next_offset is None else next_offset
        return Ticket(partition, offset, progress.epoch)

    def is_open(self, ticket: Ticket) -> bool:
        """Whether the record can still be finished here: it is not finished, and its partition is still assigned."""
        progress = self._partitions.get(ticket.partition)
        return progress is not None and progress.epoch == ticket.epoch and ticket.offset in progress.unfinished

    def finished(self, ticket: Ticket, output: OutgoingRecord | None = None) -> bool:
        """Mark a record as finished, with its ``output``. Returns false and does nothing if it was not open."""
        if not self.is_open(ticket):
            return False
        progress = self._partitions[ticket.partition]
        del progress.unfinished[ticket.offset]
        if output is not None:
            progress.outputs[ticket.offset] = output
        return True

    @property
    def held(self) -> int:
        """Number of outputs that are not committed yet."""
        return sum(len(progress.outputs) for progress in self._partitions.values())

    def outputs(self, positions: Mapping[TopicPartition, int]) -> list[OutgoingRecord]:
        """Outputs of the records below ``positions``, in the order read within each partition."""
        return [
            progress.outputs[offset]
            for partition, position in positions.items()
            if (progress := self._partitions.get(partition)) is not None
            for offset in sorted(progress.outputs)
            if offset < position
        ]

    def committable(self) -> dict[TopicPartition, int]:
        """Next offset to read, for each partition where it moved since the last ``committed``."""
        positions = {partition: progress.position() for partition, progress in self._partitions.items()}
        return {
            partition: position
            for partition, position in positions.items()
            if position is not None and position != self._partitions[partition].committed
        }

    def uncommitted(self) -> frozenset[TopicPartition]:
        """Partitions with records that were started and lie at or after what is committed."""
        return frozenset(at for at, progress in self._partitions.items() if progress.next_offset != progress.committed)

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Record that ``positions`` are stored and the outputs below them written; neither is returned again."""
        for partition, position in positions.items():
            if (progress := self._partitions.get(partition)) is not None:
                progress.committed = position
                for offset in [offset for offset in progress.outputs if offset < position]:
                    del progress.outputs[offset]

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop the state of partitions that were revoked. Their open records cannot be finished here any more."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def forget_all(self) -> None:
        """Drop the state of every partition."""
        self._partitions.clear()

    def unfinished(self) -> int:
        """Records started and not finished."""
        return sum(len(progress.unfinished) for progress in self._partitions.values())

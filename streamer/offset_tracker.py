"""What may be written and committed when clips finish in another order than they were read. Pure logic."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.ports import OutgoingRecord, TopicPartition


class Ticket(NamedTuple):
    """One record in the tracker's care. ``epoch`` tells apart two assignments of the same partition."""

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
        """Where to read on after a restart: the lowest unfinished offset, or the one after the last that was read."""
        return next(iter(self.unfinished), self.next_offset)


class OffsetTracker:
    """Counts records that were started and finished, per partition, and knows how far a commit may go.

    It keeps what was made of each record until all before it are finished: a commit then writes just what the position
    that it stores is past, and a crash repeats nothing that was written.
    """

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Progress] = {}
        self._epoch = 0

    def started(self, partition: TopicPartition, offset: int) -> Ticket:
        """Take a record into care. Records of a partition are started in the order of their offsets.

        An offset at or below one that was started before means that the partition was rewound: it starts afresh.
        """
        progress = self._partitions.get(partition)
        if progress is None or (progress.next_offset is not None and offset < progress.next_offset):
            self._epoch += 1
            progress = self._partitions[partition] = _Progress(self._epoch)
        progress.unfinished[offset] = None
        progress.next_offset = offset + 1
        return Ticket(partition, offset, progress.epoch)

    def is_open(self, ticket: Ticket) -> bool:
        """Whether the record is still ours to finish: neither finished nor of a partition that was forgotten since."""
        progress = self._partitions.get(ticket.partition)
        return progress is not None and progress.epoch == ticket.epoch and ticket.offset in progress.unfinished

    def finished(self, ticket: Ticket, output: OutgoingRecord | None = None) -> bool:
        """The record needs no more work; ``output`` was made of it. False, and nothing happens, if it was not open."""
        if not self.is_open(ticket):
            return False
        progress = self._partitions[ticket.partition]
        del progress.unfinished[ticket.offset]
        if output is not None:
            progress.outputs[ticket.offset] = output
        return True

    @property
    def held(self) -> int:
        """Outputs that wait to be written."""
        return sum(len(progress.outputs) for progress in self._partitions.values())

    def outputs(self, positions: Mapping[TopicPartition, int]) -> list[OutgoingRecord]:
        """What was made of the records before ``positions``, in the order read within each partition."""
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

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """These positions are stored, and what comes before them is written; neither is offered again."""
        for partition, position in positions.items():
            if (progress := self._partitions.get(partition)) is not None:
                progress.committed = position
                for offset in [offset for offset in progress.outputs if offset < position]:
                    del progress.outputs[offset]

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions that belong to somebody else now. Their open records can no longer be finished here."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def forget_all(self) -> None:
        """Every partition belongs to somebody else now."""
        self._partitions.clear()

    def unfinished(self) -> int:
        """Records started and not finished."""
        return sum(len(progress.unfinished) for progress in self._partitions.values())

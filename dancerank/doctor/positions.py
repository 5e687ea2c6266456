"""Positions of groups and views that lie outside their logs: what was dropped before it was read."""

from collections.abc import Iterator, Mapping

from dancerank.doctor.findings import Finding, error, ok
from ranking.views.accepted_losses import AcceptedLosses
from schemas.ports import LogGap, TopicPartition
from transport.group_offsets import PartitionEnds

Ends = Mapping[TopicPartition, PartitionEnds]


def examine_positions(where: str, ends: Ends, positions: Mapping[TopicPartition, int]) -> Iterator[Finding]:
    """``positions``: next offsets to read, of the partitions of ``ends`` that have one."""
    outside = [
        found
        for at, position in sorted(positions.items())
        if at in ends
        for found in _one(where, at, position, ends[at])
    ]
    waiting = sum(max(0, each.end - max(each.start, positions.get(at, 0))) for at, each in ends.items())
    yield from outside or [ok(where, f"has positions within its logs; up to {waiting:,} records wait")]


def examine_deletions(topic: str, ends: Ends, losses: AcceptedLosses | None) -> Iterator[Finding]:
    """Deletions that are gone, which a view that is built again would lack."""
    accepted = {} if losses is None else losses.of(ends)
    for at, each in sorted(ends.items()):
        if at.topic == topic and each.start > accepted.get(at, 0):
            yield error(
                f"topic {topic}",
                f"begins at offset {each.start} of partition {at.partition}: deletions before it are gone, and new "
                "views wait (deletions_lost)",
                "send them again, then run dancerank offsets accept-loss",
            )


def _one(where: str, at: TopicPartition, position: int, ends: PartitionEnds) -> Iterator[Finding]:
    if position < ends.start:
        yield error(
            where,
            f"has lost records: {LogGap(at, position, ends.start)}",
            "send them again; raise the retention of the topic",
        )
    elif position > ends.end:
        yield error(
            where,
            f"is at offset {position} of {at.topic}[{at.partition}], which ends at {ends.end}: it is another log",
            "connect to the log that it was built from, or delete the view to rebuild it",
        )

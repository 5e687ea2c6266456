"""Positions and lag of consumer groups, on the terminal."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from rich.table import Column, Table
from rich.text import Text

from schemas.ports import TopicPartition
from transport.group_offsets import Member, PartitionEnds

_NONE: Final = "–"


class Workers(StrEnum):
    """Groups of workers that divide partitions among them."""

    STREAMER = "streamer"
    VIDEOS = "videos"
    RANKING = "ranking"
    POOLS = "pools"


class Standing(NamedTuple):
    """Positions of a group. ``view`` names the positions in the database that count for it, if any do; ``place`` is
    that database, and ``absence`` why it holds none, if it has no tables.
    """

    workers: Workers
    group: str
    view: str | None
    place: str
    ends: Mapping[TopicPartition, PartitionEnds]
    positions: Mapping[TopicPartition, int]
    members: list[Member]
    absence: str | None = None

    def position(self, at: TopicPartition) -> int:
        """The offset at which the group continues: without a position, the first record that is kept."""
        return max(self.positions.get(at, 0), self.ends[at].start)


def standing_table(standing: Standing) -> Table:
    kept = "in Kafka" if standing.view is None else f"in the database, as view {standing.view}"
    reader = {at: member for member in standing.members for at in member.partitions}
    columns = [Column("topic", overflow="fold")]
    columns += [Column(name, justify="right") for name in ("partition", "first", "position", "end", "lag")]
    members = "1 member" if len(standing.members) == 1 else f"{len(standing.members)} members"
    title = f"{standing.workers}: group {standing.group}, {members}; positions are kept {kept}"
    table = Table(*columns, Column("read by", overflow="fold"), title=_title(title))
    behind = 0
    for at, ends in sorted(standing.ends.items()):
        lag = max(0, ends.end - standing.position(at))
        behind += lag
        numbers = map(str, (ends.end, lag))
        member = Text(str(reader[at]) if at in reader else _NONE)
        table.add_row(Text(at.topic), str(at.partition), str(ends.start), _reported(standing, at), *numbers, member)
    caption = f"lag in all: {behind:,}"
    if standing.absence is not None:
        caption += f"; {standing.place} holds no positions: {standing.absence}"
    elif standing.view is not None:
        caption += "; 1 per partition may be a transaction marker, which is not a record"
    table.caption = Text(caption, style="table.caption")
    return table


def reset_table(standing: Standing, targets: Mapping[TopicPartition, int]) -> Table:
    """Positions that would be set, beside the present ones."""
    columns = [Column("topic", overflow="fold")]
    columns += [Column(name, justify="right") for name in ("partition", "first", "end", "now at", "set to", "change")]
    table = Table(*columns, title=_title(f"{standing.workers}: group {standing.group}"))
    for at, target in sorted(targets.items()):
        ends, change = standing.ends[at], target - standing.position(at)
        shown = f"{change:+,}" if change else "0"
        numbers = map(str, (at.partition, ends.start, ends.end))
        table.add_row(Text(at.topic), *numbers, _reported(standing, at), str(target), shown)
    return table


def meaning(standing: Standing, targets: Mapping[TopicPartition, int]) -> str:
    """The new positions, and how many records are read again or skipped."""
    changes = [target - standing.position(at) for at, target in targets.items()]
    again, passed = -sum(min(0, change) for change in changes), sum(max(0, change) for change in changes)
    if standing.view is None:
        lines = ["Set in Kafka, for the group."]
        read_again = "uploads are scored again; the log then holds a later result of the same clip."
    else:
        lines = [
            f"Set in {standing.place} for view {standing.view}, and in Kafka for lag tools. What the view holds stays."
        ]
        read_again = "records are applied again, which changes nothing that they have changed before."
    if again:
        lines.append(f"Up to {again:,} {read_again}")
    if passed:
        lines.append(f"Up to {passed:,} records are passed over: this group will not see them.")
    return "\n".join(lines)


def _reported(standing: Standing, at: TopicPartition) -> str:
    return str(standing.positions[at]) if at in standing.positions else _NONE


def _title(text: str) -> Text:
    """Names are data, not markup."""
    return Text(text, style="table.title")

"""Dead letters on the terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from dancerank.dead_letters import beginning, in_short
from schemas.escaping import escaped
from schemas.ports import OutgoingRecord, Record
from transport.dead_letter_records import DeadLetter

_NONE: Final = "–"


def dead_letters_tables(dead_letters: Sequence[DeadLetter]) -> Group:
    """One table for each dead-letter topic, in the order given."""
    by_topic = sorted(dead_letters, key=lambda dead_letter: dead_letter.id.topic)
    return Group(*(_dead_letters_table(topic, list(those)) for topic, those in groupby(by_topic, lambda x: x.id.topic)))


def counts_table(dead_letters: Iterable[DeadLetter]) -> Table:
    """Counts by reason; ``again`` counts those that were replayed and failed again."""
    counts = Counter((dead_letter.source.topic, dead_letter.code) for dead_letter in dead_letters)
    again = Counter(
        (dead_letter.source.topic, dead_letter.code) for dead_letter in dead_letters if dead_letter.attempts
    )
    columns = [Column("topic", overflow="fold"), Column("code"), Column("dead letters", justify="right")]
    table = Table(*columns, Column("failed again", justify="right"), title=_title("Reasons"), show_footer=True)
    table.columns[0].footer, table.columns[2].footer = "all", f"{counts.total():,}"
    table.columns[3].footer = f"{again.total():,}"
    for place, count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        table.add_row(*map(_cell, place), f"{count:,}", f"{again[place]:,}")
    return table


def dead_letter_tables(dead_letter: DeadLetter, record: Record, content: bytes | None) -> Group:
    """Everything about one dead letter; ``content``: its value, or the original's, if one of them is kept."""
    facts = Table(show_header=False, title=_title(f"Dead letter {dead_letter.id}"))
    source = f"{dead_letter.source.topic}[{dead_letter.source.partition}]@{dead_letter.source_offset}"
    if dead_letter.last_offset not in (None, dead_letter.source_offset):
        source += f" to {dead_letter.last_offset}"
    facts_by_name = {
        "failed": f"{_time(dead_letter.at_ms)} UTC",
        "code": dead_letter.code,
        "message": dead_letter.message,
        "field": dead_letter.field or _NONE,
        "clip": dead_letter.clip_id or _NONE,
        "record": source,
        "key": _NONE if dead_letter.key is None else beginning(dead_letter.key),
        "value": f"{dead_letter.size_bytes:,} bytes" if dead_letter.size_bytes else _missing(content),
    }
    if dead_letter.attempts:
        facts_by_name["put back"] = (
            f"{dead_letter.attempts} times, and failed again; at first it was {dead_letter.first}"
        )
    for name, text in facts_by_name.items():
        facts.add_row(name, Text(text) if name == "key" else _cell(text))
    headers = Table("header", Column("content", overflow="fold"), title=_title("Headers"))
    for name, held in record.headers:
        headers.add_row(_cell(name), Text(beginning(held)))
    if not content:
        return Group(facts, headers)
    event = in_short(content)
    title = "What it holds" if event is not None else f"No event; it begins (of {len(content):,} bytes)"
    return Group(facts, headers, Text(title, style="table.title"), Text(event or beginning(content)))


def replay_table(records: Iterable[tuple[DeadLetter, OutgoingRecord]]) -> Table:
    """The records that would be replayed, and what chooses their partitions."""
    columns = [Column(name, overflow="fold") for name in ("dead letter", "to", "clip")]
    table = Table(
        *columns, "code", Column("attempt", justify="right"), Column("bytes", justify="right"), "partition by"
    )
    for dead_letter, record in records:
        by = "key" if record.partition_by is None else f"challenge {record.partition_by}"
        names = (_place(dead_letter), record.topic, dead_letter.clip_id or _NONE, dead_letter.code)
        table.add_row(*map(_cell, names), str(dead_letter.attempts + 1), f"{len(record.value or b''):,}", _cell(by))
    return table


def _dead_letters_table(topic: str, dead_letters: Sequence[DeadLetter]) -> Table:
    """A row for each dead letter: code and message have what room is left, also in a terminal of 80 columns."""
    table = Table(
        Column("dead letter", no_wrap=True),
        Column("when (UTC)", no_wrap=True),
        Column("clip", overflow="fold", ratio=1),
        Column("tries"),
        Column("code: message", overflow="fold", ratio=2),
        title=_title(topic),
        expand=True,
    )
    for dead_letter in dead_letters:
        names = (
            _place(dead_letter),
            _time(dead_letter.at_ms),
            dead_letter.clip_id or _NONE,
            str(dead_letter.attempts + 1),
        )
        why = f"{dead_letter.code}: {' '.join(dead_letter.message.split())}"
        table.add_row(*map(_cell, (*names, why)))
    return table


def _place(dead_letter: DeadLetter) -> str:
    return f"{dead_letter.id.partition}:{dead_letter.id.offset}"


def _missing(content: bytes | None) -> str:
    if content:
        return f"not in the dead letter; the original is kept, {len(content):,} bytes"
    return "empty, or left out because it was too large; the original is no longer kept"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _cell(text: str) -> Text:
    """The value on one line, control characters escaped."""
    return Text(escaped(text))


def _title(text: str) -> Text:
    """Names are data, not markup."""
    return Text(text, style="table.title")

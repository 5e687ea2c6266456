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
_LONGEST_CLIP: Final = 24


def dead_letters_tables(letters: Sequence[DeadLetter]) -> Group:
    """One table for each dead-letter topic, in the order given."""
    by_topic = sorted(letters, key=lambda letter: letter.id.topic)
    return Group(*(_dead_letters_table(topic, list(those)) for topic, those in groupby(by_topic, lambda x: x.id.topic)))


def counts_table(letters: Iterable[DeadLetter]) -> Table:
    """How many there are by reason; ``again`` counts those that were put back and failed once more."""
    counts = Counter((letter.source.topic, letter.code) for letter in letters)
    again = Counter((letter.source.topic, letter.code) for letter in letters if letter.attempts)
    columns = [Column("topic", overflow="fold"), Column("code"), Column("letters", justify="right")]
    table = Table(*columns, Column("failed again", justify="right"), title=_title("Reasons"), show_footer=True)
    table.columns[0].footer, table.columns[2].footer = "all", f"{counts.total():,}"
    table.columns[3].footer = f"{again.total():,}"
    for place, count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        table.add_row(*map(_cell, place), f"{count:,}", f"{again[place]:,}")
    return table


def dead_letter_tables(letter: DeadLetter, record: Record, content: bytes | None) -> Group:
    """Everything about one letter; ``content``: its value, or the original's, if one of them is kept."""
    facts = Table(show_header=False, title=_title(f"DeadLetter {letter.id}"))
    source = f"{letter.source.topic}[{letter.source.partition}]@{letter.source_offset}"
    told = {
        "failed": f"{_time(letter.at_ms)} UTC",
        "code": letter.code,
        "message": letter.message,
        "field": letter.field or _NONE,
        "clip": letter.clip_id or _NONE,
        "record": source,
        "key": _NONE if letter.key is None else beginning(letter.key),
        "value": f"{letter.size_bytes:,} bytes" if letter.size_bytes else _missing(content),
    }
    if letter.attempts:
        told["put back"] = f"{letter.attempts} times, and failed again; at first it was {letter.first}"
    for name, text in told.items():
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
    """What would be put back, and by what its partition is chosen."""
    columns = [Column(name, overflow="fold") for name in ("letter", "to", "clip")]
    table = Table(
        *columns, "code", Column("attempt", justify="right"), Column("bytes", justify="right"), "partition by"
    )
    for letter, record in records:
        by = "key" if record.partition_by is None else f"challenge {record.partition_by}"
        names = (_place(letter), record.topic, letter.clip_id or _NONE, letter.code)
        table.add_row(*map(_cell, names), str(letter.attempts + 1), f"{len(record.value or b''):,}", _cell(by))
    return table


def _dead_letters_table(topic: str, letters: Sequence[DeadLetter]) -> Table:
    """A line for each letter: the message has what room is left."""
    columns = [Column("letter", no_wrap=True), Column("when (UTC)", no_wrap=True)]
    columns += [Column("clip", overflow="fold", max_width=_LONGEST_CLIP), Column("code", no_wrap=True), Column("tries")]
    table = Table(
        *columns,
        Column("message", no_wrap=True, overflow="ellipsis", ratio=1, min_width=20),
        title=_title(topic),
        expand=True,
    )
    for letter in letters:
        names = (_place(letter), _time(letter.at_ms), letter.clip_id or _NONE, letter.code, str(letter.attempts + 1))
        table.add_row(*map(_cell, (*names, " ".join(letter.message.split()))))
    return table


def _place(letter: DeadLetter) -> str:
    return f"{letter.id.partition}:{letter.id.offset}"


def _missing(content: bytes | None) -> str:
    if content:
        return f"not in the letter; the original is kept, {len(content):,} bytes"
    return "empty, or left out because it was too large; the original is no longer kept"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _cell(text: str) -> Text:
    """On one line, whatever it holds."""
    return Text(escaped(text))


def _title(text: str) -> Text:
    """Names are data, not markup."""
    return Text(text, style="table.title")

"""Text from outside is escaped before it reaches the terminal."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

import dancerank
from dancerank.commands.tables.dead_letters import counts_table, dead_letters_tables
from dancerank.console.terminal import Console, confirm
from schemas.ports import TopicPartition
from transport.dead_letter_records import DeadLetter, DeadLetterId

FORGED = "clip\x1b[2J\u202e\x9b1m\rend\u200b"
ACTED_ON = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def shown(renderable: RenderableType) -> str:
    target = StringIO()
    Console(file=target, width=300).print(renderable)
    return target.getvalue()


def table(cell: RenderableType, title: RenderableType = "", footer: RenderableType = "") -> Table:
    made = Table(Column("clip", footer=footer), title=Text(str(title)), show_footer=True)
    made.add_row(cell)
    return made


@pytest.mark.tried(
    kind="untrusted text in output",
    given="escape sequences in cells, titles and footers of tables",
    outcome="written out",
)
@pytest.mark.parametrize(
    "made",
    [
        str,
        Text,
        lambda text: Text.assemble("ours ", (text, "bold")),
        lambda text: table(text),
        lambda text: table(Text(text)),
        lambda text: table("", title=text),
        lambda text: table("", footer=text),
    ],
    ids=["string", "text", "styled", "cell", "text in a cell", "title", "footer"],
)
def test_no_text_steers_the_terminal(made: Callable[[str], RenderableType]) -> None:
    written = shown(made(FORGED))
    assert not ACTED_ON.search(written)
    assert "clip\\x1b" in written


def dead_record(**values: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "id": DeadLetterId("t.dead-letters", 0, 1),
        "source": TopicPartition("t", 0),
        "source_offset": 3,
        "code": "malformed_event",
        "message": "wrong",
        "field": None,
        "clip_id": "a",
        "key": b"a",
        "at_ms": 1_772_366_400_000,
        "attempts": 0,
        "first": "",
        "original": (),
        "size_bytes": 1,
    }
    return DeadLetter(**given | values)


@pytest.mark.tried(
    kind="untrusted text in output",
    given="dead letters whose id, message or code has line breaks",
    outcome="one row each",
)
def test_a_dead_letter_stays_on_its_line_whatever_its_headers_hold() -> None:
    plain = shown(dead_letters_tables([dead_record()]))
    forged = [
        dead_record(clip_id="a\n│ 0:9 │ x\x1b[A"),
        dead_record(message="no\n\x1b[31mERROR"),
        dead_record(code="a\nb"),
    ]
    for each in forged:
        written = shown(dead_letters_tables([each]))
        assert not ACTED_ON.search(written)
        assert written.count("\n") <= plain.count("\n") + 1  # a long id is folded
    assert "a\\nb" in shown(counts_table([forged[2]]))


def test_every_command_writes_through_this_terminal() -> None:
    root = Path(dancerank.__file__).parent
    others = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^from rich(\.console)? import .*\b(Console|print)\b", path.read_text(), flags=re.MULTILINE)
    ]
    assert others == []


@pytest.mark.tried(
    kind="untrusted text in output",
    given="escape sequences in a question that a command asks",
    outcome="written out",
)
def test_a_question_is_escaped_and_asked_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    with patch("sys.stdin", StringIO("y\n")):
        confirm(f"There is no way back to {FORGED} then. Drop it?")
    assert not ACTED_ON.search(capsys.readouterr().out)
    with patch("sys.stdin", StringIO("n\n")), pytest.raises(typer.Abort):
        confirm("Drop it?")
    package = Path(dancerank.__file__).parent
    asking = {path.name for path in package.rglob("*.py") if "typer.confirm" in path.read_text()}
    assert asking == {"terminal.py"}

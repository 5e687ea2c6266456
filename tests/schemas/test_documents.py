"""Documents that people paste: those of the manuals are events, and what a shell makes of others is refused by name."""

import json
import re
from pathlib import Path

import pytest

from dancerank_installation import FOLDER
from schemas.codec import decode, encode_json
from schemas.errors import MalformedEvent
from schemas.events import EVENT_TYPES, ClipUploaded, Event, FeatureFile

MANUALS = [FOLDER / "README.md", *sorted((FOLDER / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAMES = "|".join({event.__struct_config__.tag.partition("/")[0] for event in EVENT_TYPES})
_EVENT = re.compile(rf'\{{\s*"schema":\s*"(?:{_NAMES})/\d')
_TIME = "'$(date +%s)000'"


def documents(path: Path) -> list[str]:
    """The blocks of a manual that hold an event, as a shell would pass it on."""
    found = []
    for block in _BLOCK.findall(path.read_text(encoding="utf-8")):
        if _EVENT.search(block):
            found += [line for line in block.splitlines() if line.strip()]
    return [line.replace(_TIME, "1700000000000") for line in found]


def test_every_line_of_a_document_in_the_manuals_is_an_event() -> None:
    lines = [(path, line) for path in MANUALS for line in documents(path)]
    assert {path.name for path, _ in lines} >= {"README.md", "pools.md"}
    for path, line in lines:
        piped = re.fullmatch(r"echo '(.*)' \| kcat -P -b [^ ]+ -t [^ ]+ -k [^ ]+", line)
        text = piped.group(1) if piped else line
        assert isinstance(decode(text.encode(), *EVENT_TYPES), Event), f"{path}: {line}"


UPLOAD = ClipUploaded(
    clip_id="clip-1",
    dancer_id="ada",
    challenge_id="renegade",
    uploaded_at_ms=1_700_000_000_000,
    duration_s=12.0,
    features=FeatureFile("file:///data/clip-1.safetensors"),
)
PRETTY = json.dumps(json.loads(encode_json(UPLOAD)), indent=2)
OLD_README = """{"schema": "clip-uploaded/1", "clip_id": "clip-1", "dancer_id": "ada", "challenge_id": "renegade",
 "uploaded_at_ms": 1700000000000, "duration_s": 12.0,
 "features": {"kind": "file", "uri": "file:///data/features/clip-1.safetensors"}}"""


def refusal(value: bytes) -> str:
    with pytest.raises(MalformedEvent) as refused:
        decode(value, ClipUploaded)
    return refused.value.message


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(OLD_README, marks=pytest.mark.tried(
            kind="first steps that fail silently", given="a JSON document of three lines, pasted into kcat",
            outcome="each part is refused; the error says to write one line")),
        pytest.param(PRETTY, marks=pytest.mark.tried(
            kind="first steps that fail silently", given="a document that jq has indented, sent line by line",
            outcome="each part is refused; the error says to write one line")),
        pytest.param(PRETTY.replace("\n", "\r\n"), id="with the line ends of Windows"),
        pytest.param('[\n{"a":\n1,\ntrue,\nnull}\n]', id="a list on lines"),
    ],
)  # fmt: skip
def test_every_line_of_a_document_is_refused_with_the_way_to_send_it(document: str) -> None:
    for line in document.split("\n"):
        if line != "[":
            assert "write the document on one line" in refusal(line.encode()), line


@pytest.mark.parametrize(
    ("value", "named"),
    [
        pytest.param(b"  \n", "leave out the empty lines", marks=pytest.mark.tried(
            kind="first steps that fail silently", given="an empty line at the end of a file of events",
            outcome="refused as blank")),
        pytest.param(b"[" + encode_json(UPLOAD) + b"]", "send each event in a record of its own", id="a list"),
        pytest.param(encode_json(UPLOAD) + encode_json(UPLOAD), "each event in a record of its own", id="two in one"),
        pytest.param(encode_json(UPLOAD).decode().encode("utf-16"), "save the document as UTF-8",
            marks=pytest.mark.tried(
                kind="first steps that fail silently", given="a document in UTF-16, as of PowerShell",
                outcome="refused with the encoding to use")),
        pytest.param(b"\x00\x00\x00\x00\x07" + encode_json(UPLOAD), "header of a schema registry", id="registry"),
    ],
)  # fmt: skip
def test_what_producers_wrap_a_document_in_is_named(value: bytes, named: str) -> None:
    assert named in refusal(value)


def test_a_document_on_one_line_is_an_upload() -> None:
    assert decode(OLD_README.replace("\n", "").encode(), ClipUploaded).clip_id == "clip-1"

"""Dead letters are listed, shown, saved and put back from the command line."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.dead_letters import as_json, beginning, in_short
from schemas.codec import decode, encode, encode_json
from schemas.errors import DancerankError, FeatureFileMissing, MalformedEvent
from schemas.events import ClipUploaded, FeatureFile, InlineFeatures
from schemas.ports import OutgoingRecord, Record
from tests.clips import upload
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter, dead_letter_spec, dead_letter_topic, send_dead_letter
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.partitioning import partition_of
from transport.topics import TopicSpec, ensure_topics

PARTITIONS = 4
CLIP = upload("clip-1", FeatureFile("file:///data/clip-1"), challenge_id="renegade")
ROOM_BYTES = 4 * 1024 * 1024
NOON_MS = 1_772_366_400_000
"""2026-03-01T12:00 UTC."""


@dataclass
class Desk:
    """An uploads topic with dead letters, and the command that looks at them."""

    connection: KafkaConnection
    topic: str
    config: Path
    uploads: KafkaSink
    dead_letters: KafkaSink

    def dead_letter(self, record: Record, error: DancerankError, clip_id: str | None, at_ms: int = NOON_MS) -> None:
        dead_record = dead_letter(record, error, clip_id=clip_id, failed_at_ms=at_ms)
        send_dead_letter(self.dead_letters.send, dead_record)
        self.dead_letters.flush(10.0)

    def arrived(self, value: bytes | None, key: bytes = b"clip-1") -> Record:
        """A record of the uploads topic, as its reader got it."""
        self.uploads.send(OutgoingRecord(self.topic, key, value, (("trace", b"\x01"),)))
        self.uploads.flush(10.0)
        return self.records()[-1]

    def records(self) -> list[Record]:
        """What the uploads topic holds, in the order of time."""
        with closing(KafkaSource(self.connection, [self.topic], group=None)) as source:
            records = list(source.poll(max_records=500, timeout_s=1.0))
            while sum(source.end_offsets().values()) > len(records):
                records += source.poll(max_records=500, timeout_s=1.0)
        return sorted(records, key=lambda record: (record.timestamp_ms, record.offset))

    def lines(self, *arguments: str) -> list[str]:
        """What a command prints, as it is laid out."""
        result = CliRunner().invoke(app, ["dead-letters", *arguments, "--config", str(self.config)])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    def run(self, *arguments: str, answer: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["dead-letters", *arguments, "--config", str(self.config)], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        said = result.stdout if result.exit_code == 0 else result.output  # progress goes to standard error
        return result.exit_code, " ".join(said.split())

    def named(self) -> str:
        """The place of the one dead letter."""
        with closing(KafkaSource(self.connection, [dead_letter_topic(self.topic)], group=None)) as source:
            while not (records := source.poll(max_records=10, timeout_s=1.0)):
                pass
        (record,) = records
        return f"{record.partition}:{record.offset}"


@pytest.fixture
def desk(
    tmp_path: Path, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setenv("COLUMNS", "250")
    topic = fresh_name("up")
    uploads = TopicSpec(name=topic, partitions=PARTITIONS, config={"max.message.bytes": str(ROOM_BYTES)})
    ensure_topics(kafka_connection, [uploads, dead_letter_spec(uploads)])
    config = tmp_path / "dancerank.toml"
    config.write_text(f"""
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        [streamer]
        uploads_topic = "{topic}"
        scored_topic = "{topic}-scored"
        [ranking]
        deletions_topic = "{topic}-deleted"
        [pools]
        engagement_topic = "{topic}-engagement"
    """)
    with (
        closing(KafkaSink(kafka_connection, ProducerOptions(max_record_bytes=ROOM_BYTES))) as sink,
        closing(KafkaSink(kafka_connection)) as dead_letters,
    ):
        yield Desk(kafka_connection, topic, config, sink, dead_letters)


@pytest.mark.kafka
def test_the_whole_reason_is_listed_in_a_narrow_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    reason = "the length as a share of duration_s is 0.304, and of a real clip at least 0.5"
    desk.dead_letter(desk.arrived(encode(CLIP)), MalformedEvent(reason), "clip-of-a-long-name-0001", NOON_MS)
    rows = [line.split("│") for line in desk.lines("list") if line.count("│") == 6]
    assert reason in " ".join(row[5].strip() for row in rows)


@pytest.mark.kafka
def test_letters_are_listed_by_reason_and_time_and_all_are_counted(desk: Desk) -> None:
    for number in range(5):
        record = desk.arrived(b"\xc1%d" % number, b"key-%d" % number)
        desk.dead_letter(
            record, MalformedEvent(f"no event [bold]{number}"), f"[red]{number}", NOON_MS + number * 60_000
        )
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1", NOON_MS - 60_000)

    code, output = desk.run("list", "--limit", "2")
    assert code == 0
    assert "2026-03-01 12:04:00 │ [red]4 │ 1 │ malformed_event: no event [bold]4 │" in output
    assert "[red]2" not in output
    assert "4 older ones are not shown" in output
    assert f"│ {desk.topic} │ malformed_event │ 5 │ 0 │ │ {desk.topic} │ feature_file_missing │ 1 │ 0 │" in output
    assert "│ all │ │ 6 │ 0 │" in output
    assert "│ all │ │ 1 │" in desk.run("list", "--reason", "feature_file_missing")[1]
    assert "│ all │ │ 2 │" in desk.run("list", "--since", "2026-03-01T12:03")[1]
    assert "No dead letters" in desk.run("list", "--since", "2027-01-01")[1]


@pytest.mark.kafka
def test_a_letter_is_put_back_as_it_came_where_producers_would_send_it(desk: Desk) -> None:
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1")
    code, output = desk.run("replay", "--reason", "feature_file_missing", "--yes")
    assert (code, output) == (0, "1 dead letter put back.")
    original, again = desk.records()
    assert (again.key, again.value, again.headers[0]) == (original.key, original.value, ("trace", b"\x01"))
    place = f"{dead_letter_topic(desk.topic)}:{desk.named()}".encode()
    assert again.headers[1:] == (("replayed-from", place), ("attempts", b"1"))
    assert again.partition == partition_of(OutgoingRecord("", b"", b"", partition_by="renegade"), PARTITIONS, 0)


@pytest.mark.kafka
def test_nothing_is_put_back_by_a_dry_run_or_without_a_yes(desk: Desk) -> None:
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1")
    code, output = desk.run("replay", "--dry-run")
    assert code == 0
    assert "challenge renegade" in output
    assert "would put back 1 dead letter" in output
    assert desk.run("replay", answer="n\n")[0] == 1
    assert len(desk.records()) == 1
    assert desk.run("replay", answer="y\n")[0] == 0
    assert len(desk.records()) == 2


@pytest.mark.kafka
def test_of_a_letter_that_failed_again_only_the_last_is_put_back_unless_it_is_named(desk: Desk) -> None:
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1")
    first = desk.named()
    desk.run("replay", "--yes")
    desk.dead_letter(desk.records()[-1], FeatureFileMissing("no file"), "clip-1", NOON_MS + 1)
    assert "│ all │ │ 1 │ 1 │" in desk.run("list")[1]
    desk.run("replay", "--yes")
    assert [dict(record.headers).get("attempts") for record in desk.records()] == [None, b"1", b"2"]
    assert desk.run("replay", first, "--yes") == (0, "1 dead letter put back.")
    assert dict(desk.records()[-1].headers)["attempts"] == b"1"


@pytest.mark.kafka
def test_a_value_is_saved_repaired_and_put_back(desk: Desk, tmp_path: Path) -> None:
    broken = json.loads(encode_json(CLIP)) | {"duration_s": "ten"}
    record = desk.arrived(msgspec.msgpack.encode(broken), b"?")
    desk.dead_letter(record, MalformedEvent("Expected `float`", field="duration_s"), "clip-1")
    file = tmp_path / "clip.json"
    code, output = desk.run("show", desk.named(), "--save", str(file))
    assert code == 0
    assert "│ field │ duration_s │" in output
    assert "│ original.trace │ 01 │" in output
    assert '"duration_s": "ten"' in output
    code, output = desk.run("replay", desk.named(), "--value", str(file), "--yes")
    assert code == 1
    assert f"{file} is still not an event for {desk.topic}: Expected `float`, got `str`" in output
    file.write_text(file.read_text().replace('"ten"', "12.5"))
    assert desk.run("replay", desk.named(), "--value", str(file), "--yes")[0] == 0
    again = desk.records()[-1]
    assert (again.key, decode(again.value, ClipUploaded)) == (
        b"clip-1",
        msgspec.structs.replace(CLIP, duration_s=12.5),
    )
    raw = tmp_path / "raw"
    desk.run("show", desk.named(), "--save", str(raw))
    assert raw.read_bytes() == record.value


@pytest.mark.kafka
def test_what_was_too_large_for_a_letter_is_put_back_from_the_original(desk: Desk) -> None:
    large = encode(upload("clip-1", InlineFeatures(b"\x00" * 2_000_000), challenge_id="renegade"))
    desk.dead_letter(desk.arrived(large), MalformedEvent("bad features"), "clip-1")
    assert "not in the dead letter; the original is kept, 2,000,1" in desk.run("show", desk.named())[1]
    assert desk.run("replay", "--yes")[0] == 0
    assert [len(record.value or b"") for record in desk.records()] == [len(large)] * 2
    assert dict(desk.records()[-1].headers).keys() == {"trace", "replayed-from", "attempts"}


@pytest.mark.kafka
def test_what_cannot_be_put_back_is_reported_and_all_others_are(desk: Desk) -> None:
    gone = Record(desk.topic, 0, 10_000, 0, b"k", b"", ())
    desk.dead_letter(gone, MalformedEvent("no value"), None)
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1")
    code, output = desk.run("replay", "--yes")
    assert code == 1
    assert "1 dead letter put back." in output
    assert f"the original at {desk.topic}[0]@10000 is no longer kept" in output
    assert "1 of 2 dead letters cannot be put back" in output
    assert len(desk.records()) == 2


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "0:99"], "there is no dead letter"),
        (["replay", "17"], "'17' names no dead letter"),
        (["replay", "0:1", "0:2", "--value", "x"], "--value is the value of one dead letter"),
        (["replay", "0:1", "--reason", "x"], "dead letters are named, or chosen by"),
        (["list", "--topic", "absent"], "there is no topic absent.dead-letter"),
        (["list", "--since", "soon"], "--since 'soon' is not a date"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(desk: Desk, arguments: list[str], says: str) -> None:
    code, output = desk.run(*arguments)
    assert code == 1
    assert says in output


@pytest.mark.kafka
def test_a_record_that_is_not_a_dead_letter_is_reported_and_left_alone(desk: Desk) -> None:
    desk.dead_letters.send(OutgoingRecord(dead_letter_topic(desk.topic), b"k", b"v"))
    desk.dead_letter(desk.arrived(encode(CLIP)), FeatureFileMissing("no file"), "clip-1")
    code, output = desk.run("list")
    assert code == 0
    assert "1 record there is not a dead letter: " in output
    assert desk.run("replay", "--yes") == (0, "1 dead letter put back.")


@pytest.mark.parametrize(
    "command", ["dead-letters list", "dead-letters show", "dead-letters replay", "offsets show", "offsets reset"]
)
def test_every_option_is_explained(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    output = CliRunner().invoke(app, [*command.split(), "--help"]).output
    options = re.findall(r"^│[ *]+(?:\S+ +)?(--[a-z-]+)(.*)│$", output, flags=re.MULTILINE)
    assert len(options) >= 3
    for option, text in options:
        assert len(re.findall(r"[a-z]{2,}", text)) >= 3, f"{option} is not explained"


@pytest.mark.parametrize("write", [encode, encode_json])
def test_an_event_is_saved_as_json_that_is_the_same_event(write: Callable[[ClipUploaded], bytes]) -> None:
    clip = upload("clip-1", InlineFeatures(bytes(range(256))))
    assert decode(as_json(write(clip)), ClipUploaded) == clip


@pytest.mark.parametrize("value", [b"", b"\x93no map", b"[1]", b"plain text", b"\xc1", b"\x81\xa1"])
def test_what_is_no_event_at_all_has_no_json(value: bytes) -> None:
    assert as_json(value) is None
    assert in_short(value) is None


def test_long_contents_are_cut_for_the_eye() -> None:
    shown = in_short(msgspec.msgpack.encode({"bytes": b"x" * 5000, "text": ["y" * 5000], "short": 1}))
    assert json.loads(shown or "") == {"bytes": "… 5,000 bytes", "text": ["y" * 200 + "… 5,000 characters"], "short": 1}


def test_the_beginning_is_text_or_hexadecimal() -> None:
    assert beginning(b"clip-9") == "clip-9"
    assert beginning(bytes(range(20))) == "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n10 11 12 13"
    assert len(beginning(b"x" * 5000)) == 256
    assert beginning("é".encode() * 200).startswith(("é", "c3 a9"))
    assert beginning(b"\x1b[31m") == "1b 5b 33 31 6d"  # nothing that a terminal obeys

"""Dead letters name the record's position and the error, and keep the record unchanged."""

import msgspec
import pytest

from schemas.clock import ManualClock
from schemas.errors import FeatureValueInvalid, MalformedEvent, RecordRefused, TransportError, UnreadableBatch
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record, Refusal, Unreadable
from transport.dead_letter import (
    DeadLetterWriter,
    dead_letter,
    dead_letter_spec,
    dead_letter_topic,
    reason,
    send_dead_letter,
)
from transport.topics import TopicSpec

RECORD = Record(
    "clips.uploaded", 3, 42, 1_700_000_000_000, b"clip-9", b"\x00\xff", (("trace", b"\x01"), ("code", b"x"))
)


def test_a_dead_letter_keeps_key_and_value_and_names_place_and_reason() -> None:
    error = FeatureValueInvalid("holistic has NaN at frame 7; extract it again", field="holistic")
    dead_record = dead_letter(RECORD, error, clip_id="clip-9", failed_at_ms=1_700_000_000_123)
    assert (dead_record.topic, dead_record.key, dead_record.value) == (
        "clips.uploaded.dead-letter",
        b"clip-9",
        b"\x00\xff",
    )
    assert reason(dead_record.headers) == {
        "code": "feature_value_invalid",
        "message": "holistic has NaN at frame 7; extract it again",
        "field": "holistic",
        "topic": "clips.uploaded",
        "partition": "3",
        "offset": "42",
        "clip_id": "clip-9",
        "failed_at_ms": "1700000000123",
    }


def test_what_is_not_known_is_left_out() -> None:
    dead_record = dead_letter(RECORD, MalformedEvent("no event"), clip_id=None, failed_at_ms=0)
    assert not {"field", "clip_id"} & reason(dead_record.headers).keys()


def test_the_records_own_headers_are_kept_apart_from_ours() -> None:
    dead_record = dead_letter(RECORD, MalformedEvent("no event"), clip_id=None, failed_at_ms=0)
    assert dead_record.headers[-2:] == (("original.trace", b"\x01"), ("original.code", b"x"))
    assert reason(dead_record.headers)["code"] == "malformed_event"


@pytest.mark.parametrize(
    "text", ["größer als erlaubt", "a lone surrogate \udc80", "two\nlines"], ids=["umlaut", "surrogate", "lines"]
)
def test_any_message_can_be_carried(text: str) -> None:
    dead_record = dead_letter(RECORD, MalformedEvent(text), clip_id=text, failed_at_ms=0)
    assert reason(dead_record.headers)["message"] == text.replace("\udc80", "\\udc80")


def test_a_record_without_key_and_value_still_makes_a_writable_dead_letter() -> None:
    nothing = Record("clips.uploaded", 0, 0, 0, None, None)
    assert dead_letter(nothing, MalformedEvent("empty"), clip_id=None, failed_at_ms=0).value == b""


def test_the_dead_letter_topic_has_room_for_the_largest_record_and_the_headers() -> None:
    source = TopicSpec(name="clips.uploaded", partitions=8, replication=3, config={"max.message.bytes": "2000000"})
    spec = dead_letter_spec(source)
    assert (spec.name, spec.partitions, spec.replication) == (dead_letter_topic("clips.uploaded"), 8, 3)
    assert int(spec.config["max.message.bytes"]) > 2_000_000


def test_what_an_error_quotes_is_cut_to_what_headers_have_room_for() -> None:
    long = "ü" * 2_000_000
    dead_record = dead_letter(RECORD, MalformedEvent(long, field=long), clip_id=long, failed_at_ms=0)
    lengths = {name: len(text) for name, text in reason(dead_record.headers).items()}
    assert (lengths["message"], lengths["field"], lengths["clip_id"]) == (2048, 256, 128)


def size_bytes(record: OutgoingRecord) -> int:
    return (
        len(record.key or b"")
        + len(record.value or b"")
        + sum(len(name) + len(content) for name, content in record.headers)
    )


@pytest.mark.parametrize(
    ("key", "value", "trace", "kept"),
    [
        (b"k", b"v" * 100, b"t", (b"k", b"v" * 100, True)),
        (b"k", b"v" * 2000, b"t", (b"k", b"", False)),
        (b"k", b"v", b"t" * 2000, (b"k", b"", False)),
        (b"k" * 2000, b"v", b"t", (None, b"", False)),
    ],
    ids=["small", "large value", "large header", "large key"],
)
def test_a_dead_letter_that_is_too_large_sheds_what_it_must_and_keeps_its_reason(
    key: bytes, value: bytes, trace: bytes, kept: tuple[bytes | None, bytes, bool]
) -> None:
    sent: list[OutgoingRecord] = []

    def send(record: OutgoingRecord) -> None:
        if size_bytes(record) > 1000:
            raise RecordRefused("too large")
        sent.append(record)

    record = Record("clips.uploaded", 3, 42, 0, key, value, (("trace", trace),))
    sent_record = send_dead_letter(send, dead_letter(record, MalformedEvent("no event"), clip_id=None, failed_at_ms=0))
    (dead_record,) = sent
    assert sent_record == dead_record
    assert (dead_record.key, dead_record.value, ("original.trace", trace) in dead_record.headers) == kept
    assert (reason(dead_record.headers)["code"], reason(dead_record.headers)["offset"]) == ("malformed_event", "42")


def test_a_dead_letter_is_not_made_smaller_during_an_outage() -> None:
    attempts: list[OutgoingRecord] = []

    def send(record: OutgoingRecord) -> None:
        attempts.append(record)
        raise TransportError("no broker")

    with pytest.raises(TransportError, match="no broker"):
        send_dead_letter(send, dead_letter(RECORD, MalformedEvent("no event"), clip_id=None, failed_at_ms=0))
    assert len(attempts) == 1


def test_dead_letters_that_their_topic_does_not_take_are_written_without_values() -> None:
    """A topic that someone else created may take less than the one that was read; waiting would not change that."""
    written: list[OutgoingRecord] = []

    def flush() -> None:
        largest = max(written, key=lambda each: len(each.value or b""))
        if largest.value:
            written.clear()
            raise RecordRefused("the topic takes less")

    writer = DeadLetterWriter(Observer(), ManualClock())
    sent = writer.write([Refusal(RECORD, MalformedEvent("no event"))] * 2, written.append, flush)
    assert [(each.key, each.value) for each in written] == [(b"clip-9", b"")] * 2
    assert sent == written
    assert reason(written[0].headers)["offset"] == "42"


def test_a_dead_letter_of_records_that_could_not_be_read_names_the_last_of_them() -> None:
    error = UnreadableBatch("damaged")
    batch = msgspec.structs.replace(RECORD, key=None, unreadable=Unreadable(error, 50))
    headers = reason(dead_letter(batch, error, clip_id=None, failed_at_ms=0).headers)
    assert (headers["offset"], headers["last_offset"]) == ("42", "49")


@pytest.mark.tried(
    kind="untrusted text in output",
    given="a record of which no clip can be read, with a key, with a key that is not UTF-8, and without one",
    outcome="logged with its key, and with no clip that it has not",
)
@pytest.mark.parametrize(
    ("key", "named"),
    [
        (b"clip-9", "clips.uploaded[3]@42 (key clip-9) skipped: no event"),
        (b"\xff\x01", "clips.uploaded[3]@42 (key \\xff\x01) skipped: no event"),
        (b"k" * 4000, "k … k"),
        (None, "clips.uploaded[3]@42 skipped: no event"),
    ],
)
def test_a_record_without_a_readable_clip_is_logged_by_its_key(
    key: bytes | None, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    record = msgspec.structs.replace(RECORD, key=key)
    DeadLetterWriter(Observer(), ManualClock()).skip([Refusal(record, MalformedEvent("no event"))])
    assert named in caplog.text
    assert "None" not in caplog.text
    assert len(caplog.text) < 400

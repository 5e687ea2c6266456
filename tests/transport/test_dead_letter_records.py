"""Dead letters are read back as they were written, and replayed as the original records."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas.errors import FeatureFileMissing, OversizedBatch, UnreadableBatch
from schemas.ports import OutgoingRecord, Record, TopicPartition, Unreadable
from tests.transport.batches import batch
from transport.dead_letter import dead_letter, send_dead_letter
from transport.dead_letter_records import (
    ATTEMPTS,
    REPLAYED_FROM,
    DeadLetter,
    DeadLetterError,
    DeadLetterFilter,
    DeadLetterId,
    latest,
    parse_dead_letter_id,
    read_dead_letter,
    replayed,
)
from transport.refusals import check_size

ORIGINAL = Record("clips.uploaded", 3, 42, 1_700_000_000_000, b"clip-9", b"an event", (("trace", b"\x01"),))
ERROR = FeatureFileMissing("no such file", field="features.uri")


def dead_letter_record(
    record: Record = ORIGINAL, *, offset: int = 7, failed_at_ms: int = 5, most_bytes: int = 1 << 20
) -> Record:
    """The record on the dead-letter topic, with the value left out if the topic takes no more than ``most_bytes``."""
    sent = send_dead_letter(
        lambda form: check_size(form, most_bytes),  # type: ignore[arg-type, return-value]
        dead_letter(record, ERROR, clip_id="clip-9", failed_at_ms=failed_at_ms),
    )
    return Record(sent.topic, 1, offset, 6, sent.key, sent.value, sent.headers)


def all_put_back(record: Record, originals: Sequence[Record] = (), **choices: object) -> list[OutgoingRecord]:
    asked: list[tuple[TopicPartition, int]] = []

    def fetch(at: TopicPartition, first: int, last: int) -> Sequence[Record]:
        asked.append((at, first))
        return originals

    sent = replayed(read_dead_letter(record), record, fetch, partition_by=lambda _: "challenge-1", **choices)  # type: ignore[arg-type]
    assert all(place == (ORIGINAL.topic_partition, ORIGINAL.offset) for place in asked)
    return sent


def put_back(record: Record, original: Record | None = None, **choices: object) -> OutgoingRecord:
    (sent,) = all_put_back(record, [] if original is None else [original], **choices)
    return sent


def test_a_dead_letter_record_names_its_origin_and_the_reason() -> None:
    assert read_dead_letter(dead_letter_record()) == DeadLetter(
        id=DeadLetterId("clips.uploaded.dead-letter", 1, 7),
        at_ms=5,
        source=TopicPartition("clips.uploaded", 3),
        source_offset=42,
        code="feature_file_missing",
        message="no such file",
        field="features.uri",
        clip_id="clip-9",
        key=b"clip-9",
        size_bytes=8,
        original=(("trace", b"\x01"),),
        first="clips.uploaded.dead-letter:1:7",
        attempts=0,
    )


def test_a_record_that_is_not_a_dead_letter_is_refused_by_name() -> None:
    with pytest.raises(DeadLetterError, match=r"clips\.uploaded:3:42 has not the headers of a dead letter"):
        read_dead_letter(ORIGINAL)


def test_a_replayed_record_is_unchanged_and_marked() -> None:
    assert put_back(dead_letter_record()) == OutgoingRecord(
        "clips.uploaded",
        b"clip-9",
        b"an event",
        (("trace", b"\x01"), (REPLAYED_FROM, b"clips.uploaded.dead-letter:1:7"), (ATTEMPTS, b"1")),
        partition_by="challenge-1",
    )


def test_repeated_failures_of_a_replayed_record_are_counted_together() -> None:
    record = dead_letter_record()
    for attempt in range(1, 4):
        sent = put_back(record)
        assert sent.headers == (
            ("trace", b"\x01"),
            (REPLAYED_FROM, b"clips.uploaded.dead-letter:1:7"),
            (ATTEMPTS, str(attempt).encode()),
        )
        record = dead_letter_record(msgspec.structs.replace(ORIGINAL, headers=sent.headers), offset=7 + attempt)
        again = read_dead_letter(record)
        assert (again.first, again.attempts) == ("clips.uploaded.dead-letter:1:7", attempt)
        assert again.original == (("trace", b"\x01"),)


def test_marks_that_make_no_sense_are_no_marks() -> None:
    strange = msgspec.structs.replace(ORIGINAL, headers=((REPLAYED_FROM, b"\xff"), (ATTEMPTS, b"many")))
    dead_letter = read_dead_letter(dead_letter_record(strange))
    assert (dead_letter.first, dead_letter.attempts) == ("clips.uploaded.dead-letter:1:7", 0)


def test_only_the_last_dead_letter_of_a_record_counts() -> None:
    first = read_dead_letter(dead_letter_record())
    other = msgspec.structs.replace(
        first, id=DeadLetterId("x.dead-letter", 0, 1), first="x.dead-letter:0:1", source_offset=43
    )
    by_another_reader = msgspec.structs.replace(
        first, id=DeadLetterId("x.dead-letter", 1, 8), first="x.dead-letter:1:8"
    )
    again = msgspec.structs.replace(
        first, id=DeadLetterId("x.dead-letter", 1, 9), source_offset=99, attempts=1, first=first.first
    )
    assert latest([first, other, by_another_reader, again]) == [other, again]
    assert latest([again, other, first]) == [again, other]
    assert latest([first, other, by_another_reader]) == [other, by_another_reader]


def test_a_value_that_was_left_out_is_taken_from_the_original() -> None:
    record = dead_letter_record(most_bytes=10)
    assert record.value == b""
    sent = put_back(record, ORIGINAL)
    assert (sent.key, sent.value, sent.headers[0]) == (b"clip-9", b"an event", ("trace", b"\x01"))
    assert put_back(dead_letter_record(most_bytes=0), ORIGINAL).key == b"clip-9"


def test_an_original_that_had_been_put_back_before_keeps_its_own_headers_only() -> None:
    record = dead_letter_record(most_bytes=10)
    marked = (("trace", b"\x01"), (REPLAYED_FROM, b"clips.uploaded.dead-letter:0:1"), (ATTEMPTS, b"4"))
    sent = put_back(record, msgspec.structs.replace(ORIGINAL, headers=marked))
    assert [name for name, _ in sent.headers] == ["trace", REPLAYED_FROM, ATTEMPTS]
    assert dict(sent.headers)[ATTEMPTS] == b"1"


def test_an_original_with_neither_key_nor_value_cannot_be_put_back() -> None:
    nothing = msgspec.structs.replace(ORIGINAL, key=None, value=None)
    with pytest.raises(DeadLetterError, match="has neither key nor value; there is nothing to put back"):
        put_back(dead_letter_record(nothing), nothing)


def test_a_value_that_is_nowhere_to_be_had_is_said_so() -> None:
    with pytest.raises(DeadLetterError, match=r"the original at clips\.uploaded\[3\]@42 is no longer kept; .*--value"):
        put_back(dead_letter_record(most_bytes=10), None)


def test_a_repaired_value_goes_out_under_its_own_key() -> None:
    sent = put_back(dead_letter_record(), repaired=(b"clip-10", b"another event"))
    assert (sent.key, sent.value, sent.headers[0]) == (b"clip-10", b"another event", ("trace", b"\x01"))
    assert put_back(dead_letter_record(most_bytes=10), repaired=(b"k", b"v")).value == b"v"


@pytest.mark.parametrize(
    ("text", "topic", "partition", "offset"),
    [
        ("0:17", "clips.uploaded.dead-letter", 0, 17),
        ("clips.scored:2:3", "clips.scored.dead-letter", 2, 3),
        ("clips.scored.dead-letter:2:3", "clips.scored.dead-letter", 2, 3),
    ],
)
def test_a_dead_letter_is_named_by_its_position(text: str, topic: str, partition: int, offset: int) -> None:
    assert parse_dead_letter_id(text, "clips.uploaded") == DeadLetterId(topic, partition, offset)


@pytest.mark.parametrize("text", ["17", "0:x", ":", "a:b:c", "0:-1", ""])
def test_other_texts_are_refused_as_names_of_dead_letters(text: str) -> None:
    with pytest.raises(DeadLetterError, match="names no dead letter; write PARTITION:OFFSET"):
        parse_dead_letter_id(text, "clips.uploaded")


@pytest.mark.parametrize(
    ("wanted", "admitted"),
    [
        (DeadLetterFilter(), True),
        (DeadLetterFilter(code="feature_file_missing", since_ms=5), True),
        (DeadLetterFilter(code="malformed_event"), False),
        (DeadLetterFilter(since_ms=6), False),
    ],
)
def test_dead_letters_are_chosen_by_reason_and_time(wanted: DeadLetterFilter, admitted: bool) -> None:
    assert wanted.admits(read_dead_letter(dead_letter_record())) is admitted


BATCH = bytes(batch([b"40", b"41", b"42", b"43"], base=40, codec="zstd"))


def unreadable(value: bytes, last: int = 43) -> Record:
    why = Unreadable(OversizedBatch("it holds too much"), last + 1)
    return msgspec.structs.replace(ORIGINAL, key=None, value=value, headers=(), unreadable=why)


def test_a_dead_letter_of_a_batch_names_its_offsets_and_puts_back_each_record_once_it_can_be_read() -> None:
    record = dead_letter_record(unreadable(BATCH))
    dead = read_dead_letter(record)
    assert (dead.source_offset, dead.last_offset, dead.clip_id) == (42, 43, "clip-9")
    assert [(sent.key, sent.value) for sent in all_put_back(record)] == [(b"key", b"42"), (b"key", b"43")]
    assert all(dict(sent.headers)[ATTEMPTS] == b"1" and sent.partition_by for sent in all_put_back(record))


def test_a_batch_that_still_cannot_be_read_is_named_and_nothing_of_it_is_put_back() -> None:
    record = dead_letter_record(unreadable(BATCH))
    with pytest.raises(DeadLetterError, match=r"still cannot be read: the batch at clips.*holds? more than 3 bytes"):
        all_put_back(record, max_batch_bytes=3)
    damaged = dead_letter_record(unreadable(BATCH[:-1] + bytes([BATCH[-1] ^ 1])))
    with pytest.raises(DeadLetterError, match=r"still cannot be read.*checksum"):
        all_put_back(damaged)
    with pytest.raises(DeadLetterError, match=r"too large for a dead letter, and it is no longer kept"):
        all_put_back(dead_letter_record(unreadable(BATCH), most_bytes=10))


def test_a_damaged_batch_is_read_again_where_it_came_from() -> None:
    damaged = dead_letter_record(unreadable(BATCH[:-1] + bytes([BATCH[-1] ^ 1])))
    later = msgspec.structs.replace(ORIGINAL, offset=43, value=b"another")
    assert [sent.value for sent in all_put_back(damaged, [ORIGINAL, later])] == [b"an event", b"another"]
    still = Unreadable(UnreadableBatch("a damaged disk"), 44)
    with pytest.raises(DeadLetterError, match="still cannot be read: a damaged disk"):
        all_put_back(damaged, [msgspec.structs.replace(ORIGINAL, unreadable=still)])


def test_a_dead_letter_that_cannot_be_read_itself_is_named() -> None:
    with pytest.raises(DeadLetterError, match=r"clips\.uploaded:3:42 cannot be read: it holds too much"):
        read_dead_letter(unreadable(BATCH))

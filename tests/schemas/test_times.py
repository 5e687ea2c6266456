"""Times that producers send, against the clock of the reader."""

import pytest

from schemas.clock import ManualClock
from schemas.codec import decode
from schemas.errors import MalformedEvent
from schemas.events import ClipUploaded
from schemas.ports import Record
from schemas.times import AHEAD_MS, DAY_MS, check_time, written_ms

NOW_MS = 1_795_000_000_000


@pytest.mark.parametrize("at_ms", [0, 5, NOW_MS - 10 * 365 * DAY_MS, NOW_MS, NOW_MS + AHEAD_MS])
def test_a_time_of_the_past_and_up_to_a_day_ahead_is_taken(at_ms: int) -> None:
    check_time(at_ms, NOW_MS, field="uploaded_at_ms")


@pytest.mark.parametrize(
    ("at_ms", "looks"),
    [
        pytest.param(
            NOW_MS // 1000,
            "looks like seconds",
            marks=pytest.mark.tried(
                kind="legal and absurd values", given="uploaded_at_ms in seconds", outcome="refused with the unit named"
            ),
        ),
        ((NOW_MS - 365 * DAY_MS) // 1000, "looks like seconds"),
        pytest.param(
            NOW_MS * 1000,
            "looks like microseconds",
            marks=pytest.mark.tried(
                kind="legal and absurd values",
                given="uploaded_at_ms in microseconds",
                outcome="refused with the unit named",
            ),
        ),
        ((NOW_MS - 3 * 365 * DAY_MS) * 1000 + 7, "looks like microseconds"),
        pytest.param(
            NOW_MS * 1_000_000,
            "looks like nanoseconds",
            marks=pytest.mark.tried(
                kind="legal and absurd values",
                given="uploaded_at_ms in nanoseconds",
                outcome="refused with the unit named",
            ),
        ),
        pytest.param(
            NOW_MS + AHEAD_MS + 1,
            "is more than 1 d ahead of the clock here",
            marks=pytest.mark.tried(
                kind="legal and absurd values", given="uploaded_at_ms a day and a millisecond ahead", outcome="refused"
            ),
        ),
        pytest.param(
            (1 << 53) - 1,
            "is more than 1 d ahead of the clock here",
            marks=pytest.mark.tried(
                kind="legal and absurd values",
                given="uploaded_at_ms of 2^53 - 1, the largest that JSON numbers hold",
                outcome="refused",
            ),
        ),
    ],
)
def test_an_implausible_time_is_refused_with_field_unit_and_remedy(at_ms: int, looks: str) -> None:
    with pytest.raises(MalformedEvent, match=f"uploaded_at_ms is {at_ms}, which {looks}; send milliseconds") as caught:
        check_time(at_ms, NOW_MS, field="uploaded_at_ms")
    assert caught.value.field == "uploaded_at_ms"


@pytest.mark.tried(
    kind="legal and absurd values",
    given="nanoseconds, beyond what the field can hold",
    outcome="refused with the unit named",
)
def test_nanoseconds_which_no_event_holds_are_named_too() -> None:
    raw = b'{"schema":"clip-uploaded/1","clip_id":"a","dancer_id":"b","challenge_id":"c","uploaded_at_ms":%d}'
    with pytest.raises(MalformedEvent, match="looks like nanoseconds; send milliseconds") as caught:
        decode(raw % (NOW_MS * 1_000_000), ClipUploaded)
    assert caught.value.field == "uploaded_at_ms"


@pytest.mark.tried(
    kind="legal and absurd values",
    given="records with Kafka's time stamp -1, 0 or of the future",
    outcome="the clock of the reader decides",
)
@pytest.mark.parametrize(("stamp_ms", "expected_ms"), [(-1, NOW_MS), (0, NOW_MS), (7, 7), (NOW_MS + 1, NOW_MS)])
def test_a_record_was_written_when_it_says_unless_it_does_not_or_cannot(stamp_ms: int, expected_ms: int) -> None:
    assert written_ms(Record("t", 0, 0, stamp_ms, None, b""), ManualClock(start_ms=NOW_MS)) == expected_ms

import json
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode, encode_json, peek_clip_id
from schemas.errors import DancerankError, MalformedEvent, UnknownSchemaVersion
from schemas.events import (
    EVENT_TYPES,
    ClipDeleted,
    ClipScored,
    ClipUploaded,
    Event,
    FeatureFile,
    outside_training,
    training_distance,
)
from tests.ranking.examples import attention_over, guidance, routine, scored_clip
from tests.schemas.events import as_map, clips_scored, clips_uploaded, events

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def attempt(raw: bytes) -> Event | DancerankError:
    """The event, or the refusal; anything else that is raised is a defect."""
    try:
        return decode(raw, *EVENT_TYPES)
    except (MalformedEvent, UnknownSchemaVersion) as error:
        return error


@given(events)
def test_every_event_survives_messagepack_and_json(event: Event) -> None:
    assert decode(encode(event), type(event)) == event
    assert decode(encode_json(event), type(event)) == event
    assert decode(b" \n\t" + encode_json(event), *EVENT_TYPES) == event


@given(events)
def test_the_clip_id_can_be_read_without_the_rest(event: Event) -> None:
    assert peek_clip_id(encode(event)) == peek_clip_id(encode_json(event)) == event.clip_id  # type: ignore[attr-defined]


@given(events, st.data())
def test_flipped_bits_give_another_event_or_a_refusal_and_never_a_crash(event: Event, data: st.DataObject) -> None:
    for form in (encode, encode_json):
        raw = bytearray(form(event))
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        attempt(bytes(raw))
        peek_clip_id(bytes(raw))


@given(events, st.data())
def test_a_truncated_event_is_refused(event: Event, data: st.DataObject) -> None:
    for form in (encode, encode_json):
        raw = form(event)
        with pytest.raises(MalformedEvent):
            decode(raw[: data.draw(st.integers(0, len(raw) - 1))], *EVENT_TYPES)


@given(events, st.binary(min_size=1, max_size=10))
def test_bytes_after_the_event_are_refused(event: Event, more: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(encode(event) + more, *EVENT_TYPES)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(raw: bytes) -> None:
    assert isinstance(attempt(raw), DancerankError)
    assert isinstance(attempt(b"{" + raw), DancerankError)


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b"{" * 100_000, b'{"a":' * 100_000, b"\x91" * 100_000, b"\x81\xa1a" * 100_000]
)
def test_deep_nesting_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(raw, ClipUploaded)
    assert peek_clip_id(raw) is None


def test_deep_nesting_beside_good_fields_is_refused() -> None:
    for depth in (1_000, 100_000):
        nested = '{"schema":"clip-uploaded/1","clip_id":"a","extra":' + "[" * depth + "]" * depth + "}"
        with pytest.raises(MalformedEvent):
            decode(nested.encode(), ClipUploaded)


@given(events, st.data())
def test_a_field_of_a_wrong_type_is_refused_by_name_or_was_right(event: Event, data: st.DataObject) -> None:
    fields = as_map(event)
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(json_values)
    outcome = attempt(msgspec.msgpack.encode(fields))
    if isinstance(outcome, Event):
        assert msgspec.msgpack.decode(encode(outcome))[name] == fields[name]
    else:
        assert outcome.field is not None
        assert outcome.field.split(".")[0].split("[")[0] == name


@given(events, st.data())
def test_a_missing_field_is_refused_by_name_unless_it_is_optional(event: Event, data: st.DataObject) -> None:
    fields = as_map(event)
    name = data.draw(st.sampled_from(sorted(fields)))
    del fields[name]
    outcome = attempt(msgspec.msgpack.encode(fields))
    optional = {field.name for field in msgspec.structs.fields(type(event)) if not field.required}
    assert name in optional if isinstance(outcome, Event) else outcome.field == name


@given(events, st.text("abcdefg_", min_size=1, max_size=8))
def test_an_unknown_field_is_refused_by_name(event: Event, name: str) -> None:
    fields = as_map(event)
    if name not in fields:
        with pytest.raises(MalformedEvent) as caught:
            decode(msgspec.msgpack.encode({**fields, name: 1}), *EVENT_TYPES)
        assert caught.value.field == name


@pytest.mark.parametrize("number", [-1, 1 << 53, 1 << 63, 1 << 64, 1 << 5000])
def test_a_huge_or_negative_time_is_refused_by_name(number: int) -> None:
    event = json.dumps(
        {
            **{"schema": "clip-uploaded/1", "clip_id": "a", "dancer_id": "b", "challenge_id": "c", "duration_s": 5},
            **{"uploaded_at_ms": number, "features": {"kind": "file", "uri": "file:///x"}},
        }
    )
    with pytest.raises(MalformedEvent) as caught:
        decode(event.encode(), ClipUploaded)
    assert caught.value.field == "uploaded_at_ms"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@given(clips_scored)
def test_a_score_that_is_no_finite_number_is_refused(value: float, event: ClipScored) -> None:
    fields = as_map(event)
    with pytest.raises(MalformedEvent, match="fused_score must be a finite number") as caught:
        decode(msgspec.msgpack.encode({**fields, "fused_score": value}), ClipScored)
    assert caught.value.field == "fused_score"
    modality, result = next(iter(fields["modalities"].items()))  # type: ignore[attr-defined]
    spoilt = {**fields, "modalities": {modality: {**result, "score": value}}}
    with pytest.raises(MalformedEvent, match="score must be a finite number") as caught:
        decode(msgspec.msgpack.encode(spoilt), ClipScored)
    assert caught.value.field == "modalities[...].score"


@given(clips_uploaded)
def test_an_unknown_version_is_distinguished_from_a_malformed_event(event: ClipUploaded) -> None:
    for tag in ("clip-uploaded/4", "clip-uploaded", "", "x" * 1000):
        fields = {**as_map(event), "schema": tag, "more": 1}
        with pytest.raises(UnknownSchemaVersion) as caught:
            decode(msgspec.msgpack.encode(fields), ClipUploaded)
        assert caught.value.field == "schema"
        assert "clip-uploaded/1" in caught.value.message
        assert len(caught.value.message) < 300


def test_an_event_of_another_topic_is_refused_with_what_belongs_there() -> None:
    raw = encode(ClipDeleted(clip_id="a", reason="b"))
    with pytest.raises(MalformedEvent, match=r"does not belong on this topic; expected clip-uploaded/1, clip-scored/1"):
        decode(raw, ClipUploaded, ClipScored)


@pytest.mark.parametrize("raw", [None, b""])
def test_a_record_without_a_value_is_refused(raw: bytes | None) -> None:
    with pytest.raises(MalformedEvent, match="no value"):
        decode(raw, ClipUploaded)
    assert peek_clip_id(raw) is None


def test_an_upload_can_be_written_by_hand() -> None:
    by_hand = b"""
    {"schema": "clip-uploaded/1", "clip_id": "clip-1", "dancer_id": "dancer-1", "challenge_id": "challenge-1",
     "uploaded_at_ms": 1700000000000, "duration_s": 9.5,
     "features": {"kind": "file", "uri": "file:///srv/features/clip-1.safetensors"}}
    """
    assert decode(by_hand, ClipUploaded).features == FeatureFile("file:///srv/features/clip-1.safetensors")


@pytest.mark.parametrize(
    "raw",
    [b'[{"schema": "clip-uploaded/1"}]', b"\x91\xc0", b"clip-1", b'"text"', b"42", b"\xff\xfe{\x00"],
    ids=["JSON array", "MessagePack array", "plain text", "JSON text", "number", "UTF-16"],
)
def test_what_is_no_map_is_refused_as_such(raw: bytes) -> None:
    with pytest.raises(MalformedEvent, match="neither a JSON object nor a MessagePack map") as caught:
        decode(raw, ClipUploaded)
    assert repr(raw[:16]) in caught.value.message


@pytest.mark.tried(
    kind="two readers, two truths", given="events in JSON with a byte-order mark", outcome="read as without it"
)
@given(events)
def test_json_may_begin_with_a_byte_order_mark(event: Event) -> None:
    assert decode(b"\xef\xbb\xbf" + encode_json(event), type(event)) == event
    assert peek_clip_id(b"\xef\xbb\xbf" + encode_json(event)) == event.clip_id  # type: ignore[attr-defined]


def test_what_a_refusal_quotes_is_short() -> None:
    long = "x" * 1_000_000
    assert peek_clip_id(json.dumps({"clip_id": long}).encode()) == "x" * 128
    for event in ({"schema": "clip-deleted/1", long: 1}, {"schema": "clip-deleted/1", "clip_id": long, "reason": ""}):
        with pytest.raises(MalformedEvent) as caught:
            decode(json.dumps(event).encode(), ClipDeleted)
        assert len(caught.value.message) < 2000
        assert len(caught.value.field or "") <= 256


def test_a_checksum_ends_with_its_last_digit() -> None:
    file = {"kind": "file", "uri": "file:///f", "sha256": "a" * 64}
    upload = {"schema": "clip-uploaded/1", "clip_id": "c", "dancer_id": "d", "challenge_id": "e", "uploaded_at_ms": 1}
    upload |= {"duration_s": 9.5, "features": file}
    assert decode(json.dumps(upload).encode(), ClipUploaded).features == FeatureFile("file:///f", "a" * 64)
    file["sha256"] += "\n"
    with pytest.raises(MalformedEvent, match="sha256"):
        decode(json.dumps(upload).encode(), ClipUploaded)


@pytest.mark.parametrize("clip_id", ["a/b", "/", ".", "..", "a b", "a\n", ""])
def test_an_id_that_is_no_part_of_a_path_is_refused(clip_id: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        decode(json.dumps({"schema": "clip-deleted/1", "clip_id": clip_id, "reason": ""}).encode(), ClipDeleted)
    assert caught.value.field == "clip_id"


@pytest.mark.parametrize("clip_id", ["...", ".a", "a?b#c%d", "%2F", "a\\b", "日本-🕺", "a:b;c=d&e+f"])
def test_an_id_may_hold_what_can_be_escaped(clip_id: str) -> None:
    event = ClipDeleted(clip_id=clip_id, reason="")
    assert decode(encode(event), ClipDeleted) == event


def test_a_scored_clip_of_the_second_version_is_read_as_one_with_its_distance() -> None:
    clip = flagged()
    for raw in (encode(clip), encode_json(clip)):
        found = decode(raw, ClipScored)
        assert found == clip
        assert (training_distance(found), outside_training(training_distance(found))) == (1.5, True)


def test_a_scored_clip_of_the_first_version_states_no_distance() -> None:
    clip = scored_clip()
    assert training_distance(decode(encode(clip), ClipScored)) is None
    assert not outside_training(training_distance(clip))


def test_unknown_modalities_are_left_out_of_the_second_version_and_its_distance_stays() -> None:
    fields = msgspec.json.decode(encode_json(flagged()))
    fields["modalities"]["olfactory"] = fields["modalities"]["scenic"]
    unknown: list[str] = []
    found = decode(msgspec.json.encode(fields), ClipScored, on_unknown_modality=unknown.append)
    assert (found, unknown) == (flagged(), ["olfactory"])


@pytest.mark.parametrize("distance", [-0.1, float("nan"), float("inf"), None, "far"])
def test_a_distance_that_is_not_a_number_from_0_is_refused_by_name(distance: object) -> None:
    fields = msgspec.msgpack.decode(encode(flagged())) | {"training_distance": distance}
    with pytest.raises(MalformedEvent) as caught:
        decode(msgspec.msgpack.encode(fields), ClipScored)
    assert caught.value.field == "training_distance"


def flagged() -> ClipScored:
    return scored_clip(training_distance=1.5)


@pytest.mark.tried(
    kind="legal and absurd values",
    given="guidance at a rate, or in bins, so small that a clip has no finite number of bins",
    outcome="`malformed_event`, field `guidance.rate_hz`",
)
@pytest.mark.parametrize("changes", [{"rate_hz": 5e-324}, {"bin_s": 5e-324}, {"rate_hz": 1e-300, "bin_s": 1e-300}])
def test_guidance_without_a_finite_length_is_refused_by_name(changes: dict[str, float]) -> None:
    event = as_map(scored_clip("a", guidance=guidance(1)))
    event["guidance"].update(changes)
    refused = attempt(msgspec.msgpack.encode(event))
    assert isinstance(refused, MalformedEvent)
    assert refused.field == "guidance.rate_hz"


@pytest.mark.tried(
    kind="legal and absurd values",
    given="attention over time of a modality that has no result in the same record",
    outcome="`malformed_event`, field `temporal_attention`; dead-lettered, its neighbours enter both views",
)
@pytest.mark.parametrize("write", [msgspec.msgpack.encode, msgspec.json.encode])
def test_attention_over_time_of_a_modality_without_a_result_is_refused_by_name(write: Callable[..., bytes]) -> None:
    event = as_map(routine()) if write is msgspec.msgpack.encode else msgspec.json.decode(encode_json(routine()))
    event["temporal_attention"] |= {"modality": "scenic"}
    refused = attempt(write(event))
    assert isinstance(refused, MalformedEvent)
    assert refused.field == "temporal_attention"
    assert "must be of a modality that has a result; scenic has none" in refused.message
    with pytest.raises(ValueError, match="routine has none"):
        scored_clip(temporal_attention=attention_over(4))

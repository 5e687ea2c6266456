"""Events of every version, alone and as records of the topics, and dead letters."""

from random import Random
from typing import Any, Final

import msgspec
import numpy as np

from dancerank.dead_letters import as_json as shown_as_json
from dancerank.dead_letters import beginning, in_short
from ranking.pools.service.worker import read_pool_entries
from ranking.views.log_records import read_log
from schemas.clock import ManualClock
from schemas.codec import decode, decode_upload, encode, encode_json, peek_clip_id
from schemas.errors import DancerankError
from schemas.events import (
    EVENT_TYPES,
    ClipDeleted,
    ClipScoredV3,
    ClipScoredV4,
    ClipUploadedV2,
    ClipUploadedV3,
    EngagementObserved,
    Event,
    FeatureFile,
    JointGuidance,
    PoolDecision,
    StyleResult,
    TemporalAttention,
    VideoFile,
)
from schemas.modalities import Dimension, Modality
from schemas.ports import Record, TopicPartition
from schemas.times import check_time
from tests.clips import random_features, upload
from tests.fuzz.mutations import absurd, as_json, as_msgpack, bent, damaged
from tests.fuzz.outcomes import Target, check_refusal
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC, result, scored_clip
from transport.dead_letter import ORIGINAL, dead_letter
from transport.dead_letter_records import (
    ATTEMPTS,
    REPLAYED_FROM,
    DeadLetterFilter,
    latest,
    parse_dead_letter_id,
    read_dead_letter,
    replayed,
)

CLOCK: Final = ManualClock(start_ms=NOW_MS)
ENGAGEMENT: Final = "clips.engagement"
_FEATURES: Final = random_features(3.0, modalities=(Modality.FACIAL,))
_FILE: Final = upload("clip-1", FeatureFile("file:///features/clip-1.safetensors", "0" * 64))
EVENTS: Final[tuple[Event, ...]] = (
    _FILE,
    upload("clip-2", _FEATURES, duration_s=3.0),
    ClipUploadedV2(
        **{name: getattr(_FILE, name) for name in _FILE.__struct_fields__} | {"features": VideoFile("s3://a/b")}
    ),
    scored_clip("clip-3"),
    ClipScoredV3(
        **msgspec.structs.asdict(scored_clip("clip-4")),
        features=FeatureFile("file:///features/clip-4.safetensors"),
        guidance=JointGuidance(
            joint_layout="mpii-16", rate_hz=25.0, frames=20, bin_s=0.5, scale=1e-3, magnitudes=bytes(64)
        ),
        style=StyleResult(style="waltz", probability=0.9),
    ),
    ClipUploadedV3(
        **{name: getattr(_FILE, name) for name in _FILE.__struct_fields__} | {"clip_id": "clip-5", "duration_s": 90.0}
    ),
    ClipScoredV4(
        **msgspec.structs.asdict(scored_clip("clip-5"))
        | {"duration_s": 90.0, "modalities": {Modality.ROUTINE: result(attention=1.0)}, "missing": ()},
        temporal_attention=TemporalAttention(
            modality=Modality.ROUTINE,
            rate_hz=1.0,
            parts=("dynamic", "static"),
            weights=np.full((2, 90), 1 / 90, "<f2").tobytes(),
        ),
    ),
    EngagementObserved(clip_id="clip-3", observed_at_ms=NOW_MS, likes=4, comments=3, reposts=2, views=100),
    ClipDeleted(clip_id="clip-3", reason="asked for"),
    PoolDecision(
        clip_id="clip-3",
        number=2,
        tier="t1",
        previous_tier=None,
        rule="nominated",
        decided_by=Dimension.FUSED,
        percentile=99.5,
        policy_version="1",
        decided_at_ms=NOW_MS,
    ),
)
ENCODED: Final = tuple(encode(event) for event in EVENTS) + tuple(encode_json(event) for event in EVENTS)
TREES: Final[tuple[Any, ...]] = tuple(msgspec.msgpack.decode(encode(event)) for event in EVENTS)


def event_value(rng: Random) -> bytes:
    """Bytes or structure of an event, damaged."""
    if rng.random() < 0.4:
        return damaged(rng, rng.choice(ENCODED), ENCODED)
    tree = bent(rng, rng.choice(TREES))
    return rng.choice((as_json, as_msgpack))(tree)


def read_event(value: bytes) -> Event:
    """The event; what is accepted has one meaning: it survives being written again, in both forms."""
    peek_clip_id(value)
    event = decode(value, *EVENT_TYPES)
    assert decode(encode(event), type(event)) == event
    assert decode(encode_json(event), type(event)) == event
    return event


def record(rng: Random) -> Record:
    """A record of any topic that is read, with keys, time stamps and headers as producers may send them."""
    value = rng.choice((None, b"")) if rng.random() < 0.02 else event_value(rng)
    stamp_ms = rng.choice((NOW_MS, NOW_MS, -1, 0, 1, 2**63 - 1, NOW_MS * 1000))
    key = rng.choice((None, b"", b"clip-3", b"\xff\xfe", b"k" * 1000))
    headers = tuple((f"h{rng.randrange(3)}", rng.randbytes(rng.randrange(9))) for _ in range(rng.randrange(3)))
    topic = rng.choice((TOPIC, TOPIC, DELETIONS, ENGAGEMENT))
    return Record(topic, rng.randrange(4), rng.choice((0, 7, 2**62)), stamp_ms, key, value, headers)


def read_record(given: Record) -> None:
    """As the three readers of the log do: each takes the record, or says why not and names it in a dead letter."""
    refused = []
    for entries, refusals in (
        read_log([given], DELETIONS, clock=CLOCK),
        read_pool_entries([given], [TOPIC], clock=CLOCK),
    ):
        assert len(entries) + len(refusals) == 1
        refused += [refusal.error for refusal in refusals]
    try:
        clip = decode_upload(given.value)
        check_time(clip.uploaded_at_ms, CLOCK.now_ms(), field="uploaded_at_ms")
    except DancerankError as error:
        refused.append(error)
    for error in refused:
        check_refusal(error)
        written = dead_letter(given, error, clip_id=peek_clip_id(given.value), failed_at_ms=NOW_MS)
        kept = read_dead_letter(
            Record(written.topic, 0, 0, NOW_MS, written.key, written.value, written.headers),
        )
        assert (kept.source_offset, kept.code) == (given.offset, error.code)
    if len(refused) == 3:
        raise refused[0]


LETTER: Final = dead_letter(
    Record(
        "t",
        0,
        17,
        NOW_MS,
        b"clip-3",
        ENCODED[3],
        (("trace", b"1"), (REPLAYED_FROM, b"t.dead-letter:0:3"), (ATTEMPTS, b"2")),
    ),
    DancerankError("the value is neither a JSON object nor a MessagePack map", field="schema"),
    clip_id="clip-3",
    failed_at_ms=NOW_MS,
)


def letter(rng: Random) -> tuple[Record, str]:
    """A record of a dead-letter topic whose headers are others than ours, and an id as a person may type it."""
    headers: list[tuple[str, bytes]] = list(LETTER.headers)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(headers))
        name, held = headers[at]
        match rng.randrange(5):
            case 0:
                del headers[at]
            case 1:
                headers[at] = (name, damaged(rng, held))
            case 2:
                headers[at] = (name, str(absurd(rng))[:5000].encode(errors="replace"))
            case 3:
                added = rng.choice(("topic", "offset", "last_offset", ORIGINAL, ORIGINAL + ATTEMPTS, "code", ""))
                headers.append((added, rng.choice((b"9", rng.randbytes(5)))))
            case _:
                headers.append((name, held))
        headers = headers or [("code", b"")]
    value = rng.choice((b"", None, ENCODED[3], event_value(rng)))
    named = str(rng.choice(("0:17", "t:0:17", "t.dead-letter:0:17", absurd(rng))))[:200]
    return Record("t.dead-letter", 0, 5, NOW_MS, rng.choice((None, b"k")), value, tuple(headers)), named


def read_letter(given: tuple[Record, str]) -> None:
    """As ``dead-letters list | show | replay`` do."""
    kept, named = given
    shown_as_json(kept.value or b"")
    in_short(kept.value or b"")
    beginning(kept.value or b"")
    found = read_dead_letter(kept)
    DeadLetterFilter(code="a", since_ms=1).admits(found)
    assert latest([found, found]) == [found]

    def originals(_at: TopicPartition, first: int, _last: int) -> list[Record]:
        return [] if len(named) % 2 else [msgspec.structs.replace(kept, offset=first)]

    for outgoing in replayed(found, kept, originals, partition_by=lambda _value: None):
        assert outgoing.topic == found.source.topic
    parse_dead_letter_id(named, "t")


TARGETS: Final = (
    Target("events", event_value, read_event, 8.0),
    Target("records of the topics", record, read_record, 4.0),
    Target("dead letters", letter, read_letter, 4.0),
)

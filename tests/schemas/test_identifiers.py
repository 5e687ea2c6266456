"""Identifiers: what a new upload may be called, and what is still read under an older name."""

import re
import sys
import unicodedata
from typing import Any

import msgspec
import pytest

from schemas.codec import decode, decode_upload, encode
from schemas.errors import MalformedEvent
from schemas.events import UPLOAD_TYPES, ClipDeleted, ClipUploaded, EngagementObserved
from tests.clips import random_features, upload
from tests.ranking.examples import scored_clip

UPLOAD = upload("clip", random_features(3.0), duration_s=3.0)
FORGED = ["gpj.\u202egnp", "a\u200b", "\ufeffa", "a\u2066b", "a\u00adb", "a\u009bb", "\u3164", "a\U000e0041", "\u034fa"]


@pytest.mark.tried(
    kind="legal and absurd values",
    given="ids of an upload with bidirectional, zero-width or blank characters",
    outcome="refused with the field",
)
@pytest.mark.parametrize("field", ["clip_id", "dancer_id", "challenge_id"])
@pytest.mark.parametrize("forged", FORGED)
def test_an_upload_whose_ids_hold_invisible_characters_is_refused(field: str, forged: str) -> None:
    fields = {name: getattr(UPLOAD, name) for name in UPLOAD.__struct_fields__} | {field: forged}
    for version in UPLOAD_TYPES:
        with pytest.raises(MalformedEvent) as caught:
            decode_upload(encode(version(**fields)))
        assert caught.value.field == field
        assert caught.value.message.isprintable()


@pytest.mark.tried(
    kind="legal and absurd values", given="ids in Japanese, Arabic, Hindi, and of emoji", outcome="taken"
)
@pytest.mark.parametrize("name", ["踊り", "Ä-1", "été", "مرحبا", "नृत्य", "💃", "❤️", "a.b:c~1"])
def test_names_of_any_script_are_taken(name: str) -> None:
    assert decode(encode(msgspec.structs.replace(UPLOAD, clip_id=name)), ClipUploaded).clip_id == name


def test_no_control_or_format_character_that_unicode_knows_is_taken() -> None:
    hidden = {"Cc", "Cf", "Zl", "Zp", "Zs"}
    (rule,) = [m for m in msgspec.inspect.type_info(ClipUploaded).fields if m.name == "clip_id"]  # type: ignore[attr-defined]
    pattern = re.compile(rule.type.pattern)
    admitted = [
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in hidden and pattern.search(c)
    ]
    assert admitted == []


@pytest.mark.tried(
    kind="legal and absurd values", given="a deletion of a clip whose id has such characters", outcome="deleted"
)
@pytest.mark.parametrize("forged", FORGED)
def test_a_clip_that_was_admitted_under_such_an_id_can_still_be_read_and_deleted(forged: str) -> None:
    events: list[Any] = [
        scored_clip(forged),
        ClipDeleted(clip_id=forged, reason=""),
        EngagementObserved(clip_id=forged, observed_at_ms=1, likes=1, comments=0, reposts=0),
    ]
    for event in events:
        assert decode(encode(event), type(event)) == event

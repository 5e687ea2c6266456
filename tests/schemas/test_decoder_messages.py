"""What a decoder says of a wrong value is put into words, with no pattern that needs a manual."""

import msgspec
import pytest
from pydantic import BaseModel, Field, ValidationError

from schemas.codec import decode, encode_json
from schemas.decoder_messages import of_msgspec, of_pydantic
from schemas.errors import MalformedEvent
from schemas.events import ClipDeleted, ClipUploaded, FeatureFile
from tests.ranking.examples import deletion

UPLOAD = ClipUploaded(
    clip_id="clip-1",
    dancer_id="ada",
    challenge_id="renegade",
    uploaded_at_ms=1_700_000_000_000,
    duration_s=12.0,
    features=FeatureFile("file:///data/clip-1.safetensors"),
)


def refusal(field: str, value: str) -> str:
    changed = msgspec.structs.replace(UPLOAD, **{field: value})
    with pytest.raises(MalformedEvent) as refused:
        decode(encode_json(changed), ClipUploaded)
    assert refused.value.field == field
    return refused.value.message


@pytest.mark.tried(
    kind="untrusted text in output",
    given="an id with NUL, U+202E, a zero-width space, a slash or two dots in an upload",
    outcome="dead-lettered, with the rule for ids in words",
)
@pytest.mark.parametrize("field", ["clip_id", "dancer_id", "challenge_id"])
@pytest.mark.parametrize("value", ["a\0b", "a\u202eb", "a\u200bb", "a/b", "a b", "..", "a\n"])
def test_an_id_that_is_refused_is_answered_with_the_rule_in_words(field: str, value: str) -> None:
    said = refusal(field, value)
    assert (
        "Expected 1 to 128 characters without spaces, slashes, control characters and characters that are not" in said
    )
    assert f"`$.{field}`" in said
    assert "regex" not in said


def test_a_checksum_and_an_id_of_the_log_have_rules_in_words_too() -> None:
    changed = msgspec.structs.replace(UPLOAD, features=FeatureFile("file:///a", sha256="F00"))
    with pytest.raises(MalformedEvent, match="Expected 64 hexadecimal digits in lower case"):
        decode(encode_json(changed), ClipUploaded)
    with pytest.raises(MalformedEvent, match=r"Expected 1 to 128 characters without spaces, slashes and control "):
        decode(encode_json(msgspec.structs.replace(deletion("a").event, clip_id="a\0b")), ClipDeleted)


def test_patterns_of_a_reader_are_its_own() -> None:
    assert of_msgspec("Expected `str` matching regex '^a$' - at `$.x`", {"^a$": "the letter a"}) == (
        "Expected the letter a - at `$.x`"
    )


class Model(BaseModel):
    k: int = Field(le=1000)
    share: float
    names: list[str]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"k": "1e9"}, "must be an integer"),
        ({"k": 1.5}, "must be an integer"),
        ({"k": 10**9}, "must be less than or equal to 1000"),
        ({"k": "9" * 5000}, "must be an integer"),
        ({"share": "half"}, "must be a number"),
        ({"names": "a"}, 'a list is written ["one", "two"]'),
    ],
)
def test_what_pydantic_refuses_is_put_into_words(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Model.model_validate({"k": 1, "share": 0.5, "names": ["a"], **changed})
    (detail,) = refused.value.errors()
    assert of_pydantic(detail["type"], detail["msg"]) == said

"""What is shown of a text from outside."""

import sys
import unicodedata

import pytest

from schemas.codec import decode
from schemas.errors import MalformedEvent
from schemas.escaping import escaped
from schemas.events import ClipDeleted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip-1 ✓ Ä 踊り", "clip-1 ✓ Ä 踊り"),
        pytest.param(
            "a\nb\r",
            "a\\nb\\r",
            marks=pytest.mark.tried(
                kind="untrusted text in output",
                given="line breaks and carriage returns",
                outcome="written out: \\\\n, \\\\r",
            ),
        ),
        pytest.param(
            "\x1b[2J\x9b31m",
            "\\x1b[2J\\x9b31m",
            marks=pytest.mark.tried(
                kind="untrusted text in output",
                given="escape sequences of a terminal, also of 8 bits",
                outcome="written out",
            ),
        ),
        pytest.param(
            "gpj.\u202egnp",
            "gpj.\\u202egnp",
            marks=pytest.mark.tried(
                kind="untrusted text in output", given="a text turned around by U+202E", outcome="written out"
            ),
        ),
        pytest.param(
            "a\u200bb\u2066c\ufeff",
            "a\\u200bb\\u2066c\\ufeff",
            marks=pytest.mark.tried(
                kind="untrusted text in output", given="zero-width characters and isolates", outcome="written out"
            ),
        ),
        pytest.param(
            "a\u2028b\u2029",
            "a\\u2028b\\u2029",
            marks=pytest.mark.tried(
                kind="untrusted text in output", given="Unicode's line and paragraph separators", outcome="written out"
            ),
        ),
        pytest.param(
            "half \ud800",
            "half \\ud800",
            marks=pytest.mark.tried(
                kind="untrusted text in output", given="half a surrogate pair", outcome="written out"
            ),
        ),
        pytest.param(
            "tag \U000e0041",
            "tag \\U000e0041",
            marks=pytest.mark.tried(
                kind="untrusted text in output", given="invisible tag characters", outcome="written out"
            ),
        ),
    ],
)
def test_what_a_terminal_acts_on_is_written_out(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.tried(
    kind="untrusted text in output", given="every control and format character of Unicode", outcome="written out"
)
def test_no_control_or_format_character_of_unicode_is_shown_and_kept_ones_stay() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert escaped(character).isascii()
            assert escaped(character).isprintable()
            assert escaped(character, keep=character) == character


@pytest.mark.tried(
    kind="untrusted text in output", given="a field whose name forges a line of the log", outcome="one line"
)
def test_the_message_about_a_field_with_a_forged_name_stays_on_one_line() -> None:
    raw = b'{"schema":"clip-deleted/1","clip_id":"a","reason":"","x\\nERROR forged \\u001b[31m":1}'
    with pytest.raises(MalformedEvent) as caught:
        decode(raw, ClipDeleted)
    assert "x\\nERROR forged \\x1b[31m" in caught.value.message

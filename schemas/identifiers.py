"""What may name a clip, a dancer or a challenge."""

from typing import Annotated, Final

import msgspec

# A slash, "." and ".." do not survive as part of an HTTP path, however they are escaped. Python's $ admits a line end.
IDENTIFIER: Final = r"^(?!\.{1,2}$)[^\s\x00-\x1f\x7f/]+$(?!\n)"
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=IDENTIFIER)]
# Not shown, or changing how others are shown: control, format and bidirectional marks, separators, blank letters. Above
# U+FFFF as characters: the pattern is in JSON Schemas too, whose dialect has other escapes there.
_INVISIBLE: Final = "".join(
    f"\\u{first:04x}-\\u{last:04x}" if last <= 0xFFFF else f"{chr(first)}-{chr(last)}"
    for first, last in (
        *((0x80, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F)),
        *((0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F)),
        *((0x2028, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0)),
        *((0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3)),
        *((0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
    )
)
VISIBLE_IDENTIFIER: Final = rf"^(?!\.{{1,2}}$)[^\s\x00-\x1f\x7f/{_INVISIBLE}]+$(?!\n)"
UploadIdentifier = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=VISIBLE_IDENTIFIER)]
"""An identifier in a new upload. Records of the log, observations and deletions may name one that was admitted before
this rule, so that such a clip can still be read and deleted.
"""

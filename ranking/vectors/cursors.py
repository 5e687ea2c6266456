"""Where the next page of an answer starts: opaque, and of use for the same question only."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from schemas.errors import ForeignCursor
from schemas.questions.retrieval import SimilarQuery

_DIGEST_BYTES: Final = 12
_NOT_ASKED: Final = frozenset({"k", "cursor"})
"""What may differ from page to page."""


class Cursor(NamedTuple):
    """The last hit of a page, by what hits are ordered by: its score, then its id.

    ``at_ms``: the time at which ages are measured on all pages. ``shown``: hits before the next page, which is what
    counts where the order is not that of scores.
    """

    at_ms: int
    score: float
    clip_id: str
    shown: int

    def encoded(self, query: SimilarQuery, generation: str) -> str:
        """For ``decoded``, with the same question."""
        content = msgspec.msgpack.encode(self)
        return urlsafe_b64encode(_digest(content, query, generation) + content).rstrip(b"=").decode()

    @classmethod
    def decoded(cls, query: SimilarQuery, generation: str) -> "Cursor | None":
        """The cursor of ``query``. Raises ``ForeignCursor`` if it is not of this question."""
        if query.cursor is None:
            return None
        try:
            raw = urlsafe_b64decode(query.cursor.encode() + b"=" * (-len(query.cursor) % 4))
            digest, content = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
            found = msgspec.msgpack.decode(content, type=cls)
        except ValueError:
            raise ForeignCursor("the cursor is not one that an answer gave; leave it out", field="cursor") from None
        if digest != _digest(content, query, generation):
            raise ForeignCursor(
                f"the cursor is of another question, or of another generation than {generation}; repeat everything but "
                "k, and name the generation to go on with one that is not active any more",
                field="cursor",
            )
        return found


def _digest(content: bytes, query: SimilarQuery, generation: str) -> bytes:
    asked = {each.name: getattr(query, each.name) for each in fields(query) if each.name not in _NOT_ASKED}
    asked["weights"] = sorted(asked["weights"].items())
    of = msgspec.msgpack.encode((generation, asked), order="sorted", enc_hook=str)
    return blake2b(struct.pack(">I", len(of)) + of + content, digest_size=_DIGEST_BYTES).digest()

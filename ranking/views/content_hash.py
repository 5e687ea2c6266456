"""A hash of all that a view holds; two views that were built from one log have equal hashes.

The hash covers what follows from the records alone, in a fixed order, and does not depend on when they were applied, in
which batches, in which order, how often, or how far the view has read. Numbers count bit by bit. Compare hashes of one
release only: another may keep more.
"""

import hashlib
from typing import Any

import msgspec


class ContentHash:
    """SHA-256 over rows; where one ends and the next begins counts too."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, *row: Any) -> None:
        """A row of strings, bytes, numbers, ``None`` and sequences of these."""
        self._hash.update(self._encoder.encode(row))

    def hex(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()

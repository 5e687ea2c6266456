"""Records that no topic takes: the same rules for every sink."""

from schemas.errors import RecordRefused
from schemas.ports import OutgoingRecord


def check_size(record: OutgoingRecord, limit_bytes: int) -> int:
    """Bytes of key and value. Raises ``RecordRefused`` if there is neither, or if they exceed ``limit_bytes``."""
    if record.key is None and record.value is None:
        raise RecordRefused(f"a record for topic {record.topic} has neither key nor value")
    size_bytes = len(record.key or b"") + len(record.value or b"")
    if size_bytes > limit_bytes:
        raise too_large(record, size_bytes, limit_bytes)
    return size_bytes


class RecordLimits:
    """What was learned of topics that take less than this process allows itself: by a broker's answer to a record."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}

    def of(self, topic: str, most_bytes: int) -> int:
        """The most that a record of ``topic`` may have, bounded by ``most_bytes``."""
        return min(most_bytes, self._bytes.get(topic, most_bytes))

    def learn(self, refused: OutgoingRecord) -> None:
        """The broker found this record too large for its topic."""
        size_bytes = len(refused.key or b"") + len(refused.value or b"")
        self._bytes[refused.topic] = self.of(refused.topic, size_bytes - 1)


def too_large(record: OutgoingRecord, size_bytes: int, limit_bytes: int) -> RecordRefused:
    """What to raise for a record that exceeds ``limit_bytes``, or that the broker found too large."""
    return RecordRefused(
        f"a record of {size_bytes} bytes (key {record.key!r}) exceeds the {limit_bytes} bytes allowed for topic "
        f"{record.topic}; make it smaller or raise the limits of sink and topic"
    )

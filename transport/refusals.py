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


def too_large(record: OutgoingRecord, size_bytes: int, limit_bytes: int) -> RecordRefused:
    """What to raise for a record that exceeds ``limit_bytes``, or that the broker found too large."""
    return RecordRefused(
        f"a record of {size_bytes} bytes (key {record.key!r}) exceeds the {limit_bytes} bytes allowed for topic "
        f"{record.topic}; make it smaller or raise the limits of sink and topic"
    )

"""Which partition a record goes to: the same rule for every sink."""

import zlib

from schemas.ports import OutgoingRecord


def partition_of(record: OutgoingRecord, partition_count: int, turn: int) -> int:
    """The one named, else CRC-32 of ``partition_by``, else of the key, modulo the partition count; else the partitions
    take turns.
    """
    if record.partition is not None:
        return record.partition
    chooser = record.partition_by.encode() if record.partition_by is not None else record.key
    return (turn if chooser is None else zlib.crc32(chooser)) % partition_count

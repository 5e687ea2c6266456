"""Batch size of a view, and its longest wait for a flush to Kafka."""

from typing import Final

BATCH_RECORDS: Final = 500
"""Records that a view applies in one transaction at most, by default."""

FLUSH_TIMEOUT_S: Final = 30.0
"""Seconds within which a broker acknowledges dead letters and tombstones."""

"""The records of the topic that tests read, and reading them."""

from typing import Final

from transport.kafka_source import KafkaSource

RECORDS: Final = 6


def read_all(source: KafkaSource) -> None:
    """Read a filled topic to its end."""
    read = 0
    while read < RECORDS:
        read += len(source.poll(max_records=10, timeout_s=1.0))

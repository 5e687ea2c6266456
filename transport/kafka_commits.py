"""Commits of a consumer's positions, waited for or not."""

import logging
from collections.abc import Mapping
from functools import partial

from kafka import KafkaConsumer, OffsetAndMetadata

from schemas.ports import TopicPartition
from transport.kafka_partitions import theirs

log = logging.getLogger(__name__)


def commit(
    consumer: KafkaConsumer, positions: Mapping[TopicPartition, int], patience_ms: int | None, group: str
) -> None:
    """Wait at most ``patience_ms`` until it is done; if that is ``None``, return at once, and log it if it fails.

    Raises kafka-python's errors.
    """
    offsets = {theirs(at): OffsetAndMetadata(offset) for at, offset in positions.items()}
    if patience_ms is None:
        consumer.commit_async(offsets, callback=partial(_answered, group))
    else:
        consumer.commit(offsets, timeout_ms=patience_ms)


def _answered(group: str, _offsets: object, answer: object) -> None:
    if isinstance(answer, Exception):
        log.warning("offsets of group %s not committed: %s: %s", group, type(answer).__name__, answer)

"""Partitions as Kafka's client names them, and its questions about those that have a leader."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka import TopicPartition as KafkaTopicPartition

from schemas.errors import TransportError
from schemas.ports import TopicPartition


def theirs(at: TopicPartition) -> KafkaTopicPartition:
    return KafkaTopicPartition(at.topic, at.partition)


def ours(at: Any) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)


def listed(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{at.topic}[{at.partition}]" for at in sorted(partitions))


def offsets_where_led(
    look: Callable[..., Mapping[Any, int]],
    partitions: Iterable[TopicPartition],
    has_leader: Callable[[TopicPartition], bool],
    timeout_ms: int,
) -> dict[TopicPartition, int]:
    """What ``look``, a consumer's ``beginning_offsets`` or ``end_offsets``, answers for those of ``partitions`` that
    have a leader. It raises a ``KeyError`` if it is asked for others beside them, and waits in vain if for them alone.

    Raises ``TransportError`` if a leader is lost meanwhile.
    """
    led = [theirs(at) for at in partitions if has_leader(at)]
    try:
        return {ours(at): offset for at, offset in look(led, timeout_ms=timeout_ms).items()}
    except KeyError as error:
        raise TransportError(f"{listed([ours(error.args[0])])} has lost its leader") from error

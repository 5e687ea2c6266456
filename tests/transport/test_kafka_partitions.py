"""Kafka's client is asked about the partitions that have a leader, and those that lose it meanwhile are named."""

from collections.abc import Iterable

import pytest

from schemas.errors import TransportError
from schemas.ports import TopicPartition
from transport.kafka_partitions import offsets_where_led

FIRST, SECOND, THIRD = (TopicPartition("clips", number) for number in range(3))


class Client:
    """Answers as kafka-python's consumer does: with the partitions that have a leader, or an error for one without."""

    def __init__(self, *led: TopicPartition) -> None:
        self.led = led
        self.asked: list[TopicPartition] = []

    def end_offsets(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        asked = list(partitions)
        self.asked += asked
        found = {at: 7 for at in asked if TopicPartition(*at) in self.led}
        return {at: found[at] for at in asked}


def test_partitions_without_a_leader_are_left_out() -> None:
    client = Client(FIRST, THIRD)
    found = offsets_where_led(client.end_offsets, [FIRST, SECOND, THIRD], client.led.__contains__, 1000)
    assert found == {FIRST: 7, THIRD: 7}
    assert offsets_where_led(client.end_offsets, [SECOND], client.led.__contains__, 1000) == {}
    assert client.asked == [FIRST, THIRD]  # it would wait for its whole timeout for an answer about the other


def test_a_leader_that_is_lost_while_the_client_asks_is_an_error_that_may_pass() -> None:
    client = Client(FIRST)
    with pytest.raises(TransportError, match=r"clips\[1\] has lost its leader"):
        offsets_where_led(client.end_offsets, [FIRST, SECOND], lambda _: True, 1000)

"""Topics are created as specified, and left alone if they exist."""

from collections.abc import Callable

import pytest

from transport.connection import KafkaConnection
from transport.embedded import PARTITIONS
from transport.topics import TopicSpec, describe_topics, ensure_topics


@pytest.mark.kafka
def test_an_absent_topic_is_created_as_specified(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    name = fresh_name("clips.scored")
    ensure_topics(kafka_connection, [TopicSpec(name=name, partitions=3, config={"cleanup.policy": "compact"})])
    described = describe_topics(kafka_connection, [name])[name]
    assert described.partitions == 3
    assert described.config["cleanup.policy"] == "compact"


@pytest.mark.kafka
def test_an_existing_topic_is_left_as_it_is(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    first, second = fresh_name("clips"), fresh_name("clips")
    ensure_topics(kafka_connection, [TopicSpec(name=first, partitions=2)])
    ensure_topics(kafka_connection, [TopicSpec(name=first, partitions=5), TopicSpec(name=second, partitions=5)])
    described = describe_topics(kafka_connection, [first, second])
    assert {name: topic.partitions for name, topic in described.items()} == {first: 2, second: 5}


def test_a_topic_of_the_embedded_broker_has_its_own_number_of_partitions(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    name, absent = fresh_name("clips"), fresh_name("absent")
    ensure_topics(embedded_broker, [TopicSpec(name=name, partitions=9)])
    described = describe_topics(embedded_broker, [name, absent])
    assert {name: topic.partitions for name, topic in described.items()} == {name: PARTITIONS}

"""A topic on the embedded broker with something to read."""

from collections.abc import Callable
from contextlib import closing

import pytest

from schemas.ports import OutgoingRecord
from tests.transport.filled import RECORDS
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.topics import TopicSpec, ensure_topics


@pytest.fixture
def filled_topic(embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]) -> str:
    """Its name; ``RECORDS`` records lie in one of its partitions."""
    name = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=name)])
    with closing(KafkaSink(embedded_broker)) as sink:
        for number in range(RECORDS):
            sink.send(OutgoingRecord(name, b"clip-%d" % number, b"", partition_by="one partition"))
        sink.flush(10.0)
    return name

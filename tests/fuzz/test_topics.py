"""Whatever producers write to a real Kafka, every record is accounted for, and all processes read on to the end."""

import pytest

from tests.fuzz.outcomes import EXAMPLES
from tests.fuzz.topics import fuzz_topics
from transport.connection import KafkaConnection


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.tried(
    kind="unreadable batches",
    given="random keys, values, headers, time stamps, codecs and transactions on every topic",
    outcome="each record is applied, skipped or dead-lettered; all processes read to the end",
)
def test_every_record_on_kafka_is_accounted_for(kafka_connection: KafkaConnection) -> None:
    outcomes = fuzz_topics(kafka_connection, records=3 * EXAMPLES, seed=EXAMPLES)
    assert outcomes["accepted"] > 0
    assert outcomes["malformed_event"] > 0

"""A Kafka broker within this process, for a first run and for tests: librdkafka's mock cluster, on a loopback port.

It speaks Kafka's protocol on real sockets, with consumer groups and idempotent producers, and keeps everything in
memory. What it does not do, found by experiment with librdkafka 2.16:

- A partition keeps about its newest 5 MiB (record batches are dropped whole, oldest first) and there is no setting for
  it. A consumer that falls further behind continues at the oldest record kept, as with any Kafka retention.
- A topic comes into being with 4 partitions when it is first named; there is no request to create one, no topic
  settings, no compaction. The number is fixed.
- A consumer group has one member, and joining takes it 3 s or more. Of several members those that follow the leader get
  an error from each rebalance and may never settle.
- It announces versions of the protocol that kafka-python cannot make sense of, so the client's version is pinned to
  2.0.
- It answers the requests of transactions, but stores no offsets with them, and batches that were written in one do not
  read back: their checksum differs. Results are written first there, and offsets committed afterwards.
- A request for records that finds none is answered when its time has run out, not when records come.
- One process, one broker, no authentication, nothing on disk: it promises nothing about loss or duplicates.
"""

from types import TracebackType
from typing import Final

from schemas.errors import ExtraMissing, TransportError
from transport.connection import KafkaConnection

PARTITIONS: Final = 4
"""Partitions of every topic of the embedded broker."""

API_VERSION: Final = (2, 0)

_STARTS_WITHIN_S: Final = 10.0
_FETCH_WAIT_MS: Final = 100


class EmbeddedBroker:
    """Context manager that runs the broker and gives the connection to it. On exit it is gone, with all it holds."""

    def __enter__(self) -> KafkaConnection:
        try:
            from confluent_kafka import Producer
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                "the embedded broker needs confluent-kafka; install the extra: pip install 'dancerank[embedded]'"
            ) from error
        # A librdkafka client with this setting brings the cluster up and is connected to it; it serves nothing else.
        self._owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._owner.list_topics(timeout=_STARTS_WITHIN_S).brokers.values()
        if not brokers:
            raise TransportError("the embedded broker did not start")
        return KafkaConnection(
            servers=tuple(f"{broker.host}:{broker.port}" for broker in brokers),
            api_version=API_VERSION,
            topics_on_demand=True,
            transactions=False,
            fetch_wait_ms=_FETCH_WAIT_MS,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.close()
        del self._owner

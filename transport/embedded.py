"""A Kafka broker within this process, for a first run and for tests: librdkafka's mock cluster, on a loopback port.

It speaks Kafka's protocol on real sockets, with consumer groups and idempotent producers, and keeps everything in
memory. What it does not do, found by experiment with librdkafka 2.16:

- A partition keeps about its newest 5 MiB (record batches are dropped whole, oldest first) and there is no setting for
  it. A consumer that falls further behind continues at the oldest record kept, as with any Kafka retention.
- A topic comes into being with 4 partitions when it is first named; there is no request to create one, no topic
  settings, no compaction. The number is fixed.
- A consumer group has one member. Of several members those that follow the leader get an error from each rebalance and
  may never settle.
- It announces versions of the protocol that kafka-python cannot make sense of, so the client's version is pinned to
  2.0.
- It answers the requests of transactions, but stores no offsets with them, and batches that were written in one do not
  read back: their checksum differs. Results are written first there, and offsets committed afterwards.
- A request for records that finds none is answered when its time has run out, not when records come.
- One process, one broker, no authentication, nothing on disk: it promises nothing about loss or duplicates.

It is started through librdkafka's functions in C: Python's client does not have the one that sets how long a new group
waits for more members, 3 s otherwise.
"""

import ctypes
from types import TracebackType
from typing import Final

from schemas.errors import ExtraMissing, TransportError
from transport.connection import KafkaConnection

PARTITIONS: Final = 4
"""Partitions of every topic of the embedded broker."""

API_VERSION: Final = (2, 0)

_FETCH_WAIT_MS: Final = 100
_PRODUCER: Final = 0
"""``RD_KAFKA_PRODUCER``."""


class EmbeddedBroker:
    """Context manager that runs the broker and gives the connection to it. On exit it is gone, with all it holds."""

    def __enter__(self) -> KafkaConnection:
        try:
            from confluent_kafka import cimpl
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                "the embedded broker needs confluent-kafka; install the extra: pip install 'dancerank[embedded]'"
            ) from error
        self._library = _librdkafka(cimpl.__file__)
        # A librdkafka client with this setting brings the cluster up and is connected to it; it serves nothing else.
        options, problem = self._library.rd_kafka_conf_new(), ctypes.create_string_buffer(512)
        for name, value in ((b"test.mock.num.brokers", b"1"), (b"log_level", b"0")):
            self._library.rd_kafka_conf_set(options, name, value, problem, len(problem))
        self._owner = self._library.rd_kafka_new(_PRODUCER, options, problem, len(problem))
        if not self._owner:
            raise TransportError(f"the embedded broker did not start: {problem.value.decode(errors='replace')}")
        cluster = self._library.rd_kafka_handle_mock_cluster(self._owner)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        return KafkaConnection(
            servers=tuple(self._library.rd_kafka_mock_cluster_bootstraps(cluster).decode().split(",")),
            api_version=API_VERSION,
            topics_on_demand=True,
            transactions=False,
            fetch_wait_ms=_FETCH_WAIT_MS,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_destroy(self._owner)
        del self._owner


def _librdkafka(extension: str) -> ctypes.CDLL:
    """The library that the extension module of this path is linked to, with the types of the functions used here."""
    library, pointer, text = ctypes.CDLL(extension), ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, ()),
        ("rd_kafka_conf_set", ctypes.c_int, (pointer, text, text, text, ctypes.c_size_t)),
        ("rd_kafka_new", pointer, (ctypes.c_int, pointer, text, ctypes.c_size_t)),
        ("rd_kafka_handle_mock_cluster", pointer, (pointer,)),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", ctypes.c_int, (pointer, ctypes.c_int32)),
        ("rd_kafka_mock_cluster_bootstraps", text, (pointer,)),
        ("rd_kafka_destroy", None, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library

"""Records in and out: Kafka, an in-memory broker for tests, and an embedded broker for a first run."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports, require_own_packages

if TYPE_CHECKING:
    from transport.connection import KafkaConnection
    from transport.embedded import EmbeddedBroker
    from transport.kafka_sink import KafkaSink
    from transport.kafka_source import KafkaSource
    from transport.memory import MemoryBroker, MemorySink, MemorySource

__all__ = [
    "EmbeddedBroker",
    "KafkaConnection",
    "KafkaSink",
    "KafkaSource",
    "MemoryBroker",
    "MemorySink",
    "MemorySource",
]

require_own_packages()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "transport.connection": ("KafkaConnection",),
        "transport.embedded": ("EmbeddedBroker",),
        "transport.kafka_sink": ("KafkaSink",),
        "transport.kafka_source": ("KafkaSource",),
        "transport.memory": (
            "MemoryBroker",
            "MemorySink",
            "MemorySource",
        ),
    },
)

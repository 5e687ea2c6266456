"""Options of the Kafka clients, and the defaults that operators' settings share with them."""

from typing import Final

import msgspec

REQUEST_TIMEOUT_S: Final = 10.0
METADATA_REFRESH_S: Final = 30.0
SESSION_TIMEOUT_S: Final = 30.0
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024


class ConsumerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a ``KafkaSource`` fetches and how long it may be silent.

    A member that sends no heartbeat for ``session_timeout_s``, or does not poll for ``max_poll_interval_s``, loses its
    partitions. ``fetch_bytes``: at most this much of one partition per request; more only for a single larger record.
    ``max_batch_bytes``: the most that a compressed batch may hold. ``instance`` names a static member, which keeps its
    partitions through a restart within ``session_timeout_s``.
    """

    session_timeout_s: float = SESSION_TIMEOUT_S
    heartbeat_interval_s: float = 3.0
    max_poll_interval_s: float = 300.0
    fetch_bytes: int = 1024 * 1024
    max_batch_bytes: int = MAX_BATCH_BYTES
    instance: str | None = None


class ProducerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a ``KafkaSink`` batches and how long it tries.

    A batch of one partition leaves when it holds ``batch_bytes`` or is ``linger_s`` old. A record that is not
    acknowledged within ``delivery_timeout_s`` has failed. ``send`` blocks while ``max_queued_bytes`` await
    acknowledgement. ``max_record_bytes`` refuses a larger record; the topic's ``max.message.bytes`` (1 MiB by default)
    applies besides.
    """

    batch_bytes: int = 256 * 1024
    linger_s: float = 0.005
    delivery_timeout_s: float = 30.0
    max_queued_bytes: int = 32 * 1024 * 1024
    max_record_bytes: int = 1024 * 1024
    compression: str | None = None


class TransactionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How long a transaction of a ``KafkaTransactionalSink`` may take, and how it batches.

    The broker aborts a transaction that is open for longer than ``timeout_s``, as after a crash; until then readers of
    committed records wait. A record that is not acknowledged within ``delivery_timeout_s`` has failed.
    ``batch_bytes`` and ``max_record_bytes`` are those of ``ProducerOptions``.
    """

    timeout_s: float = 30.0
    delivery_timeout_s: float = 20.0
    batch_bytes: int = 256 * 1024
    max_record_bytes: int = 1024 * 1024

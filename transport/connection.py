"""How every Kafka client of this package is opened, and how what Kafka's client library raises becomes ours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.net.compat import KafkaNetClient

from schemas.errors import ConfigurationError, PositionBeyondLog, TransportError
from schemas.ports import TopicPartition

Client = TypeVar("Client")

_SECURITY_PREFIXES = ("security_protocol", "sasl_", "ssl_")


class KafkaConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are and how to talk to them.

    ``servers``: ``host:port`` of one broker or more, enough to find the others. ``security``: kafka-python's
    ``security_protocol``, ``sasl_*`` and ``ssl_*`` settings. ``api_version`` pins the protocol for a broker that cannot
    tell its own. ``timeout_s`` bounds connecting and every single request. ``topics_on_demand``: the broker has no
    request that creates topics; they come into being when first named. ``transactions``: whether it has them.
    """

    servers: tuple[str, ...]
    security: Mapping[str, str | bool] = {}
    api_version: tuple[int, ...] | None = None
    timeout_s: float = 10.0
    topics_on_demand: bool = False
    transactions: bool = True

    def __post_init__(self) -> None:
        if not self.servers:
            raise ConfigurationError("no Kafka server named; give at least one host:port", field="servers")
        for name in self.security:
            if not name.startswith(_SECURITY_PREFIXES):
                raise ConfigurationError(
                    f"{name} is no security setting; allowed are security_protocol, sasl_* and ssl_*", field="security"
                )

    @property
    def timeout_ms(self) -> int:
        return round(self.timeout_s * 1000)

    def __str__(self) -> str:
        return ", ".join(self.servers)


@contextmanager
def transport_errors(connection: KafkaConnection, doing: str) -> Iterator[None]:
    """Raise what kafka-python raises within as ``TransportError`` or ``ConfigurationError``, saying what was done."""
    try:
        yield
    except KafkaConfigurationError as error:
        raise ConfigurationError(f"{doing}: {error}") from error
    except (KafkaError, OSError) as error:
        raise TransportError(f"{doing} (Kafka at {connection}): {error or type(error).__name__}") from error


def check_start(positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], place: str) -> None:
    """Raise ``PositionBeyondLog`` if a position to start at lies beyond the end of its partition.

    Kafka would go to one end of the partition without a word, and a log that was created anew, and is shorter, would be
    skipped up to where the old one ended.
    """
    for at, offset in sorted(positions.items()):
        end = ends.get(at, offset)
        if offset > end:
            raise PositionBeyondLog(
                f"{at.topic}[{at.partition}] ends at offset {end}, but the position to continue at is {offset} "
                f"({place}): the view was built from another log; connect to that log's Kafka, or delete the view (the "
                "database or the index folder) to build it anew"
            )


def open_client(
    kind: Callable[..., Client], connection: KafkaConnection, **settings: Any
) -> tuple[Client, KafkaNetClient]:
    """A client of ``kind`` that has reached a broker, and the network client beneath it.

    Raises ``TransportError`` naming the servers if none answers within ``timeout_s``; nothing is left open then.
    """
    opened: list[KafkaNetClient] = []

    def reach_a_broker(**configs: Any) -> KafkaNetClient:
        network = KafkaNetClient(**configs)
        opened.append(network)
        network.check_version(timeout_ms=connection.timeout_ms)
        return network

    try:
        with transport_errors(
            connection, "cannot connect; check the address, that Kafka runs and the security settings"
        ):
            client = kind(
                bootstrap_servers=list(connection.servers),
                api_version=connection.api_version,
                bootstrap_timeout_ms=connection.timeout_ms,
                request_timeout_ms=connection.timeout_ms,
                reconnect_backoff_max_ms=1000,
                kafka_client=reach_a_broker,
                **connection.security,
                **settings,
            )
    except BaseException:
        # kafka-python's constructors leave sockets and a thread behind when they fail.
        for network in opened:
            network.close()
        raise
    return client, opened[0]

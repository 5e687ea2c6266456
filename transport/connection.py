"""How every Kafka client of this package is opened, and how what Kafka's client library raises becomes ours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import msgspec
from kafka.errors import (
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
)
from kafka.net.compat import KafkaNetClient

from schemas.errors import ConfigurationError, DancerankError, TransportError
from transport.addresses import check_addresses
from transport.client_options import METADATA_REFRESH_S, REQUEST_TIMEOUT_S
from transport.kafka_internals import connection_failures
from transport.kafka_refusals import refusal_of

Client = TypeVar("Client")

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_SECURITY: Final = (
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_kerberos_name",
    "sasl_kerberos_service_name",
    "sasl_kerberos_domain_name",
    "ssl_check_hostname",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_crlfile",
)
_TIME_RAN_OUT: Final = (KafkaTimeoutError, RequestTimedOutError)
_HUNG_UP_AT_LEAST: Final = 2
_WITH_PASSWORD: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Where the brokers are and how to talk to them.

    ``servers``: ``host:port`` of one broker or more, enough to find the others. ``security``: those of kafka-python's
    settings that begin with ``security_protocol``, ``sasl_`` and ``ssl_`` and hold texts; never shown.
    ``api_version`` pins the protocol for a broker that cannot tell its own. ``timeout_s`` bounds connecting and every
    single request. ``metadata_refresh_s``: how often a client asks which partitions and leaders its topics have.
    ``topics_on_demand``: the broker has no request that creates topics; they come into being when first named.
    ``transactions``: whether it has them. ``fetch_wait_ms``: how long a broker may hold a request for records until
    there are some; Kafka answers as soon as there are, others need not.
    """

    servers: tuple[str, ...]
    security: Mapping[str, str | bool] = {}
    api_version: tuple[int, ...] | None = None
    timeout_s: float = REQUEST_TIMEOUT_S
    metadata_refresh_s: float = METADATA_REFRESH_S
    topics_on_demand: bool = False
    transactions: bool = True
    fetch_wait_ms: int = 500

    def __post_init__(self) -> None:
        check_addresses(self.servers)
        _check_security(self.security)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    @property
    def timeout_ms(self) -> int:
        return round(self.timeout_s * 1000)

    def __str__(self) -> str:
        return ", ".join(self.servers)


def _check_security(security: Mapping[str, str | bool]) -> None:
    """Raise ``ConfigurationError`` for what Kafka's clients would refuse with all values in the text, or pass over."""
    for name in security:
        if name not in _SECURITY:
            raise ConfigurationError(
                f"{name} is not a security setting; allowed are {', '.join(_SECURITY)}", field=f"security.{name}"
            )
    protocol = security.get("security_protocol", "PLAINTEXT")
    if protocol not in _PROTOCOLS:
        raise ConfigurationError(f"security_protocol is none of {', '.join(_PROTOCOLS)}", field="security_protocol")
    for prefix, part in (("sasl_", "SASL"), ("ssl_", "SSL")):
        idle = next((name for name in security if name.startswith(prefix)), None)
        if idle is not None and part not in str(protocol):
            raise ConfigurationError(
                f"{idle} has no effect with security_protocol {protocol}; set one with {part} in it",
                field="security_protocol",
            )
    if security.get("sasl_mechanism") in _WITH_PASSWORD:
        for needed in ("sasl_plain_username", "sasl_plain_password"):
            if not security.get(needed):
                raise ConfigurationError(
                    f"sasl_mechanism {security['sasl_mechanism']} needs {needed}; set it under kafka.secrets",
                    field=needed,
                )


@contextmanager
def transport_errors(connection: KafkaConnection, doing: str) -> Iterator[None]:
    """Raise what kafka-python raises within as ours, saying what was done: ``TransportError``, or ``KafkaRefused`` or
    ``ConfigurationError`` for what no waiting mends.
    """
    try:
        yield
    except KafkaConfigurationError as error:
        raise ConfigurationError(f"{doing}: {error}") from error
    except (KafkaError, OSError) as error:
        raise failure_of(connection, error, doing) from error


def failure_of(connection: KafkaConnection, error: BaseException, doing: str) -> DancerankError:
    """The error for what kafka-python raised while ``doing`` something."""
    user = connection.security.get("sasl_plain_username")
    refusal = refusal_of(error, doing, f"Kafka at {connection}", None if user is None else str(user))
    return refusal or TransportError(f"{doing} (Kafka at {connection}): {error or type(error).__name__}")


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
        failures = connection_failures(network)
        try:
            network.check_version(timeout_ms=connection.timeout_ms)
        except KafkaTimeoutError as error:
            raise _most_specific([*failures, error], connection) from error
        return network

    doing = "cannot connect; check the address, that Kafka runs and the security settings"
    if "SASL" in str(connection.security.get("security_protocol")):
        doing += " (a broker hangs up on a wrong user name or password)"
    try:
        with transport_errors(connection, doing):
            # Its own measurements of every request and record nobody asks for.
            unmeasured = {"metrics_enabled": False} if "metrics_enabled" in getattr(kind, "DEFAULT_CONFIG", ()) else {}
            client = kind(
                bootstrap_servers=list(connection.servers),
                api_version=connection.api_version,
                bootstrap_timeout_ms=connection.timeout_ms,
                request_timeout_ms=connection.timeout_ms,
                reconnect_backoff_max_ms=1000,
                metadata_max_age_ms=round(connection.metadata_refresh_s * 1000),
                kafka_client=reach_a_broker,
                **connection.security,
                **unmeasured,
                **settings,
            )
    except BaseException:
        # kafka-python's constructors leave sockets and a thread behind when they fail.
        for network in opened:
            network.close()
        raise
    return client, opened[0]


def _most_specific(failures: list[BaseException], connection: KafkaConnection) -> BaseException:
    """The last that no waiting mends, or else that says more than that time ran out."""
    last = list(reversed(failures))
    refused = (one for one in last if not isinstance(failure_of(connection, one, ""), TransportError))
    hung_up = [one for one in last if "socket disconnected" in str(one)]
    told = [one for one in last if not isinstance(one, _TIME_RAN_OUT)]
    if "SASL" in str(connection.security.get("security_protocol")) and len(hung_up) == len(told) >= _HUNG_UP_AT_LEAST:
        # A broker that is away refuses connections; this one takes each, and ends it over what it is sent first.
        return cast(BaseException, SaslAuthenticationFailedError(f"it hung up {len(hung_up)} times: {hung_up[0]}"))
    return next(refused, next((one for one in last if not isinstance(one, _TIME_RAN_OUT)), failures[-1]))

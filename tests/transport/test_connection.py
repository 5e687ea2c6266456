"""Connecting to a broker, and the error if there is none."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from schemas.errors import ConfigurationError, TransportError
from transport.connection import _SECURITY, KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics


@pytest.fixture(params=["nothing listens", "something listens and never answers"])
def dead_address(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if request.param != "nothing listens":
            holder.listen()
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.parametrize("api_version", [None, (2, 0)])
@pytest.mark.parametrize(
    "use",
    [
        lambda connection: KafkaSource(connection, ["clips"], group="g"),
        lambda connection: KafkaSource(connection, ["clips"], group=None),
        KafkaSink,
        lambda connection: ensure_topics(connection, [TopicSpec(name="clips")]),
    ],
    ids=["source", "source without group", "sink", "topics"],
)
def test_an_unreachable_broker_is_named_in_time_and_nothing_is_left_open(
    dead_address: str, use: Callable[[KafkaConnection], object], api_version: tuple[int, ...] | None
) -> None:
    threads_before = set(threading.enumerate())
    started_s = time.monotonic()
    with pytest.raises(TransportError, match=dead_address) as caught:
        use(KafkaConnection(servers=(dead_address,), timeout_s=0.3, api_version=api_version))
    assert time.monotonic() - started_s < 3.0
    del caught
    gc.collect()  # a socket left open would be warned of here, and warnings are errors
    # threads of earlier tests may still be ending; only one started here would be a leak
    assert not set(threading.enumerate()) - threads_before


def test_a_setting_that_is_not_of_security_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="acks is not a security setting"):
        KafkaConnection(servers=("127.0.0.1:9092",), security={"acks": "0"})


def test_a_connection_needs_a_server() -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        KafkaConnection(servers=())


def test_an_impossible_security_setting_is_a_configuration_error() -> None:
    impossible = KafkaConnection(
        servers=("127.0.0.1:9",),
        timeout_s=0.3,
        security={"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "NONE"},
    )
    with pytest.raises((ConfigurationError, TransportError), match=r"127\.0\.0\.1:9|NONE"):
        KafkaSink(impossible)


SECRET = "sesame"


def connect(**security: str | bool) -> KafkaConnection:
    return KafkaConnection(servers=("127.0.0.1:9092",), security=security)


@pytest.mark.parametrize(
    ("security", "named"),
    [
        ({"sasl_pasword": SECRET}, "sasl_pasword is not a security setting; allowed are .*sasl_plain_password"),
        ({"security_protocol": SECRET}, "security_protocol is none of PLAINTEXT, SSL"),
        ({"sasl_plain_password": SECRET}, "sasl_plain_password has no effect with security_protocol PLAINTEXT"),
        ({"ssl_password": SECRET}, "ssl_password has no effect with security_protocol PLAINTEXT"),
        ({"security_protocol": "SSL", "sasl_plain_password": SECRET}, "no effect with security_protocol SSL"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_password": SECRET},
            "PLAIN needs sasl_plain_username",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": SECRET},
            "SCRAM-SHA-512 needs sasl_plain_password.*kafka.secrets",
        ),
    ],
)
def test_security_that_cannot_work_is_named_and_its_values_are_not(security: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        connect(**security)
    assert SECRET not in caught.value.message


@pytest.mark.parametrize("client", [KafkaProducer, KafkaConsumer, KafkaAdminClient])
def test_every_client_knows_every_security_setting_that_is_allowed(client: type) -> None:
    assert set(_SECURITY) <= client.DEFAULT_CONFIG.keys()  # type: ignore[attr-defined]


def test_a_connection_shows_its_servers_and_nothing_else() -> None:
    given = connect(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_plain_username="u", sasl_plain_password=SECRET
    )
    assert "127.0.0.1:9092" in repr(given)
    assert SECRET not in f"{given} {given!r} {[given]}"

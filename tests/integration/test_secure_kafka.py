"""Every client that we open, on a real Kafka that asks for passwords or certificates; and what a wrong one leads to."""

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from dancerank.processes import Processes
from dancerank.settings import Settings
from schemas.errors import ConfigurationError, CredentialsRefused, DancerankError, TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from tests.servers import ServerUnavailable, unavailable
from tests.servers.secure_kafka import KEY_PASSWORD, PASSWORD, SecureKafkaServer
from tests.waiting import STANDSTILL_S, read
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.kafka_transactions import KafkaTransactionalSink
from transport.topics import TopicSpec, describe_topics, ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

REFUSED_WITHIN_S = 1.0
HUNG_UP = "wrong user name or password.*disconnected|uthentication"
SECRETS = (PASSWORD, KEY_PASSWORD, "wrong-sesame")
WAYS = [
    ("SASL_PLAINTEXT", "PLAIN"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-256"),
    ("SASL_SSL", "PLAIN"),
    ("SASL_SSL", "SCRAM-SHA-512"),
    ("SSL", None),
]


@pytest.fixture(scope="module")
def server() -> Iterator[SecureKafkaServer]:
    try:
        server = SecureKafkaServer()
    except ServerUnavailable as error:
        unavailable(error)
    with server:
        yield server


def settings_of(
    server: SecureKafkaServer, protocol: str, mechanism: str | None, *, timeout_s: float = 10.0, **changed: str
) -> Settings:
    """Settings as an operator writes them: what is secret under ``secrets``."""
    given = {**server.security(protocol, mechanism), **changed}
    secrets = {name: value for name, value in given.items() if "password" in name}
    shown = {name: value for name, value in given.items() if name not in secrets}
    kafka = {"bootstrap_servers": [server.address_of(protocol)], "security": shown, "secrets": secrets}
    return Settings.model_validate({"kafka": kafka | {"timeout_s": timeout_s}})


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
def test_every_client_works_with_the_security_that_the_settings_name(
    server: SecureKafkaServer, protocol: str, mechanism: str | None, fresh_name: Callable[[str], str]
) -> None:
    connection = Processes(settings_of(server, protocol, mechanism)).connection
    asked, answered, group = fresh_name("asked"), fresh_name("answered"), fresh_name("group")
    ensure_topics(connection, [TopicSpec(name=asked, partitions=1), TopicSpec(name=answered, partitions=1)])
    assert describe_topics(connection, [asked])[asked].partitions == 1

    with closing(KafkaSink(connection)) as sink:
        sink.send(OutgoingRecord(topic=asked, key=b"k", value=b"question"))
        sink.flush(STANDSTILL_S)
    with (
        closing(KafkaSource(connection, [asked], group=group)) as source,
        closing(open_results(connection, fresh_name("writer"), TransactionOptions())) as results,
    ):
        assert isinstance(results, KafkaTransactionalSink)
        (question,) = read(source, 1)
        assert question.value == b"question"
        answer = OutgoingRecord(topic=answered, key=b"k", value=b"answer")
        results.commit([answer], {TopicPartition(asked, 0): 1}, source)
    with closing(KafkaSource(connection, [answered], group=None)) as source:
        assert [record.value for record in read(source, 1)] == [b"answer"]


USES: dict[str, Callable[[KafkaConnection], object]] = {
    "source": lambda connection: KafkaSource(connection, ["t"], group="g"),
    "source without group": lambda connection: KafkaSource(connection, ["t"], group=None),
    "transactional sink": lambda connection: KafkaTransactionalSink(connection, "writer"),
    "topics": lambda connection: ensure_topics(connection, [TopicSpec(name="t")]),
}


class Mistake(NamedTuple):
    protocol: str
    mechanism: str | None
    changed: dict[str, str]
    named: str
    error: type[DancerankError] = CredentialsRefused


MISTAKES = {
    "wrong password": Mistake(
        "SASL_PLAINTEXT",
        "PLAIN",
        {"sasl_plain_password": "wrong-sesame"},
        HUNG_UP,
    ),
    "wrong password within TLS": Mistake(
        "SASL_SSL",
        "SCRAM-SHA-512",
        {"sasl_plain_password": "wrong-sesame"},
        HUNG_UP,
    ),
    "another authority": Mistake("SASL_SSL", "PLAIN", {"ssl_cafile": "other.crt"}, "certificate verify failed"),
    "no certificate": Mistake(
        "SSL", None, {"ssl_certfile": "", "ssl_keyfile": ""}, "(?i)certificate|disconnected", TransportError
    ),
    "wrong password of the key": Mistake(
        "SSL", None, {"ssl_password": "wrong-sesame"}, "security settings.*SSL", ConfigurationError
    ),
    "a file that is absent": Mistake(
        "SASL_SSL", "PLAIN", {"ssl_cafile": "absent.crt"}, "No such file", ConfigurationError
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_client_says_in_time_that_it_was_not_let_in(
    server: SecureKafkaServer, use: Callable[[KafkaConnection], object], caplog: pytest.LogCaptureFixture
) -> None:
    refused(server, use, MISTAKES["wrong password"], caplog)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_and_no_secret_with_it(
    server: SecureKafkaServer, mistake: Mistake, caplog: pytest.LogCaptureFixture
) -> None:
    refused(server, KafkaSink, mistake, caplog)


def refused(
    server: SecureKafkaServer,
    use: Callable[[KafkaConnection], object],
    mistake: Mistake,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    placed = {
        name: str(server.folder / value) if value.endswith(".crt") else value for name, value in mistake.changed.items()
    }
    settings = settings_of(server, mistake.protocol, mistake.mechanism, timeout_s=REFUSED_WITHIN_S, **placed)
    started_s = time.monotonic()
    with pytest.raises(mistake.error) as caught:
        use(Processes(settings).connection)
    assert time.monotonic() - started_s < 4 * REFUSED_WITHIN_S
    assert re.search(mistake.named, caught.value.message), caught.value.message
    assert server.address_of(mistake.protocol) in caught.value.message
    said = caplog.text + "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in SECRETS if secret in said]

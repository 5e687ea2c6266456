"""Fixtures that many tests share: the real servers, the embedded broker, and names that no other test uses.

Each worker of pytest-xdist starts its own servers when its first test asks for one, so workers never wait for one
another.
"""

import gc
import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from extraction.models import Model
from tests.certificates import read_certificates_once
from tests.extractors import fetched_model
from tests.kafka_sockets import close_dropped_sockets
from tests.ordering import slow_first
from tests.servers import ServerUnavailable, unavailable
from tests.servers import kafka as kafka_servers
from tests.servers import postgresql as postgresql_servers
from tests.servers import prometheus as prometheus_servers
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker

close_dropped_sockets()
read_certificates_once()


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Imports make a million objects that stay; to look through them for garbage takes a third of the collection."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = slow_first(items, workers)


@pytest.fixture
def fresh_name() -> Callable[[str], str]:
    """Gives a topic or group name that no other test uses: ``fresh_name("clips")`` → ``clips-3f2a…``."""
    return lambda stem: f"{stem}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[kafka_servers.KafkaServer | kafka_servers.NamedKafka]:
    """A real Kafka, at ``.address``, that the whole session shares; tests use topics and groups of ``fresh_name``."""
    if named := os.environ.get(kafka_servers.VARIABLE):
        yield kafka_servers.NamedKafka(named)
        return
    try:
        server = kafka_servers.KafkaServer()
    except ServerUnavailable as error:
        unavailable(error)
    with server:
        yield server


@pytest.fixture(scope="session")
def kafka_connection(kafka_server: kafka_servers.KafkaServer | kafka_servers.NamedKafka) -> KafkaConnection:
    return KafkaConnection(servers=(kafka_server.address,))


@pytest.fixture
def own_kafka_server() -> Iterator[kafka_servers.KafkaServer]:
    """A real Kafka for one test alone, which may stop, kill and restart it."""
    try:
        server = kafka_servers.KafkaServer()
    except ServerUnavailable as error:
        unavailable(error)
    with server:
        yield server


@pytest.fixture
def own_postgresql_server() -> Iterator[postgresql_servers.PostgresqlServer]:
    """A real PostgreSQL for one test alone, which may kill and restart it."""
    try:
        server = postgresql_servers.PostgresqlServer()
    except ServerUnavailable as error:
        unavailable(error)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[KafkaConnection]:
    """The connection to an embedded broker that the whole session shares."""
    with EmbeddedBroker() as connection:
        yield connection


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql_servers.PostgresqlServer]:
    if named := os.environ.get(postgresql_servers.VARIABLE):
        yield postgresql_servers.PostgresqlServer.named(named)
        return
    try:
        server = postgresql_servers.PostgresqlServer()
    except ServerUnavailable as error:
        unavailable(error)
    server.make_durable(False)
    yield server
    server.stop()


@pytest.fixture
def durable_postgresql(postgresql_server: postgresql_servers.PostgresqlServer) -> Iterator[None]:
    """The server that the session shares waits for its disk during the test, as one of an operator does."""
    postgresql_server.make_durable(True)
    yield
    postgresql_server.make_durable(False)


@pytest.fixture
def postgresql_url(postgresql_server: postgresql_servers.PostgresqlServer) -> Iterator[str]:
    """SQLAlchemy's URL of a fresh, empty PostgreSQL database."""
    url = postgresql_server.new_database()
    yield url
    postgresql_server.drop_database(url)


@pytest.fixture(scope="session")
def model() -> Callable[[str], Model]:
    """Opens a network that sees pictures: ``model("pose-detector")``; the test is skipped if it was not fetched."""
    return fetched_model


@pytest.fixture(scope="session")
def prometheus_binary() -> str:
    """Path of the Prometheus server; start it with ``tests.servers.prometheus.PrometheusServer``."""
    try:
        return str(prometheus_servers.prometheus())
    except ServerUnavailable as error:
        unavailable(error)


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool, which checks rules and configurations."""
    try:
        return str(prometheus_servers.promtool())
    except ServerUnavailable as error:
        unavailable(error)

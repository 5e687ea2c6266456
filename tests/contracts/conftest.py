"""Each transport in turn, and topic names that no other test uses."""

from collections.abc import Callable, Iterator

import pytest

from tests.contracts.transports import ON_KAFKA, InMemory, OnKafka, Transport


@pytest.fixture(params=["memory", "embedded", ON_KAFKA])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    if request.param == "memory":
        transport: Transport = InMemory()
    else:
        connection = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "kafka_connection")
        transport = OnKafka(connection)
    yield transport
    transport.close()


@pytest.fixture
def topic(transport: Transport, fresh_name: Callable[[str], str]) -> str:
    name = fresh_name("clips")
    transport.ensure_topic(name)
    return name


@pytest.fixture
def group(fresh_name: Callable[[str], str]) -> str:
    return fresh_name("group")

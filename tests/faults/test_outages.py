"""A broker and a database that go away and come back: everything waits, goes on by itself, and nothing is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from ranking.store import ScoreStore
from tests.faults.conftest import Scene
from tests.faults.killing import Cached, await_all
from tests.faults.processes import patience, ranker, streamer
from tests.faults.verification import verify
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]

CLIPS = 600
PATIENCE_S = 180.0
AWAY_S = 4.0
MakeScene = Callable[[KafkaConnection, str, int], Scene]


@pytest.fixture
def own_postgresql_server(postgresql_server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A PostgreSQL for one test alone; the shared one has shown that this machine can have one."""
    server = PostgresqlServer()
    yield server
    server.stop()


def test_a_broker_that_is_killed_in_mid_transaction_and_comes_back_costs_nothing(
    scene: MakeScene, own_kafka_server: KafkaServer, postgresql_url: str
) -> None:
    here = scene(KafkaConnection(servers=(own_kafka_server.address,)), postgresql_url, CLIPS)
    with ExitStack() as stack:
        store = stack.enter_context(closing(ScoreStore(postgresql_url)))
        store.migrate()
        workers = [streamer("streamer-0", here.config), ranker("ranker-0", here.config)]
        for worker in workers:
            stack.enter_context(worker)
        with patience(PATIENCE_S, "nothing was scored") as check:
            while not workers[0].progress():
                check()
        own_kafka_server.kill()
        time.sleep(AWAY_S)
        own_kafka_server.start()
        await_all(Cached(lambda: sum(store.generations().values()) >= CLIPS, every_s=0.5), workers, PATIENCE_S)
        for worker in workers:
            assert worker.stop() == 0, worker.log()[-3000:]
    assert verify(here.sent, here.settings, here.connection, None).is_right

"""Outages of a broker and of a database: every process waits and resumes by itself, and nothing is lost."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ranking.scores.store import ScoreStore
from ranking.vectors.snapshots import read_snapshot
from schemas.errors import StoreUnavailable
from tests.faults.conftest import Scene
from tests.faults.killing import Cached, await_all
from tests.faults.processes import Worker, ranker, server, streamer
from tests.faults.verification import verify
from tests.ranking.databases import migrated
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from tests.waiting import wait_until
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

CLIPS = 600
FEW = 80
FULL_AT_BYTES = 16_384
AWAY_S = 4.0
LONG_S = 20.0
MOST_INTERRUPTIONS = 8
"""In so long a time: waits of 0.2 s would make 50."""
SPINS_ABOVE = 0.4
"""Share of a processor that a waiting process stays below."""
MakeScene = Callable[[KafkaConnection, str, int], Scene]


def await_waiting(workers: Sequence[Worker]) -> None:
    """Return once the readiness of each says that it waits; then some more time passes, in which nothing spins."""
    wait_until(lambda: all(worker.waiting() for worker in workers), what="not all of them said that they wait")
    before_s = [worker.cpu_s() for worker in workers]
    time.sleep(AWAY_S)
    used_s = [worker.cpu_s() - before for worker, before in zip(workers, before_s, strict=True)]
    assert max(used_s) < SPINS_ABOVE * AWAY_S, used_s


def await_ready(workers: Sequence[Worker]) -> None:
    wait_until(lambda: all(worker.waiting() == [] for worker in workers), what="not all of them were ready again")


def clips_in(snapshots: Path) -> int:
    """Of the newest snapshot; 0 without one."""
    found = read_snapshot(snapshots)
    return sum(space.clips for space in found[1].spaces) if found else 0


def test_a_broker_that_is_killed_in_mid_transaction_and_comes_back_costs_nothing(
    scene: MakeScene, own_kafka_server: KafkaServer, postgresql_url: str, tmp_path: Path
) -> None:
    here = scene(KafkaConnection(servers=(own_kafka_server.address,)), postgresql_url, CLIPS)
    with ExitStack() as stack:
        store = ScoreStore(stack.enter_context(migrated(postgresql_url)))
        workers = [
            streamer("streamer-0", here.config),
            ranker("ranker-0", here.config),
            server("server-0", here.config, tmp_path / "index"),
        ]
        for worker in workers:
            stack.enter_context(worker)
        wait_until(workers[0].progress, what="nothing was scored")
        own_kafka_server.kill()
        await_waiting(workers)
        own_kafka_server.start()
        await_all(Cached(lambda: sum(store.generations().values()) >= CLIPS, every_s=0.5), workers)
        await_ready(workers)
        for worker in workers:
            assert worker.stop() == 0, worker.log()[-3000:]
    assert verify(here.sent, here.settings, here.connection, None).is_right


@pytest.mark.tried(
    kind="waits that forget",
    given="PostgreSQL killed for 20 s while Kafka is up",
    outcome="at most 8 reconnects and one line in the log, then all is ranked",
)
def test_a_database_that_is_killed_and_comes_back_costs_nothing(
    scene: MakeScene, kafka_connection: KafkaConnection, own_postgresql_server: PostgresqlServer
) -> None:
    here = scene(kafka_connection, own_postgresql_server.new_database(), CLIPS)
    with ExitStack() as stack:
        store = ScoreStore(stack.enter_context(migrated(here.settings.ranking.database_url)))
        workers = [streamer("streamer-0", here.config), ranker("ranker-0", here.config)]
        for worker in workers:
            stack.enter_context(worker)
        wait_until(store.generations, what="nothing was ranked")
        own_postgresql_server.kill()
        down_s = time.monotonic()
        await_waiting(workers[1:])
        assert workers[0].waiting() == []
        time.sleep(max(0.0, LONG_S - (time.monotonic() - down_s)))
        assert workers[1].metric("dancerank_interruptions_total") <= MOST_INTERRUPTIONS
        assert workers[1].log().count("(failure ") <= 1 + (time.monotonic() - down_s) / 60
        own_postgresql_server.start()

        def all_ranked() -> bool:
            with suppress(StoreUnavailable):  # the first to ask finds the connections of before
                return sum(store.generations().values()) >= CLIPS
            return False

        await_all(Cached(all_ranked, every_s=0.5), workers)
        await_ready(workers)
        for worker in workers:
            assert worker.stop() == 0, worker.log()[-3000:]
    assert verify(here.sent, here.settings, here.connection, None).is_right


def test_a_disk_that_takes_no_snapshot_is_waited_for(
    scene: MakeScene, kafka_connection: KafkaConnection, postgresql_url: str, tmp_path: Path
) -> None:
    here = scene(kafka_connection, postgresql_url, FEW)
    snapshots = tmp_path / "snapshots"
    config = here.config
    config.write_text(config.read_text().replace("[ranking]", "[ranking]\nsnapshot_interval_s = 0.5"))
    with streamer("streamer-0", config), ranker("ranker-0", config), server("server-0", config, snapshots) as serving:
        wait_until(lambda: serving.metric("process_start_time_seconds"), what="the server did not start")
        serving.limit_files(FULL_AT_BYTES)
        wait_until(lambda: serving.metric("dancerank_snapshots_failed_total") >= 2, what="no snapshot failed")
        held = Cached(lambda: serving.metric('dancerank_index_vectors{modality="scenic"}') >= FEW, every_s=0.5)
        await_all(held, [serving])
        assert clips_in(snapshots) < FEW
        serving.limit_files(-1)
        wait_until(lambda: clips_in(snapshots) >= FEW, what="no snapshot was written once there was room")
        assert serving.stop() == 0, serving.log()[-3000:]
    assert verify(here.sent, here.settings, here.connection, snapshots).is_right

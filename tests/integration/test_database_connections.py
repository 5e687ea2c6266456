"""A process never opens more connections to its database than the settings allow."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.serving.service import RankingService
from schemas.modalities import FUSED_MODALITIES, Dimension
from schemas.questions.pools import HypotheticalClip
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply, scored_clip
from tests.waiting import pause
from transport.connection import KafkaConnection

MOST = 4
THREADS = 32
ROUNDS = 4
CLIPS = 40

pytestmark = pytest.mark.postgresql


@pytest.fixture
def settings(tmp_path: Path, postgresql_url: str, fresh_name: Callable[[str], str]) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"ranking_group": fresh_name("ranking"), "pools_group": fresh_name("pools"), "partitions": 1},
            "streamer": {"scored_topic": fresh_name("scored")},
            "pools": {"engagement_topic": fresh_name("engagement"), "round_interval_s": 0.2},
            "monitoring": {"measure_interval_s": 0.2},
            "ranking": {
                "database_url": postgresql_url,
                "database_connections": MOST,
                "deletions_topic": fresh_name("deleted"),
                "index_folder": tmp_path / "index",
            },
        }
    )


@contextmanager
def connections_counted(url: str) -> Iterator[Counter[int]]:
    """How often the database was seen with each number of connections besides the one that counts them."""
    seen, stop = Counter[int](), threading.Event()
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )

    def count() -> None:
        with psycopg.connect(plain, autocommit=True) as connection:
            while not stop.is_set():
                row = connection.execute(query).fetchone()
                assert row is not None
                seen[row[0]] += 1

    with ThreadPoolExecutor(1) as other:
        counting = other.submit(count)
        try:
            yield seen
        finally:
            stop.set()
            counting.result()


def ask(service: RankingService, number: int) -> None:
    """Every sort of question that reads the database."""
    for turn in range(ROUNDS):
        clip_id = f"c{(number + turn) % CLIPS}"
        service.clip(clip_id)
        service.ranking("ch")
        service.attention("ch")
        service.challenges()
        service.generations()
        service.similar(SimilarQuery(clip_id=clip_id, k=3, weights=dict.fromkeys(FUSED_MODALITIES, 1.0)))
        service.pools()
        service.try_in_pools(HypotheticalClip(challenge_id="ch", percentiles={Dimension.FUSED: 90.0}))
        assert service.readiness().ready


def test_a_process_with_every_part_holds_no_more_connections_than_allowed_however_many_ask(
    settings: Settings, embedded_broker: KafkaConnection
) -> None:
    processes = Processes(settings, connection=embedded_broker)
    processes.create_topics()
    with processes.replica(with_rank=True, with_pools=True, reports_as="here:1") as replica:
        clips = [scored_clip(f"c{number}") for number in range(CLIPS)]
        for view in (replica.store, replica.index):
            apply(view, clips)
        while not all(thread.loop.caught_up for thread in replica.loops):
            assert all(thread.failure is None for thread in replica.loops)
            pause()
        with connections_counted(settings.ranking.database_url) as seen, ThreadPoolExecutor(THREADS) as askers:
            for asked in [askers.submit(ask, replica.service, number) for number in range(THREADS)]:
                asked.result()
    assert max(seen) <= MOST
    assert seen[MOST], "the questions were to use all of them"

"""What a transaction asks of the database besides its rows: the time, and how statements are planned."""

import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from ranking.database.connection import clock_ms, lock_clips, open_engine, reading, writing
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import ALIVE_S, Replicas, ReplicaState

HOUR_MS = 3_600_000


def test_the_databases_clock_goes_on_in_milliseconds_since_1970(any_url: str) -> None:
    engine = open_engine(any_url)
    with reading(engine) as connection:
        first_ms = clock_ms(connection)
        time.sleep(0.05)
        later_ms = clock_ms(connection)
    engine.dispose()
    assert abs(first_ms - time.time() * 1000) < HOUR_MS
    assert 40 <= later_ms - first_ms < 10_000, "also within a transaction"


def test_who_serves_is_judged_by_the_databases_clock_alone(
    store: ScoreStore, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.generation_states() == []
    serving, alive_ms = ReplicaState("a:1", {"g1": 5}, True), round(ALIVE_S * 1000)
    clock = [HOUR_MS]  # of a host that never knew the time
    monkeypatch.setattr("ranking.serving.replicas.clock_ms", lambda _: clock[0])
    with closing(Replicas(sqlite_url)) as replicas:
        replicas.report(serving)
        clock[0] += alive_ms
        assert replicas.alive() == [serving]
        clock[0] += 1
        assert replicas.alive() == []
        replicas.report(serving)
        assert replicas.alive() == [serving]


@pytest.mark.postgresql
@pytest.mark.parametrize("alone", [False, True])
def test_statements_that_write_clips_are_planned_for_the_tables_as_they_are(postgresql_url: str, alone: bool) -> None:
    engine = open_engine(postgresql_url)
    mode = sa.text("SHOW plan_cache_mode")
    with writing(engine) as connection:
        assert connection.scalar(mode) == "auto"
        lock_clips(connection, alone=alone)
        assert connection.scalar(mode) == "force_custom_plan"
    with writing(engine) as connection:
        assert connection.scalar(mode) == "auto", "the next one to use the connection decides for itself"
    engine.dispose()

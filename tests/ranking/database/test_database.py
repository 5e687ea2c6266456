"""The connections of a process, and what a transaction asks besides rows: the time, and how statements are planned."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from ranking.database import connection as connections
from ranking.database.bulk import insert_rows
from ranking.database.connection import Database, clock_ms, lock_clips
from ranking.database.direct import rows_of
from ranking.database.tables import clips
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import ALIVE_S, Replicas, ReplicaState
from schemas.errors import ConfigurationError, DatabaseBusy, RetriableError, StoreRefused, StoreUnavailable
from tests.ranking.databases import UNREACHABLE

HOUR_MS = 3_600_000
_OWN = sa.select(sa.func.pg_backend_pid())


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", ""])
def test_an_impossible_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Database(url)
    assert raised.value.field == "database_url"


def test_a_missing_sqlite_file_is_named_until_it_is_created(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    assert database.missing_file == tmp_path / "scores.db"
    assert Database("sqlite://").missing_file is None
    assert Database(UNREACHABLE).missing_file is None
    with closing(database):
        database.migrate()
    assert database.missing_file is None


def test_a_thread_that_finds_no_free_connection_waits_and_then_may_try_again(any_url: str) -> None:
    with closing(Database(any_url, connections=2, wait_s=0.2)) as database, ExitStack() as held:
        for _ in range(2):
            held.enter_context(database.reading())
        started_s = time.monotonic()
        with pytest.raises(
            DatabaseBusy, match=r"all 2 database connections .* ranking\.database_connections"
        ) as raised:
            held.enter_context(database.reading())
        assert time.monotonic() - started_s >= 0.2
        assert isinstance(raised.value, RetriableError)
        held.close()
        with database.reading():
            pass


def test_a_thread_that_waits_gets_the_connection_that_becomes_free(sqlite_url: str) -> None:
    with closing(Database(sqlite_url, connections=1, wait_s=60)) as database, ThreadPoolExecutor(1) as other:
        with database.reading():
            waiting = other.submit(database.migrate)
            assert wait([waiting], timeout=0.1).not_done
        waiting.result(30)


def test_the_databases_clock_goes_on_in_milliseconds_since_1970(any_database: Database) -> None:
    with any_database.reading() as connection:
        first_ms = clock_ms(connection)
        time.sleep(0.05)
        later_ms = clock_ms(connection)
    assert abs(first_ms - time.time() * 1000) < HOUR_MS
    assert 40 <= later_ms - first_ms < 10_000, "also within a transaction"


def test_who_serves_is_judged_by_the_databases_clock_alone(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ScoreStore(sqlite_database).generation_states() == []
    serving, alive_ms = ReplicaState("a:1", {"g1": 5}, True), round(ALIVE_S * 1000)
    clock = [HOUR_MS]  # of a host that never knew the time
    monkeypatch.setattr("ranking.serving.replicas.clock_ms", lambda _: clock[0])
    replicas = Replicas(sqlite_database)
    replicas.report(serving)
    clock[0] += alive_ms
    assert replicas.alive() == [serving]
    clock[0] += 1
    assert replicas.alive() == []
    replicas.report(serving)
    assert replicas.alive() == [serving]


@pytest.mark.postgresql
@pytest.mark.parametrize("alone", [False, True])
def test_statements_that_write_clips_are_planned_for_the_tables_as_they_are(
    postgresql_database: Database, alone: bool
) -> None:
    mode = sa.text("SHOW plan_cache_mode")
    with postgresql_database.writing() as connection:
        assert connection.scalar(mode) == "auto"
        lock_clips(connection, alone=alone)
        assert connection.scalar(mode) == "force_custom_plan"
    with postgresql_database.writing() as connection:
        assert connection.scalar(mode) == "auto", "the next one to use the connection decides for itself"


@pytest.mark.postgresql
@pytest.mark.parametrize("unlooked_s", [0.05, 60.0])
def test_a_connection_that_was_lost_while_nobody_used_it_is_replaced(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, unlooked_s: float
) -> None:
    monkeypatch.setattr(connections, "_UNLOOKED_S", unlooked_s)
    with closing(Database(postgresql_url)) as database, closing(Database(postgresql_url)) as other:
        with database.glancing() as connection:
            lost = connection.scalar(_OWN)
        with other.writing() as connection:
            connection.execute(sa.select(sa.func.pg_terminate_backend(lost, 5000)))
        time.sleep(0.1)
        with database.glancing() as connection:
            assert connection.scalar(_OWN) not in (None, lost)


@pytest.mark.postgresql
def test_a_connection_that_was_just_used_is_not_looked_at_again(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_UNLOOKED_S", 60.0)
    with closing(Database(postgresql_url)) as database:
        with database.glancing() as connection:
            own = connection.scalar(_OWN)
        monkeypatch.setattr(PGDialect_psycopg, "do_ping", lambda *_: pytest.fail("it was looked at"))
        with database.writing() as connection:
            assert connection.scalar(_OWN) == own


@pytest.mark.postgresql
def test_a_plan_that_was_made_for_an_empty_table_does_not_outlive_it(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the server has analyzed the table: autovacuum needs a minute."""
    wanted = sa.select(clips.c.dancer_id).where(clips.c.clip_id == sa.bindparam("id", type_=sa.String))
    read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'clips'"
    with postgresql_database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE clips SET (autovacuum_enabled = off)"))
        connection.execute(sa.text("SET SESSION enable_indexscan = off"))  # as if the empty table were read at once
        connection.execute(sa.text("SET SESSION enable_bitmapscan = off"))
    for number in range(15):  # psycopg prepares after five, PostgreSQL keeps a plan after five more
        with postgresql_database.glancing() as connection:
            assert rows_of(connection, wanted, {"id": f"absent-{number}"}) == []
    with postgresql_database.writing() as connection:
        connection.execute(sa.text("RESET enable_indexscan"))
        connection.execute(sa.text("RESET enable_bitmapscan"))
        insert_rows(connection, clips, [(f"c{n:04d}", "d", "x", 0, 1.0, 0, n) for n in range(3000)])

    def rows_read() -> int:
        with postgresql_database.reading() as connection:
            assert rows_of(connection, wanted, {"id": "c0007"}) == [("d",)]
            return int(connection.scalars(sa.text(read)).one())

    before = rows_read()
    assert before >= 3000, "the plan is kept"
    monkeypatch.setattr(connections, "_PLANNED_S", 0.0)
    assert rows_read() <= before, "what was read before may still be counted"


@pytest.mark.postgresql
def test_a_connection_that_is_lost_during_a_question_is_an_outage_and_the_next_one_is_answered(
    postgresql_url: str,
) -> None:
    one = sa.select(sa.bindparam("one", type_=sa.Integer).label("one"))
    with closing(Database(postgresql_url)) as database, closing(Database(postgresql_url)) as other:

        def end(connection: sa.Connection) -> None:
            with other.writing() as ending:
                ending.execute(sa.select(sa.func.pg_terminate_backend(connection.scalar(_OWN), 5000)))

        def ask(opened: Callable[[], AbstractContextManager[sa.Connection]], *, lost: bool) -> object:
            with opened() as connection:
                if lost:
                    end(connection)
                return rows_of(connection, one, {"one": 1})

        for opened in (database.glancing, database.reading):
            with pytest.raises(StoreUnavailable):
                ask(opened, lost=True)
            assert ask(opened, lost=False) == [(1,)]


def test_a_statement_that_the_database_refuses_is_an_error_of_ours(any_database: Database) -> None:
    absent = sa.select(sa.column("x")).select_from(sa.table("absent"))
    with pytest.raises(StoreRefused, match="run the migrations"), any_database.glancing() as connection:
        rows_of(connection, absent, {})

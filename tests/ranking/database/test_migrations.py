import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ranking.database.connection import Database
from ranking.database.monitoring_tables import metadata
from ranking.scores.store import ScoreStore
from schemas.errors import StoreRefused


def test_the_migrated_schema_is_the_one_of_the_tables(any_database: Database) -> None:
    with any_database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert {tuple(sorted(index["column_names"])) for index in sa.inspect(connection).get_indexes("scores")} == {
            ("challenge_id", "clip_id", "dimension", "generation", "score"),
            ("challenge_id", "clip_id", "dimension", "generation", "score", "style"),
        }


def test_migrating_again_changes_nothing(any_database: Database) -> None:
    any_database.migrate()


def test_a_schema_of_a_newer_release_is_refused_with_the_remedy(any_database: Database) -> None:
    with any_database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreRefused, match=r"newer release .*9999.*install that release"):
        any_database.migrate()


def test_processes_that_start_together_migrate_once(any_url: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        database = Database(any_url)
        try:
            database.migrate()
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_in_memory_database_is_shared_by_all_threads(shared_store: ScoreStore) -> None:
    found: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: found.append(shared_store.generations()))
    thread.start()
    thread.join()
    assert found == [shared_store.generations()] == [{}]

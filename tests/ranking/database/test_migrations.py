import threading

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ranking.database.connection import open_engine
from ranking.database.migrations import upgrade
from ranking.database.tables import metadata
from ranking.scores.store import ScoreStore


def test_the_migrated_schema_is_the_one_of_the_tables(any_url: str) -> None:
    upgrade(any_url)
    engine = open_engine(any_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        assert {tuple(sorted(index["column_names"])) for index in sa.inspect(connection).get_indexes("scores")} == {
            ("challenge_id", "clip_id", "dimension", "generation", "score")
        }
    engine.dispose()


def test_migrating_again_changes_nothing(any_url: str) -> None:
    upgrade(any_url)
    upgrade(any_url)


def test_processes_that_start_together_migrate_once(any_url: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            upgrade(any_url)
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_in_memory_database_is_shared_by_all_threads() -> None:
    store = ScoreStore("sqlite://")
    store.migrate()
    thread = threading.Thread(target=store.check)
    thread.start()
    thread.join()
    assert store.generations() == {}
    store.close()

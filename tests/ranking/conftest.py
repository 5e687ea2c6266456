from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from tests.ranking.databases import migrated
from tests.ranking.views.loops import Setting
from tests.servers.postgresql import PostgresqlServer


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'scores.db'}"


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    with migrated(sqlite_url) as database:
        yield database


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PostgresqlServer) -> str:
    """The URL of a database with the tables of this release, to copy."""
    url = postgresql_server.new_database()
    with migrated(url):
        return url


@pytest.fixture
def postgresql_database(postgresql_server: PostgresqlServer, migrated_postgresql: str) -> Iterator[Database]:
    url = postgresql_server.new_database(copy_of=migrated_postgresql)
    with closing(Database(url)) as database:
        yield database
    postgresql_server.drop_database(url)


@pytest.fixture
def store(sqlite_database: Database) -> ScoreStore:
    return ScoreStore(sqlite_database)


@pytest.fixture(scope="module")
def module_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database, in a file, that a fixture fills for tests of a module that only read it."""
    with migrated(f"sqlite:///{tmp_path_factory.mktemp('database') / 'scores.db'}") as database:
        yield database


@pytest.fixture(scope="module")
def shared_store() -> Iterator[ScoreStore]:
    """A store in memory for the examples of a property, which start by emptying it."""
    with migrated("sqlite://") as database:
        yield ScoreStore(database)


ON_EACH: Final = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(params=ON_EACH)
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, on SQLite and on PostgreSQL in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def empty_database(any_url: str) -> Iterator[Database]:
    """A database without tables, on SQLite and on PostgreSQL in turn."""
    with closing(Database(any_url)) as database:
        yield database


@pytest.fixture(params=ON_EACH)
def any_database(request: pytest.FixtureRequest) -> Database:
    """A database without rows, on SQLite and on PostgreSQL in turn."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


@pytest.fixture
def any_store(any_database: Database) -> ScoreStore:
    return ScoreStore(any_database)


@pytest.fixture
def setting() -> Setting:
    return Setting()

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from tests.ranking.databases import migrated
from tests.ranking.views.loops import Setting


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'scores.db'}"


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    with migrated(sqlite_url) as database:
        yield database


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    with migrated(postgresql_url) as database:
        yield database


@pytest.fixture
def store(sqlite_database: Database) -> ScoreStore:
    return ScoreStore(sqlite_database)


@pytest.fixture(scope="module")
def shared_store() -> Iterator[ScoreStore]:
    """A store in memory for the examples of a property, which start by emptying it."""
    with migrated("sqlite://") as database:
        yield ScoreStore(database)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, on SQLite and on PostgreSQL in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def empty_database(any_url: str) -> Iterator[Database]:
    """A database without tables, on SQLite and on PostgreSQL in turn."""
    with closing(Database(any_url)) as database:
        yield database


@pytest.fixture
def any_database(any_url: str) -> Iterator[Database]:
    """A database without rows, on SQLite and on PostgreSQL in turn."""
    with migrated(any_url) as database:
        yield database


@pytest.fixture
def any_store(any_database: Database) -> ScoreStore:
    return ScoreStore(any_database)


@pytest.fixture
def setting() -> Setting:
    return Setting()

from collections.abc import Iterator
from pathlib import Path

import pytest

from ranking.scores.store import ScoreStore
from tests.ranking.views.loops import Setting


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'scores.db'}"


@pytest.fixture
def store(sqlite_url: str) -> Iterator[ScoreStore]:
    made = ScoreStore(sqlite_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_store() -> Iterator[ScoreStore]:
    """A store in memory for the examples of a property, which begin by emptying it."""
    made = ScoreStore("sqlite://")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def any_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of every kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def any_store(any_url: str) -> Iterator[ScoreStore]:
    made = ScoreStore(any_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def setting() -> Setting:
    return Setting()

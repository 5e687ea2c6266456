"""A command that reads a database which is not there says what is missing and who fills it, and creates nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from ranking.database.connection import Database
from tests.ranking.databases import migrated

READING = [
    *("rankings", "rankings samba", "content-hash", "generations list", "generations use g1", "generations rollback"),
    *("generations retire g1 --yes", "pools status", "pools clip c1", "pools try samba --percentiles fused:80"),
    *("pools replay", "labels export out"),
]


def absent(folder: Path) -> tuple[str, str]:
    return f"sqlite:///{folder / 'view.db'}", f"the file {folder / 'view.db'} does not exist"


def below_an_absent_folder(folder: Path) -> tuple[str, str]:
    return f"sqlite:///{folder / 'no' / 'view.db'}", "does not exist"


def named_as_a_uri(folder: Path) -> tuple[str, str]:
    return f"sqlite:///file:{folder}/my%20view.db?uri=true", f"the file {folder / 'my view.db'} does not exist"


def of_no_bytes(folder: Path) -> tuple[str, str]:
    (folder / "view.db").touch()
    return f"sqlite:///{folder / 'view.db'}", f"the file {folder / 'view.db'} is empty"


def of_another_program(folder: Path) -> tuple[str, str]:
    with closing(sqlite3.connect(folder / "view.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    return f"sqlite:///{folder / 'view.db'}", "it holds no tables of dancerank"


def in_memory(_: Path) -> tuple[str, str]:
    return "sqlite://", "it holds no tables of dancerank"


DATABASES = [absent, below_an_absent_folder, named_as_a_uri, of_no_bytes, of_another_program, in_memory]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)


def refused(command: str, url: str, folder: Path) -> str:
    """What is said by a command that exits with 1."""
    config = folder / "dancerank.toml"
    config.write_text(f'[ranking]\ndatabase_url = "{url}"\n')
    result = CliRunner().invoke(app, [*command.split(), "--config", str(config)])
    assert (result.exit_code, "error (no_data)" in result.output) == (1, True), result.output
    return " ".join(result.output.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.suffix == ".db"}


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a command that reads a SQLite database which does not exist, is empty, or is another program's",
    outcome="the file and the process that fills it are named, nothing is created, and the exit status is 1",
)
@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("database", DATABASES)
def test_what_is_missing_is_named_with_who_fills_it_and_nothing_is_created(
    command: str, database: Callable[[Path], tuple[str, str]], tmp_path: Path
) -> None:
    url, said = database(tmp_path)
    before = contents(tmp_path)
    output = refused(command, url, tmp_path)
    assert said in output
    assert "(ranking.database_url)" in output
    assert "dancerank" in output.split(said)[1]
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    if database is of_no_bytes:
        assert after == before
    assert not (tmp_path / "out").exists()


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a command that reads a PostgreSQL database in which no process has created the tables",
    outcome="the database and the process that fills it are named, no table is created, and the exit status is 1",
)
@pytest.mark.postgresql
@pytest.mark.parametrize("command", READING)
def test_a_schema_that_is_not_there_yet_is_not_created(command: str, postgresql_url: str, tmp_path: Path) -> None:
    output = refused(command, postgresql_url, tmp_path)
    assert "it holds no tables of dancerank" in output
    with closing(Database(postgresql_url)) as database:
        assert database.absence() == "it holds no tables of dancerank"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("generations list", "no rankings in sqlite:///"),
        ("rankings", "no rankings in sqlite:///"),
        ("pools replay", "no traffic pools in sqlite:///"),
        ("pools status", "no traffic pools in sqlite:///"),
    ],
)
def test_tables_without_rows_are_not_an_answer(command: str, said: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'view.db'}"
    with migrated(url):
        pass
    assert said in refused(command, url, tmp_path)


@pytest.mark.postgresql
def test_similar_answers_of_a_snapshot_though_the_schema_is_not_there(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ranking.vectors.view import IndexView

    monkeypatch.setattr(IndexView, "clips", lambda _: 1)
    monkeypatch.setenv("DANCERANK_RANKING__DATABASE_URL", postgresql_url)
    result = CliRunner().invoke(app, ["similar", "--clip", "unknown"])
    assert (result.exit_code, "error (not_found)" in result.output) == (1, True), result.output

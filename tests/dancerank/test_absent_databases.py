"""A command that reads a database which is not there says what is missing and who fills it, and creates nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from dancerank.cli import app
from ranking.database.connection import Database
from schemas.errors import StoreUnavailable
from tests.ranking.databases import migrated

READING = [
    *("rankings", "rankings samba", "content-hash", "generations list", "generations use g1", "generations rollback"),
    *("generations retire g1 --yes", "pools status", "pools clip c1", "pools try samba --percentiles fused:80"),
    *("pools replay", "labels export out", "check-counts", "distribution", "rankings samba --window 1h"),
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


def not_sqlite(folder: Path) -> None:
    (folder / "view.db").write_bytes(b"clip_id,likes\n" * 1000)


def damaged(folder: Path) -> None:
    with migrated(f"sqlite:///{folder / 'view.db'}"):
        pass
    content = (folder / "view.db").read_bytes()
    (folder / "view.db").write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def a_folder(folder: Path) -> None:
    (folder / "view.db").mkdir()


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a database file that is another program's, damaged, or a folder",
    outcome="refused with the remedy, and left as it is",
)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (not_sqlite, "the file is not an SQLite database"),
        (damaged, "the database file is damaged"),
        (a_folder, "the database file cannot be used"),
    ],
)
@pytest.mark.parametrize("command", ["rankings", "generations list", "pools status", "content-hash"])
def test_a_file_that_is_not_a_database_is_refused_with_the_remedy(
    command: str, make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    config = tmp_path / "dancerank.toml"
    config.write_text(f'[ranking]\ndatabase_url = "sqlite:///{tmp_path / "view.db"}"\n')
    result = CliRunner().invoke(app, [*command.split(), "--config", str(config)])
    assert (result.exit_code, "error (store)" in result.output) == (1, True), result.output
    assert said in result.output
    assert contents(tmp_path) == before


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a PostgreSQL that has no such database or no such user",
    outcome="store_unavailable, with how to create it",
)
@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.set(database="absent"), "the database does not exist"),
        (lambda url: url.set(username="nobody-of-ours"), "the database does not accept this user"),
    ],
)
def test_a_server_without_the_database_or_the_user_says_how_to_create_it(
    change: Callable[[sa.URL], sa.URL], said: str, postgresql_url: str
) -> None:
    url = change(sa.make_url(postgresql_url)).render_as_string(hide_password=False)
    with closing(Database(url)) as database, pytest.raises(StoreUnavailable, match=said):
        database.absence()

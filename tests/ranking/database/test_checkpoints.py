"""What SQLite's log holds is copied into the database beside the writer, and the log does not grow without end."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ranking.database import checkpoints as copying
from ranking.database.checkpoints import COPIED_ROWS, Checkpoints
from ranking.database.connection import Database

ROWS = 3000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scores.db"


@pytest.fixture
def writer(file: Path) -> Iterator[sqlite3.Connection]:
    """It copies nothing itself, and being open it keeps others from doing so as they close."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE numbers (number INTEGER, text TEXT)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield connection


def write(connection: sqlite3.Connection, rows: int) -> int:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO numbers VALUES (?, ?)", ((number, "x" * 100) for number in range(rows)))
    connection.execute("COMMIT")
    return rows


def copied(file: Path) -> int:
    """Rows in the database's own file, whatever its log holds."""
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM numbers").fetchone()[0])


def test_what_a_large_transaction_wrote_is_copied_and_of_small_ones_once_they_are_many(
    file: Path, writer: sqlite3.Connection
) -> None:
    checkpoints = Checkpoints(file)
    checkpoints.written(write(writer, COPIED_ROWS - 1))
    checkpoints.wait()
    assert copied(file) == 0
    checkpoints.written(write(writer, 1))
    checkpoints.wait()
    assert copied(file) == COPIED_ROWS
    checkpoints.written(write(writer, ROWS))
    checkpoints.wait()
    assert copied(file) == COPIED_ROWS + ROWS


def test_a_long_log_begins_anew_while_batches_follow_each_other(
    file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = file.with_name(f"{file.name}-wal")
    write(writer, ROWS)
    batch_bytes = log.stat().st_size
    monkeypatch.setattr(copying, "LONG_PAGES", 2 * batch_bytes // 4096)
    checkpoints = Checkpoints(file)
    for _ in range(20):
        checkpoints.make_room()
        checkpoints.written(write(writer, ROWS))
    checkpoints.wait()
    assert copied(file) == 21 * ROWS
    assert log.stat().st_size < 6 * batch_bytes


def test_a_reader_that_stays_keeps_neither_the_writer_nor_the_copying_from_ending(
    file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "LONG_PAGES", 1)
    checkpoints = Checkpoints(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM numbers").fetchone() == (0,)
        for _ in range(3):
            checkpoints.make_room()
            checkpoints.written(write(writer, ROWS))
        checkpoints.wait()
        assert copied(file) == 0  # it would see them
    checkpoints.written(write(writer, 1))
    checkpoints.wait()
    assert copied(file) == 3 * ROWS + 1


def test_a_database_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "gone.db")
    checkpoints.written(ROWS)
    checkpoints.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_database_copies_what_its_connections_wrote_before_it_is_closed(
    file: Path, writer: sqlite3.Connection
) -> None:
    with closing(Database(f"sqlite:///{file}")) as database, database.writing() as connection:
        rows = [{"number": number} for number in range(ROWS)]
        connection.execute(sa.text("INSERT INTO numbers VALUES (:number, '')"), rows)
    assert copied(file) == ROWS == writer.execute("SELECT count(*) FROM numbers").fetchone()[0]

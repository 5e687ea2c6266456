"""What SQLite's log holds is copied into the database beside the writer, and the log does not grow without end."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ranking.database import checkpoints as copying
from ranking.database.checkpoints import COPIED_ROWS, Checkpoints
from ranking.database.connection import Database
from schemas.errors import StoreRefused

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


def long_at_two_batches(file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """The log, which is long from two batches on, and the bytes of the one batch that it has."""
    log = file.with_name(f"{file.name}-wal")
    write(writer, ROWS)
    batch_bytes = log.stat().st_size
    monkeypatch.setattr(copying, "LONG_PAGES", 2 * batch_bytes // 4096)
    return log, batch_bytes


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
    log, batch_bytes = long_at_two_batches(file, writer, monkeypatch)
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


def test_a_long_log_begins_anew_though_somebody_always_reads(
    file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, batch_bytes = long_at_two_batches(file, writer, monkeypatch)
    checkpoints, done = Checkpoints(file), threading.Event()

    def read(offset_s: float) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            while not done.wait(offset_s):
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM numbers").fetchone()
                done.wait(0.02)
                reader.execute("COMMIT")

    readers = [threading.Thread(target=read, args=(offset_s,)) for offset_s in (0.0, 0.001, 0.002)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        checkpoints.make_room()
        checkpoints.written(write(writer, ROWS))
    done.set()
    for reader in readers:
        reader.join()
    checkpoints.wait()
    assert log.stat().st_size < 10 * batch_bytes


def test_writers_wait_for_a_reader_that_stays_once_for_each_time_that_the_log_grew_long(
    file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "LONG_PAGES", 1000)
    monkeypatch.setattr(copying, "_PATIENCE_S", 0.0)
    waits = list[bool]()

    class Noting(Checkpoints):
        def _checkpoint(self, connection: sqlite3.Connection) -> None:
            waits.append(self._is_long)
            super()._checkpoint(connection)

    checkpoints = Noting(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM numbers").fetchone()
        for _ in range(20):
            checkpoints.make_room()
            checkpoints.written(write(writer, ROWS))
            checkpoints.wait()
        pages = file.with_name(f"{file.name}-wal").stat().st_size // 4096
    assert 1 <= sum(waits) <= pages // 1000


def test_a_database_that_was_removed_is_not_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "gone.db")
    for _ in range(3):
        checkpoints.written(ROWS)
        checkpoints.wait()
    assert list(tmp_path.iterdir()) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"the log of {tmp_path / 'gone.db'} is not copied into it, and grows: unable to open database file"
    ]


def test_what_could_not_be_copied_is_tried_again_by_the_next_transaction(
    file: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, start = Checkpoints(file), threading.Thread.start

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    checkpoints.written(write(writer, ROWS))
    checkpoints.make_room()
    checkpoints.wait()
    assert copied(file) == 0
    monkeypatch.setattr(threading.Thread, "start", start)
    checkpoints.written(write(writer, 1))
    checkpoints.wait()
    assert copied(file) == ROWS + 1


@pytest.mark.tried(
    kind="leftovers",
    given="an SQLite file that turns to garbage within a transaction that changed its schema",
    outcome="an error that is named, and every connection goes back to the pool",
)
def test_a_connection_that_broke_goes_back_to_the_pool(file: Path) -> None:
    with closing(Database(f"sqlite:///{file}", connections=1, wait_s=0.1)) as database:
        for _ in range(2):  # a connection that was lost would be waited for
            with pytest.raises(StoreRefused):
                change_the_schema_of_garbage(database, file)


def change_the_schema_of_garbage(database: Database, file: Path) -> None:
    with database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE other (number INTEGER)"))
        for part in (file, file.with_name(f"{file.name}-wal")):
            with part.open("r+b") as opened:
                opened.write(b"g" * part.stat().st_size)
        connection.execute(sa.text("INSERT INTO missing VALUES (1)"))

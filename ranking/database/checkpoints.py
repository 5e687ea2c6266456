"""Copies what SQLite's log (WAL) holds into the database, on a thread beside the one that writes."""

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

COPIED_ROWS: Final = 1000
"""Rows that are changed before their pages are copied; SQLite's own limit is 1,000 pages."""
LONG_PAGES: Final = 65_536
"""A log of so many pages, 256 MB, makes writers wait until it is copied and begins anew. SQLite begins it anew only at
a moment at which nothing is left to copy and nobody reads from it, which does not come by itself while batches, or
questions, follow each other.
"""
_PATIENCE_S: Final = 1.0
"""For such a moment. Writers of other processes wait so long too."""
_PASSIVE: Final = "PRAGMA wal_checkpoint(PASSIVE)"
_RESTART: Final = "PRAGMA wal_checkpoint(RESTART)"


class Checkpoints:
    """Checkpoints of one database file. By itself SQLite has the writer that commits copy the pages, and wait until
    they are on the disk, which takes longer than all the rest of a batch of clips.

    A thread exists only while there is something to copy. What is committed is as durable as before: SQLite flushes the
    log to the disk when a checkpoint begins, which is still after every thousand rows or so. A reader that stays keeps
    the log from beginning anew; writers wait for it once for each ``LONG_PAGES`` that the log grows meanwhile.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._uri = f"{file.absolute().as_uri()}?mode=rw"  # a file that was removed is not made again
        self._changing = threading.Lock()
        self._rows = 0
        self._is_long = self._is_failing = False
        self._kept_pages = 0
        """What the log had when somebody kept it from beginning anew."""
        self._thread: threading.Thread | None = None

    def written(self, rows: int) -> None:
        """A transaction that changed so many rows is over. Raises nothing: it is committed."""
        with self._changing:
            self._rows += rows
            if self._is_due() and self._thread is None:
                thread = threading.Thread(target=self._copy, name="sqlite-checkpoints", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter ends
                    self._failed(error)
                else:
                    self._thread = thread

    def make_room(self) -> None:
        """Wait until the log is copied, if it is long."""
        if self._is_long:
            self.wait()

    def wait(self) -> None:
        """Until all that was due is copied."""
        with self._changing:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _copy(self) -> None:
        try:
            with closing(sqlite3.connect(self._uri, uri=True, isolation_level=None, timeout=_PATIENCE_S)) as connection:
                while self._take():
                    self._checkpoint(connection)
        except sqlite3.Error as error:
            with self._changing:
                self._thread, self._is_long, self._rows = None, False, COPIED_ROWS
                self._failed(error)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        is_restart = self._is_long
        is_busy, pages, _ = connection.execute(_RESTART if is_restart else _PASSIVE).fetchone()
        if is_restart:
            self._kept_pages = pages if is_busy else 0
        elif pages < LONG_PAGES:
            self._kept_pages = 0
        self._is_long = not is_restart and pages >= LONG_PAGES + self._kept_pages
        self._is_failing = False

    def _failed(self, error: Exception) -> None:
        """As where SQLite copies by itself, the log keeps what was not copied, and whoever commits next tries again."""
        if not self._is_failing:
            log.warning("the log of %s is not copied into it, and grows: %s", self._file, error)
        self._is_failing = True

    def _take(self) -> bool:
        """Whether there is something to copy; the thread ends if not."""
        with self._changing:
            if not self._is_due():
                self._thread = None
                return False
            self._rows = 0
            return True

    def _is_due(self) -> bool:
        return self._rows >= (1 if self._is_long else COPIED_ROWS)

"""Copies what SQLite's log (WAL) holds into the database, on a thread beside the one that writes."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

COPIED_ROWS: Final = 1000
"""Rows that are changed before their pages are copied; SQLite's own limit is 1,000 pages."""
LONG_PAGES: Final = 65_536
"""A log of so many pages, 256 MB, makes the next writer wait until it is copied. Then it begins anew: SQLite begins it
anew only at a moment at which nothing is left to copy, which does not come by itself while batches follow each other.
"""


class Checkpoints:
    """Checkpoints of one database file. By itself SQLite has the writer that commits copy the pages, and wait until
    they are on the disk, which takes longer than all the rest of a batch of clips.

    A thread exists only while there is something to copy. What is committed is as durable as before: SQLite flushes the
    log to the disk when a checkpoint begins, which is still after every thousand rows or so.
    """

    def __init__(self, file: Path) -> None:
        self._uri = f"{file.absolute().as_uri()}?mode=rw"  # a file that was removed is not made again
        self._changing = threading.Lock()
        self._rows = 0
        self._is_long = False
        self._thread: threading.Thread | None = None

    def written(self, rows: int) -> None:
        """A transaction that changed so many rows is over."""
        with self._changing:
            self._rows += rows
            if self._is_due() and self._thread is None:
                self._thread = threading.Thread(target=self._copy, name="sqlite-checkpoints", daemon=True)
                self._thread.start()

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
            with closing(sqlite3.connect(self._uri, uri=True, isolation_level=None)) as connection:
                while self._take():
                    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    self._is_long = pages >= LONG_PAGES
        except sqlite3.Error:
            # As SQLite itself does: the log keeps what was not copied, and whoever commits next tries again.
            with self._changing:
                self._thread, self._is_long = None, False

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

"""Saves snapshots of the index view on a thread of its own, so that the loop that keeps it goes on reading."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ranking.vectors.view import IndexView
from ranking.views.periodic import every
from schemas.errors import RetriableError, SnapshotNotWritten
from schemas.observation import Observer

log = logging.getLogger(__name__)


class Saver:
    """Saves one index view, and reports the snapshots that could not be written."""

    def __init__(self, index: IndexView, folder: Path, observer: Observer) -> None:
        self._index, self._folder, self._observer = index, folder, observer
        self._has_failed = False

    def save(self) -> None:
        """Save a snapshot if one is needed. The view answers without one, only the next start takes longer."""
        try:
            self._index.save(self._folder)
        except SnapshotNotWritten as error:
            self._has_failed = True
            log.warning("no snapshot was written: %s", error)
            self._observer.snapshot_failed()
        except RetriableError as error:
            log.warning("the state of the index was not saved: %s", error)
        else:
            if self._has_failed:
                self._has_failed = False
                log.info("a snapshot was written again")


@contextmanager
def saving(
    index: IndexView, folder: Path, observer: Observer, *, interval_s: float, last_call_s: float
) -> Iterator[None]:
    """Save every ``interval_s`` and at the end of the context, for which that waits ``last_call_s`` at most.

    Enter it before the loop that keeps the view starts: then the last snapshot has all that the loop applied.
    """
    saver = Saver(index, folder, observer)
    with every(interval_s, saver.save, name="index-snapshots", last_call_s=last_call_s, finally_do=saver.save):
        yield

"""Reports what the indexes of a serving process hold, so that no generation is activated that it does not hold."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from ranking.database.connection import Database
from ranking.scores.generations import Generations
from ranking.serving.replicas import Replicas, ReplicaState
from ranking.vectors.view import IndexView
from ranking.views.periodic import every
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.observation import Observer

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0


class ServingReport:
    """Writes what ``index`` holds to the table of replicas, and drops retired generations from it."""

    def __init__(
        self, replica: str, index: IndexView, caught_up: Callable[[], bool], database: Database, observer: Observer
    ) -> None:
        """``replica``: name of this process among those on ``database``."""
        self._replica = replica
        self._index = index
        self._caught_up = caught_up
        self._generations, self._replicas = Generations(database), Replicas(database)
        self._observer = observer
        self._is_reported = True

    def report(self) -> None:
        """Report once; call it periodically. While the database fails nothing changes, and the first failure is
        logged as a warning.
        """
        try:
            self._index.retire(self._generations.retired())
            state = ReplicaState(self._replica, self._index.generations(), self._caught_up())
            self._replicas.report(state)
            self._observer.active_generation(self._generations.active())
        except (StoreUnavailable, StoreRefused) as error:
            if self._is_reported:
                log.warning("%s cannot report its generations: %s", self._replica, error)
            self._is_reported = False
        else:
            self._is_reported = True

    @contextmanager
    def periodically(self) -> Iterator[None]:
        """Report every second while the context lasts, and take this process off the list at its end."""
        with closing(self), every(_INTERVAL_S, self.report, name="serving-report", at_once=True):
            yield

    def close(self) -> None:
        """Take this process off the list."""
        try:
            self._replicas.leave(self._replica)
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("%s stays in the table of replicas until it expires: %s", self._replica, error)

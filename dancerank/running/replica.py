"""A process that answers, and the threads that keep its views."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService
from ranking.vectors.view import IndexView
from ranking.views.loop import LoopThread, ViewLoop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replica:
    """A process that answers. ``loops`` feed the views here; the index is always one of them. ``events``: what is
    scored and decided from now on.
    """

    service: RankingService
    database: Database
    store: ScoreStore
    index: IndexView
    loops: Sequence[LoopThread]
    events: Broadcast


@contextmanager
def in_thread(loop: ViewLoop[Any], name: str, within_s: float) -> Iterator[LoopThread]:
    """Run a loop beside the caller; at the end it has ``within_s`` seconds to finish its batch and its maintenance."""
    thread = LoopThread(loop, name=name)
    thread.start()
    try:
        yield thread
    finally:
        if not thread.stop(within_s):
            log.warning("%s was still busy after %s s; it continues from its last position", name, within_s)

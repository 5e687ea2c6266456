"""Fills an index again whose file was damaged, from the log, while the others answer."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry
from ranking.views.loop import LoopThread, ViewLoop
from schemas.ports import Refusal, ScoredRecord, TopicPartition, View

log = logging.getLogger(__name__)

MakeLoop = Callable[[View[LogEntry], Callable[[], None]], ViewLoop[LogEntry]]
"""Makes a loop of a view that reads all scored clips from the beginning, with what to call between steps."""


class Refill:
    """``schemas.ports.View`` that gives the records of an index view to its incomplete indexes; it starts without
    positions, and reads the log once.
    """

    def __init__(self, index: IndexView) -> None:
        self._index = index
        self._positions: dict[TopicPartition, int] = {}

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {at: self._positions[at] for at in partitions if at in self._positions}

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        self._index.refill([entry for entry in entries if isinstance(entry, ScoredRecord)])
        self._positions |= {at: max(offset, self._positions.get(at, 0)) for at, offset in positions.items()}
        return []


@contextmanager
def rebuilding(index: IndexView, make_loop: MakeLoop, within_s: float) -> Iterator[None]:
    """Read the log on a thread until no index of the view is incomplete, or the context ends; then wait ``within_s``
    seconds at most. Nothing is done if none is.

    It is read to where it ended when the reading began. That is enough: the view gives later records to every index.
    """
    if not index.incomplete():
        yield
        return
    ended = threading.Event()

    def end_if_complete() -> None:
        if loop.caught_up and not ended.is_set():
            index.finish_refilling()
            ended.set()
            thread.end()

    loop = make_loop(Refill(index), end_if_complete)
    thread = LoopThread(loop, name="index-rebuilding", on_failure=index.refilling_failed)
    thread.start()
    try:
        yield
    finally:
        if not thread.stop(within_s):
            log.warning("an index was still being rebuilt after %s s; the next start begins again", within_s)

"""Threads that measure the lag of a process's loops: they ask Kafka and the views, and no loop is in their way."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from ranking.views.known_positions import KnownPositions
from ranking.views.loop import ViewLoop
from ranking.views.periodic import every
from schemas.clock import Clock
from schemas.observation import Observer
from transport.broker_offsets import KafkaOffsets
from transport.connection import KafkaConnection
from transport.lag_monitor import MEASURE_INTERVAL_S, LagMonitor, Reader

_ASK_VIEW_INTERVAL_S: Final = 1.0
_LAST_ANSWER_S: Final = 1.0
"""For an answer that is under way at the end: a broker or database that hangs must not hold up the end."""


class Readers:
    """The loops of one process, to be ``measured`` together."""

    def __init__(self, connection: KafkaConnection, observer: Observer, clock: Clock) -> None:
        self._connection, self._observer, self._clock = connection, observer, clock
        self._readers: list[Reader] = []
        self._known: list[KnownPositions] = []

    def add(self, reader: Reader) -> None:
        """A loop whose position is committed in Kafka."""
        self._readers.append(reader)

    def add_view(self, loop: ViewLoop[Any], topics: Sequence[str], group: str | None) -> None:
        """A loop whose position is kept by its view."""
        known = KnownPositions(loop.positions)
        self._known.append(known)
        self._readers.append(Reader(topics, group, loop.progress, known.position))

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure until the context ends."""
        monitor = LagMonitor(KafkaOffsets(self._connection), self._readers, self._observer, self._clock)
        with ExitStack() as stack:
            for known in self._known:
                stack.enter_context(
                    every(_ASK_VIEW_INTERVAL_S, known.ask, name="view-positions", last_call_s=_LAST_ANSWER_S)
                )
            stack.enter_context(
                every(
                    MEASURE_INTERVAL_S,
                    monitor.measure,
                    name="lag-monitor",
                    at_once=True,
                    last_call_s=_LAST_ANSWER_S,
                    finally_do=monitor.close,
                )
            )
            yield

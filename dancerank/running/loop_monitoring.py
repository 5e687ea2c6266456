"""Threads that watch the loops of a process from outside: they ask Kafka and the database, and wait for no loop."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Protocol

from ranking.database.probe import Probe
from ranking.views.known_positions import KnownPositions
from ranking.views.loop import ViewLoop
from ranking.views.periodic import every
from schemas.clock import Clock
from schemas.observation import Observer
from schemas.questions.readiness import ProcessState, Reason, WaitsFor
from transport.broker_offsets import KafkaOffsets
from transport.connection import KafkaConnection
from transport.lag_monitor import MEASURE_INTERVAL_S, LagMonitor, Reader
from transport.reading_readiness import ReadingReadiness

_PROBE_INTERVAL_S: Final = 1.0
_LAST_ANSWER_S: Final = 1.0
"""For an answer that is under way at the end: a broker or database that hangs must not hold up the end."""
_STARTING: Final = Reason(WaitsFor.START, "it is starting")


class Loop(Protocol):
    """What does the work of a process."""

    @property
    def waiting_for(self) -> str | None: ...

    @property
    def interrupted_s(self) -> float: ...


class MonitoredLoops:
    """The loops of one process. Their lag is measured, and whether they work is known, while ``monitored``."""

    def __init__(self, connection: KafkaConnection, observer: Observer, clock: Clock) -> None:
        self._connection, self._observer, self._clock = connection, observer, clock
        self._loops: list[Loop] = []
        self._readers: list[Reader] = []
        self._positions: list[Probe[Any]] = []
        self._reasons: list[Callable[[], Iterable[Reason]]] = []
        self._reading: ReadingReadiness | None = None

    def add(self, loop: Loop, reader: Reader, reasons: Callable[[], Iterable[Reason]]) -> None:
        """A loop whose position is committed in Kafka; ``reasons``: what else it may wait for."""
        self._loops.append(loop)
        self._readers.append(reader)
        self._reasons.append(reasons)

    def add_view(self, loop: ViewLoop[Any], topics: Sequence[str], group: str) -> None:
        """A loop whose position is kept in the database."""
        self._reasons.append(self._add_view(loop, topics, group).reasons)

    def add_index(self, loop: ViewLoop[Any], topics: Sequence[str]) -> None:
        """A loop whose position is kept in memory."""
        self._add_view(loop, topics, None)

    @property
    def interrupted_s(self) -> float:
        """Seconds since the first of the loops that do not work was interrupted; 0 while all work."""
        return max((loop.interrupted_s for loop in self._loops), default=0.0)

    def reasons(self) -> Iterator[Reason]:
        """What the loops wait for."""
        if self._reading is None:
            yield _STARTING
            return
        for loop in self._loops:
            if (interruption := loop.waiting_for) is not None:
                yield Reason(WaitsFor.RECONNECTION, interruption)
        yield from self._reading.kafka()
        yield from self._reading.partitions(self._readers)
        yield from self._reading.steps(self._readers)
        for reasons in self._reasons:
            yield from reasons()

    def unread(self) -> Iterator[Reason]:
        """Partitions that loops without a group do not read."""
        if self._reading is not None:
            yield from self._reading.partitions([each for each in self._readers if each.group is None])

    def waits_for(self) -> Iterator[Reason]:
        """The reasons that do not keep this process from answering: all but ``unread`` and the database."""
        if self._reading is not None:
            yield from self._reading.kafka()
            yield from self._reading.partitions([each for each in self._readers if each.group is not None])
            yield from self._reading.steps(self._readers)

    @contextmanager
    def monitored(self, *probes: Probe[Any]) -> Iterator[None]:
        """Monitor until the context ends, and have ``probes`` ask, too."""
        monitor = LagMonitor(KafkaOffsets(self._connection), self._readers, self._observer, self._clock)
        self._reading = ReadingReadiness(monitor, self._clock)
        with ExitStack() as stack:
            for name, asked in [("view-positions", each) for each in self._positions] + [
                ("database-probe", each) for each in probes
            ]:
                stack.enter_context(
                    every(_PROBE_INTERVAL_S, asked.ask, name=name, at_once=True, last_call_s=_LAST_ANSWER_S)
                )
            measuring = every(
                MEASURE_INTERVAL_S,
                monitor.measure,
                name="lag-monitor",
                at_once=True,
                last_call_s=_LAST_ANSWER_S,
                finally_do=monitor.close,
            )
            stack.enter_context(measuring)
            yield

    def _add_view(self, loop: ViewLoop[Any], topics: Sequence[str], group: str | None) -> Probe[Any]:
        self._loops.append(loop)
        known = KnownPositions(loop.positions, self._clock)
        self._positions.append(known.probe)
        self._readers.append(Reader(topics, group, loop.progress, known.position))
        return known.probe


def state_of(parts: Sequence[MonitoredLoops]) -> ProcessState:
    """Whether a process works that consists of ``parts``: ready once there are any, unless one of them waits."""
    if not parts:
        return ProcessState(ready=False, reasons=[_STARTING], interrupted_s=0.0)
    reasons = [reason for part in parts for reason in part.reasons()]
    return ProcessState(not reasons, reasons, max(part.interrupted_s for part in parts))

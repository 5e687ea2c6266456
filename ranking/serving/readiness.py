"""Whether a serving process works, and whether requests should be sent to it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ranking.database.probe import Probe
from ranking.scores.store import ScoreStore
from ranking.vectors.view import IndexView
from ranking.views.loop import LoopThread
from schemas.clock import Clock
from schemas.questions.readiness import ProcessState, Reason, WaitsFor

Reasons = Callable[[], Iterable[Reason]]


@dataclass(frozen=True)
class Readiness:
    """Whether to send requests here; if not, why. ``waiting``: what is missing although it can answer."""

    ready: bool
    reasons: list[str]
    waiting: list[str]


class ServingReadiness:
    """Ready once every loop has caught up, all partitions are read, the database answers, and the index holds the
    active generation. What is held can be asked for while Kafka does not answer: that is waited for meanwhile.
    """

    def __init__(
        self,
        store: ScoreStore,
        index: IndexView | None,
        loops: Sequence[LoopThread],
        clock: Clock,
        *,
        unread: Reasons = tuple,
        waits_for: Reasons = tuple,
        is_probed: bool = False,
    ) -> None:
        """``unread``: partitions that are not read here. ``waits_for``: what else does not answer. ``is_probed``:
        whether a thread has ``probe`` ask; otherwise it asks whenever readiness is looked up.
        """
        self._store = store
        self._index = index
        self._loops = loops
        self._unread, self._waits_for = unread, waits_for
        self.probe = Probe(self._active_and_scored, clock)
        """Asks the database for what readiness depends on."""
        self._is_probed = is_probed

    @property
    def is_healthy(self) -> bool:
        """Whether no loop has ended; otherwise the process has to be restarted."""
        return all(thread.failure is None for thread in self._loops)

    def state(self) -> ProcessState:
        """Readiness by reason, for metrics."""
        reasons, waiting = list(self._reasons()), list(self._waiting())
        interrupted_s = max((thread.loop.interrupted_s for thread in self._loops), default=0.0)
        return ProcessState(not reasons, [*reasons, *waiting], interrupted_s)

    def check(self) -> Readiness:
        """Readiness in sentences."""
        reasons, waiting = list(self._reasons()), list(self._waiting())
        return Readiness(not reasons, [each.sentence for each in reasons], [each.sentence for each in waiting])

    def _reasons(self) -> Iterator[Reason]:
        if not self.is_healthy:
            yield Reason(WaitsFor.RESTART, "a loop has ended; start the process again")
        if not all(thread.loop.caught_up for thread in self._loops):
            yield Reason(WaitsFor.LOG, "the log of scored clips has not been read to its end yet")
        for thread in self._loops:
            if (said := thread.loop.undecided) is not None:
                yield Reason(WaitsFor.DECISION, said)
        yield from self._unread()
        if not self._is_probed:
            self.probe.ask()
        yield from self.probe.reasons()
        active, is_scored = self.probe.found().answer or (None, False)
        if self._index is not None and is_scored and active not in self._index.generations():
            yield Reason(WaitsFor.GENERATION, f"generation {active} is active and not indexed here yet")

    def _waiting(self) -> Iterator[Reason]:
        for thread in self._loops:
            if (said := thread.loop.waiting_for) is not None:
                yield Reason(WaitsFor.RECONNECTION, said)
        yield from self._waits_for()
        for said in () if self._index is None else self._index.incomplete():
            yield Reason(WaitsFor.LOG, said)

    def _active_and_scored(self) -> tuple[str | None, bool]:
        """The active generation, and whether any clip is scored under it."""
        active = self._store.active_generation()
        return active, active is not None and self._store.has(active)

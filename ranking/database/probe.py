"""Whether the database answers: asked from time to time on one thread, looked up on others."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from schemas.clock import Clock
from schemas.errors import DancerankError, DatabaseBusy, StoreUnavailable
from schemas.questions.readiness import Reason, WaitsFor

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ANSWERED_WITHIN_S: Final = 5.0
"""A database that has answered no question asked within this time does not answer, whether it refuses or hangs."""


class Finding(NamedTuple, Generic[Answer]):
    """The last ``answer``; ``None`` before the first. ``error`` is that of the last question, if it failed."""

    answer: Answer | None
    error: DancerankError | None


class Probe(Generic[Answer]):
    """A question to the database. A database that hangs blocks the thread that asks, and none that looks up."""

    def __init__(self, question: Callable[[], Answer], clock: Clock) -> None:
        self._question = question
        self._clock = clock
        self._asking = threading.Lock()
        self._finding: Finding[Answer] = Finding(None, None)
        self._answered_s = clock.monotonic_s()

    def ask(self) -> None:
        """Ask, unless another thread waits for the answer already."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            asked_s = self._clock.monotonic_s()
            try:
                answer = self._question()
            except DancerankError as error:
                if self._finding.error is None:
                    log.warning("the database is not usable: %s", error)
                self._finding = Finding(self._finding.answer, error)
            else:
                self._finding, self._answered_s = Finding(answer, None), asked_s
        finally:
            self._asking.release()

    def found(self) -> Finding[Answer]:
        """What came of the last question that is not under way."""
        return self._finding

    def reasons(self) -> Iterator[Reason]:
        """What is wrong with the database; nothing while it answers."""
        error, silent_s = self._finding.error, self._clock.monotonic_s() - self._answered_s
        if error is None and silent_s <= ANSWERED_WITHIN_S:
            return
        match error:
            case DatabaseBusy():
                said = f"every connection to the database is in use ({error.code})"
            case StoreUnavailable():
                said = f"the database does not answer ({error.code})"
            case None:
                said = f"the database has not answered for {silent_s:.0f} s"
            case _:
                said = f"the database cannot be used ({error.code}); the log says why"
        yield Reason(WaitsFor.DATABASE, said)

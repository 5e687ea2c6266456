"""Waiting for a broker, database or feature store that does not answer, and reconnecting once it does."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from schemas.clock import Clock
from schemas.errors import KafkaRefused, MembershipLost, RetriableError, TransportError
from schemas.observation import Observer
from schemas.ports import RecordSource

log = logging.getLogger(__name__)

_WARNING_INTERVAL_S: Final = 60.0


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds before the next attempt: ``first_s``, then twice as long after each failure, at most ``longest_s``.

    Each wait is shortened by a random share of up to ``jitter``, 0 to 1: processes that failed together do not all
    return at the same moment.
    """

    first_s: float = 0.2
    longest_s: float = 10.0
    jitter: float = 0.25


_DEFAULTS: Final = Waits()


class Closable(Protocol):
    def close(self) -> None: ...


class Reconnecting:
    """Keeps a loop alive through outages: after a retriable error it waits, reconnects and continues. What Kafka
    refuses (``KafkaRefused``) ends a loop that never worked; one that did waits likewise, and logs it as an error.

    Waits grow with every failure, whatever failed, until ``succeeded`` is called. Only a member that its group has
    given up rejoins at once, if nothing else has failed since the last success. An outage is logged when it begins, at
    most once a minute while it lasts, and when it is over.

    ``disconnect`` closes what is open and never raises; ``connect`` opens it again and leaves nothing open when it
    raises. ``position`` names, for the log, where the loop continues after that.
    """

    def __init__(
        self,
        observer: Observer,
        clock: Clock,
        *,
        disconnect: Callable[[], object],
        connect: Callable[[], object],
        position: str,
        waits: Waits = _DEFAULTS,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._disconnect, self._connect = disconnect, connect
        self._position = position
        self._waits = waits
        self._wait_s = waits.first_s
        self._error: RetriableError | KafkaRefused | None = None
        self._has_worked = False
        self._failures = 0
        self._began_s = self._warned_s = 0.0

    @property
    def error(self) -> RetriableError | KafkaRefused | None:
        """What failed last, if nothing has succeeded since."""
        return self._error

    @property
    def is_waiting(self) -> bool:
        """Whether something failed since the last success."""
        return self._error is not None

    @property
    def interrupted_s(self) -> float:
        """Seconds since the first failure after the last success; 0 while it works."""
        return 0.0 if self._error is None else max(0.0, self._clock.monotonic_s() - self._began_s)

    def waits_for(self, source: RecordSource) -> str | None:
        """What the loop cannot continue without; ``None`` while it works or is idle. ``source`` is what it reads."""
        if (error := self._error) is not None:
            return f"{error} ({error.code})"
        return "Kafka does not answer" if source.is_unreachable else None

    def run(self, step: Callable[[], object], stop: threading.Event) -> None:
        """Call ``step`` until ``stop`` is set, reconnecting after each error that may pass; others are raised."""
        while not stop.is_set():
            try:
                step()
            except (RetriableError, KafkaRefused) as error:
                self._check_may_pass(error)
                self.reconnect(error, stop)

    def reconnect(self, error: RetriableError | KafkaRefused, stop: threading.Event) -> None:
        """Disconnect, then wait and connect until that works or ``stop`` is set. Raises an error that is final."""
        self._disconnect()
        if stop.is_set():
            log.warning("%s (%s); stopping, the next start continues from %s", error, error.code, self._position)
            return
        self._observer.interrupted(error.code)
        while not self.wait(error, stop, f"reconnects and continues from {self._position}"):
            try:
                self._connect()
            except (RetriableError, KafkaRefused) as failure:
                self._check_may_pass(failure)
                error = failure
            else:
                return

    def worked(self) -> None:
        """The loop came to read: from now on what Kafka refuses is waited for."""
        self._has_worked = True

    def _check_may_pass(self, error: RetriableError | KafkaRefused) -> None:
        if isinstance(error, KafkaRefused) and not self._has_worked:
            raise error

    def wait(self, error: RetriableError | KafkaRefused, stop: threading.Event, next_step: str = "tries again") -> bool:
        """Wait before the attempt that follows ``error``; whether ``stop`` was set meanwhile."""
        wait_s, now_s = self._wait_s, self._clock.monotonic_s()
        if isinstance(error, MembershipLost) and self._error is None:
            wait_s = 0.0
        else:
            wait_s *= 1 - self._waits.jitter * random.random()
            self._wait_s = min(2 * self._wait_s, self._waits.longest_s)
        if self._error is None:
            self._began_s, self._failures = now_s, 0
        self._error = error
        self._failures += 1
        if self._failures == 1 or now_s - self._warned_s >= _WARNING_INTERVAL_S:
            self._warned_s = now_s
            level = logging.ERROR if isinstance(error, KafkaRefused) else logging.WARNING
            log.log(level, "%s (%s); %s in %.1f s (failure %d)", error, error.code, next_step, wait_s, self._failures)
        return stop.wait(wait_s)

    def succeeded(self) -> None:
        """Something was done that needs all that may fail: nothing is waited for, and the next wait is short again."""
        self._has_worked = True
        if self._error is None:
            return
        log.info("works again after %d failures in %.1f s", self._failures, self._clock.monotonic_s() - self._began_s)
        self._error, self._wait_s = None, self._waits.first_s


def close_quietly(*ends: Closable) -> None:
    """Close each; an end that does not close cleanly is logged and keeps no other open."""
    for end in ends:
        try:
            end.close()
        except (TransportError, KafkaRefused) as error:
            log.warning("%s", error)

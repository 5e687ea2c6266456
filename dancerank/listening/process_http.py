"""``/metrics``, ``/healthz`` and ``/readyz`` of a process that has no HTTP API."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from dancerank.listening.connections import ConnectionLimits
from dancerank.listening.ports import bound
from dancerank.listening.serving import answer_on_thread
from exporters.prometheus import PrometheusObserver
from ranking.serving.api.process_app import create_process_app
from schemas.readiness import ProcessState, Reason, WaitsFor

log = logging.getLogger(__name__)

_LIMITS: Final = ConnectionLimits(connections=64)


class _Works(Protocol):
    @property
    def waiting_for(self) -> str | None: ...

    @property
    def interrupted_s(self) -> float: ...


class Watched:
    """Whether a process is ready: once it has started, unless the part that works, or what it needs, is waited for."""

    def __init__(self) -> None:
        self._part: _Works | None = None
        self._needs: Callable[[], Iterable[Reason]] = tuple

    def started(self, part: _Works, needs: Callable[[], Iterable[Reason]] = tuple) -> None:
        """The process has started, and ``part`` does its work; ``needs`` gives what does not answer."""
        self._part, self._needs = part, needs

    def state(self) -> ProcessState:
        """Readiness by reason, for metrics."""
        if self._part is None:
            return ProcessState(ready=False, reasons=[Reason(WaitsFor.START, "it is starting")], interrupted_s=0.0)
        interruption = self._part.waiting_for
        reasons = [] if interruption is None else [Reason(WaitsFor.RECONNECTION, interruption)]
        reasons += self._needs()
        return ProcessState(not reasons, reasons, self._part.interrupted_s)

    def waiting(self) -> list[str]:
        """What is waited for, in sentences."""
        return [reason.sentence for reason in self.state().reasons]


@contextmanager
def metrics(observer: PrometheusObserver, process: str, host: str, port: int, setting: str) -> Iterator[Watched]:
    """Serve ``/metrics`` and ``/readyz`` of a process that has no HTTP API, on the port that ``setting`` of the group
    gives; 0: none. Report the part that does the work by ``started``.
    """
    watched = Watched()
    observer.watch(process, watched.state)
    if port == 0:
        yield watched
        return
    with bound(host, port, setting, otherwise=" or 0 for none") as taken:
        app = create_process_app(observer.render, watched.waiting, observer)
        stop = answer_on_thread(app, taken, limits=_LIMITS, observer=observer)
        log.info("metrics on http://%s:%d/metrics", host, port)
        try:
            yield watched
        finally:
            stop()

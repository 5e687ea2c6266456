"""``/metrics``, ``/healthz`` and ``/readyz`` of a process that has no HTTP API."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from dancerank.listening.connections import ConnectionLimits
from dancerank.listening.ports import bound
from dancerank.listening.serving import answer_on_thread
from exporters.prometheus import PrometheusObserver
from ranking.serving.api.process_app import create_process_app

log = logging.getLogger(__name__)

_LIMITS: Final = ConnectionLimits(connections=64)


class _Waits(Protocol):
    @property
    def waiting_for(self) -> str | None: ...


class Watched:
    """Whether a process is ready: once it has started, unless the part that works waits for something."""

    def __init__(self) -> None:
        self._part: _Waits | None = None

    def started(self, part: _Waits) -> None:
        """The process has started, and ``part`` does its work."""
        self._part = part

    def waiting(self) -> list[str]:
        if self._part is None:
            return ["it is starting"]
        reason = self._part.waiting_for
        return [] if reason is None else [reason]


@contextmanager
def metrics(observer: PrometheusObserver, host: str, port: int, setting: str) -> Iterator[Watched]:
    """Serve ``/metrics`` and ``/readyz`` of a process that has no HTTP API, on the port that ``setting`` of the group
    gives; 0: none. Report the part that does the work by ``started``.
    """
    watched = Watched()
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

"""``/metrics``, ``/healthz`` and ``/readyz`` of a process that has no HTTP API."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dancerank.listening.connections import ConnectionLimits
from dancerank.listening.ports import bound
from dancerank.listening.serving import answer_on_thread
from exporters.prometheus import PrometheusObserver
from ranking.serving.api.process_app import create_process_app
from schemas.questions.readiness import ProcessState

log = logging.getLogger(__name__)

_LIMITS: Final = ConnectionLimits(connections=64)


@contextmanager
def metrics(
    observer: PrometheusObserver, process: str, host: str, port: int, setting: str, state: Callable[[], ProcessState]
) -> Iterator[None]:
    """Serve ``/metrics`` and ``/readyz`` of a process that has no HTTP API, on the port that ``setting`` of the group
    gives; 0: none. ``state`` is asked for its readiness at each scrape and question.
    """
    observer.watch(process, state)
    if port == 0:
        yield
        return
    with bound(host, port, setting, otherwise=" or 0 for none") as taken:
        app = create_process_app(observer.render, lambda: [each.sentence for each in state().reasons], observer)
        stop = answer_on_thread(app, taken, limits=_LIMITS, observer=observer)
        log.info("metrics on http://%s:%d/metrics", host, port)
        try:
            yield
        finally:
            stop()

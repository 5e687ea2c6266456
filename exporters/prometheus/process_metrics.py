"""Whether a process does its work, asked of it at each scrape: a loop that stands still reports nothing by itself."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry

from exporters.prometheus import definitions
from schemas.questions.readiness import ProcessState, WaitsFor

State = Callable[[], ProcessState]


class ProcessMetrics:
    """Readiness, what is waited for, and interruptions that go on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ready = definitions.READY.create(registry)
        self._waiting = definitions.WAITING.create(registry)
        self._interrupted_s = definitions.INTERRUPTED_S.create(registry)

    def watch(self, process: str, state: State) -> None:
        self._ready.labels(process).set_function(lambda: float(state().ready))
        self._interrupted_s.labels(process).set_function(lambda: state().interrupted_s)
        for reason in WaitsFor:
            self._waiting.labels(process, reason).set_function(partial(_waits_for, reason, state))


def _waits_for(reason: WaitsFor, state: State) -> float:
    return float(any(each.waits_for == reason for each in state().reasons))

"""Kills workers at random moments and starts them again, until all uploads are through."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.faults.processes import Worker
from tests.waiting import STANDSTILL_S, wait_until, watching

WATCH_S = 0.05


@dataclass
class Killer:
    """Kills one of ``workers`` about every ``every_s``, whatever it is doing, its start included.

    ``recoveries_s`` holds, by role, the time from each kill until the worker, started again at once, made progress; of
    those that were killed again before, nothing.
    """

    workers: Sequence[Worker]
    every_s: float
    random: Random
    kills: int = 0
    recoveries_s: dict[str, list[float]] = field(default_factory=dict)
    _watched: dict[str, float] = field(default_factory=dict)

    def run(self, most: int, is_done: Callable[[], bool]) -> None:
        """Until ``most`` kills, or until ``is_done``."""
        next_s = time.monotonic()
        while self.kills < most and not is_done():
            next_s += self.random.uniform(0.0, 2 * self.every_s)
            while time.monotonic() < next_s:
                self._watch()
                time.sleep(WATCH_S)
            victim = self.random.choice(list(self.workers))
            victim.kill()
            self._watched[victim.name] = time.monotonic()
            victim.start()
            self.kills += 1

    def _watch(self) -> None:
        for worker in self.workers:
            if worker.name not in self._watched:
                continue
            if not worker.is_alive():
                raise RuntimeError(f"{worker.name} did not start again:\n{worker.log()[-3000:]}")
            if worker.progress():
                took_s = time.monotonic() - self._watched.pop(worker.name)
                self.recoveries_s.setdefault(worker.name.rstrip("0123456789-"), []).append(took_s)


def await_all(is_done: Callable[[], bool], workers: Sequence[Worker], *, standstill_s: float = STANDSTILL_S) -> None:
    """Return when ``is_done``; raise if a worker ended by itself, or none made progress for ``standstill_s``."""

    def check() -> None:
        for worker in workers:
            if not worker.is_alive():
                raise RuntimeError(f"{worker.name} ended:\n{worker.log()[-3000:]}")

    wait_until(
        is_done,
        watching(check),
        what="not everything was processed",
        progress=lambda: [worker.progress() for worker in workers],
        standstill_s=standstill_s,
    )


class Cached:
    """A condition that is asked at most every ``every_s``, from any thread; once true it stays so."""

    def __init__(self, condition: Callable[[], object], every_s: float) -> None:
        self._condition, self._every_s = condition, every_s
        self._asked_s, self._answer = 0.0, False
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        with self._lock:
            if not self._answer and time.monotonic() - self._asked_s >= self._every_s:
                self._answer, self._asked_s = bool(self._condition()), time.monotonic()
            return self._answer

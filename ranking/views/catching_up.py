"""Says how much of the log a view still has to read after its start."""

import logging
from collections.abc import Mapping
from typing import Final

from schemas.clock import Clock
from schemas.ports import TopicPartition

log = logging.getLogger(__name__)

LINES_EVERY_S: Final = 10.0


class CatchingUp:
    """A line in the log when ``view`` begins to read, one every ten seconds, and one when it has read everything."""

    def __init__(self, view: str, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._began_s: float | None = None
        self._written_s = 0.0

    def report(self, targets: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]) -> None:
        """``targets``: the ends that are not reached yet."""
        now_s = self._clock.monotonic_s()
        if not targets:
            if self._began_s is not None:
                log.info("%s has read what was in the log, after %.0f s", self._view, now_s - self._began_s)
                self._began_s = None
            return
        if self._began_s is None:
            self._began_s = now_s
        elif now_s - self._written_s < LINES_EVERY_S:
            return
        self._written_s = now_s
        left = sum(end - positions.get(at, 0) for at, end in targets.items())
        log.info("%s reads the log: %d records in %d partitions are left", self._view, left, len(targets))

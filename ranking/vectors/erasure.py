"""When what snapshots still hold of deleted clips has to leave the disk."""

from typing import Final

from schemas.clock import Clock

ERASE_WITHIN_S: Final = 86_400.0
ERASE_AT_ONCE_BYTES: Final = 16 * 1024 * 1024


class Erasure:
    """When the first deletion since the last erasure was (``since_ms``), and how many erasures there were (``count``).

    A snapshot lists a deleted clip no more, but the segments and logs that it shares with those before it may still
    have its bytes. To write them again costs as much as there is, so that it is done once for all deletions of a while;
    at once where there is little to write.
    """

    def __init__(self, clock: Clock, within_s: float, at_once_bytes: int) -> None:
        self._clock, self._within_ms, self._at_once_bytes = clock, 1000 * within_s, at_once_bytes
        self.since_ms: int | None = None
        self.count = 0
        self._begun: int | None = None

    def need(self) -> None:
        """A clip that was held is deleted."""
        if self.since_ms is None:
            self.since_ms = self._clock.now_ms()

    def is_due(self, vectors_bytes: int) -> bool:
        """Whether the next snapshot has to be without anything of a deleted clip. ``vectors_bytes``: of all held."""
        if self.since_ms is None:
            return False
        return vectors_bytes <= self._at_once_bytes or self._clock.now_ms() - self.since_ms >= self._within_ms

    def begin(self) -> None:
        """Everything that was deleted until now is being erased."""
        self._begun, self.since_ms = self.since_ms, None
        self.count += 1

    def finish(self) -> None:
        """It is."""
        self._begun = None

    def give_up(self) -> None:
        """It could not be."""
        if self._begun is not None:
            self.since_ms, self._begun = self._begun, None
            self.count -= 1

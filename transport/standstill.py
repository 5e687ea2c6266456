"""Whether records wait that a client does not give: Kafka's may wait without a limit for an answer that was lost."""

import time
from collections.abc import Mapping
from typing import Final

from schemas.ports import TopicPartition

STANDSTILL_S: Final = 10.0
"""Time between two looks for records that are there and not read."""


class Standstill:
    """Compares positions of two looks. Not thread-safe."""

    def __init__(self) -> None:
        self._looked_s = time.monotonic()
        self._waiting: dict[TopicPartition, int] = {}

    def forget(self) -> None:
        """Partitions were paused or assigned: the next look is the first."""
        self._waiting = {}

    def is_due(self) -> bool:
        """Whether it is time for another look; says so once."""
        if time.monotonic() - self._looked_s < STANDSTILL_S:
            return False
        self._looked_s = time.monotonic()
        return True

    def look(self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """Partitions of which nothing was read since the last look, though records waited then and do now."""
        now = {at: position for at, position in positions.items() if ends.get(at, 0) > position}
        stuck = sorted(at for at, position in now.items() if self._waiting.get(at) == position)
        self._waiting = now
        return stuck

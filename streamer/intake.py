"""When the streamer looks for uploads, and how many it takes on: reading pauses while limits are reached."""

import math
from typing import Final

from schemas.ports import RecordSource
from streamer.offset_tracker import OffsetTracker
from streamer.prefetch import Prefetcher

RECORDS_PER_POLL: Final = 64
"""So that the first batch need not wait until everything that may be in flight has been taken on."""

_READ_EVERY_S: Final = 0.01
"""While clips are loaded or scored."""

_ANSWER_EVERY_S: Final = 0.1
"""While reading is paused: a poll then only answers the group."""

_HELD_PER_CLIP: Final = 16
"""Results that may wait for an earlier clip to finish, for each that may be in flight; then reading pauses."""


class Intake:
    """Limits the clips in flight to ``max_clips``, those of ``prefetcher``, and the results that ``tracker`` holds."""

    def __init__(self, max_clips: int, prefetcher: Prefetcher, tracker: OffsetTracker) -> None:
        self._max_clips, self._prefetcher, self._tracker = max_clips, prefetcher, tracker
        self._read_at_s = -math.inf
        self.is_paused = False

    def is_time_to_read(self, now_s: float, *, is_busy: bool) -> bool:
        """Looking for uploads takes as long as a small network, and each clip that is loaded ends a wait of the loop;
        so while the streamer ``is_busy`` with others, it looks from time to time.
        """
        every_s = _ANSWER_EVERY_S if self.is_paused and not self._may_resume(self._room()) else _READ_EVERY_S
        if is_busy and 0 <= now_s - self._read_at_s < every_s:
            return False
        self._read_at_s = now_s
        return True

    def records_to_read(self, source: RecordSource) -> int:
        """At most so many; pauses ``source`` where there is room for none, and resumes it at half of the room."""
        room = self._room()
        if not self.is_paused and room <= 0:
            self.is_paused = True
            source.pause()
        elif self.is_paused and self._may_resume(room):
            self.is_paused = False
            source.resume()
        return max(1, min(room, RECORDS_PER_POLL))

    def reconnected(self) -> None:
        """Another source takes the place of the one that was paused."""
        self.is_paused = False

    def _room(self) -> int:
        return min(self._prefetcher.free_slots, _HELD_PER_CLIP * self._max_clips - self._tracker.held)

    def _may_resume(self, room: int) -> bool:
        return room >= min(RECORDS_PER_POLL, self._max_clips / 2)

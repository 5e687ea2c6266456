"""What a view does about records that its topics dropped before it had read them."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from schemas.errors import DeletionsLost
from schemas.observation import Observer
from schemas.ports import LogGap, TopicPartition

log = logging.getLogger(__name__)

Accepted = Callable[[Iterable[TopicPartition]], Mapping[TopicPartition, int]]
"""For those of the partitions that have one, the offset before which an operator accepted that records are missing."""

NOTHING_ACCEPTED: Final[Accepted] = lambda _: {}  # noqa: E731 - a constant


class DroppedRecords:
    """Reports and counts what was dropped; decides whether the view may continue after it.

    It may, except on the topics ``complete``, those of deletions: a view without them shows clips that were deleted.
    There it waits until ``accepted`` says that an operator has accepted the loss.
    """

    def __init__(
        self, observer: Observer, *, complete: Collection[str] = (), accepted: Accepted = NOTHING_ACCEPTED
    ) -> None:
        self._observer = observer
        self._complete = frozenset(complete)
        self._accepted = accepted
        self._reported: dict[TopicPartition, int] = {}

    def take(self, gap: LogGap, *, is_new: bool) -> None:
        """Return if the view may continue after ``gap``. ``is_new``: it has read nothing of the partition yet.

        Raises ``DeletionsLost`` if it may not, and what ``accepted`` raises.
        """
        if gap.at.topic in self._complete:
            if self._accepted([gap.at]).get(gap.at, 0) < gap.start:
                self._report(gap)
                raise DeletionsLost(
                    f"{gap}; clips that they name may still be shown. Send these deletions again from the platform's "
                    "own records, then accept the loss with `dancerank offsets accept-loss`"
                )
            log.warning("%s; an operator has accepted that, and reading continues", gap)
        elif is_new:
            log.warning("%s[%d] begins at offset %d: what stood before is in no view built now", *gap.at, gap.start)
        else:
            self._report(gap)

    def _report(self, gap: LogGap) -> None:
        """Once, however often it is met."""
        new = gap.start - max(gap.position, self._reported.get(gap.at, 0))
        if new > 0:
            log.error(
                "%s; what they say is missing here until it is sent again. Raise retention.ms and retention.bytes of "
                "the topic, so that it keeps records for longer than this process may be stopped",
                gap,
            )
            self._observer.records_lost(gap.at, new)
            self._reported[gap.at] = gap.start

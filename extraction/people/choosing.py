"""Which of several people is the dancer: the largest and most central; and when another one takes the place.

docs/decisions/0040 gives the reasons. Sizes and distances are shares of the picture's, so that the rule does not depend
on its resolution.
"""

from collections.abc import Sequence
from math import hypot
from typing import Final

from extraction.people.detection import Detection
from extraction.people.region import Region

AT_THE_CORNER: Final = 0.25
"""A person in the corner of the picture counts as one of this share of the size in its middle."""
SAME_PLACE: Final = 0.5
"""Two regions whose middles are nearer than this share of the larger side show the same person."""
CHALLENGE_RATIO: Final = 1.5
"""Another person has to be this many times as prominent as the dancer who is followed,"""
CHALLENGE_CHECKS: Final = 4
"""in this many checks in a row, to become the dancer."""


def prominence(region: Region, width: int, height: int) -> float:
    """Size times centrality. The size is the region's side as a share of the picture's shorter side; the centrality
    falls linearly from 1 in the middle of the picture to ``AT_THE_CORNER``.
    """
    from_middle = hypot(region.x - width / 2, region.y - height / 2) / (hypot(width, height) / 2)
    return region.side / min(width, height) * max(AT_THE_CORNER, 1 - (1 - AT_THE_CORNER) * from_middle)


def by_choice(found: Sequence[Detection], width: int, height: int, last: Region | None) -> list[Detection]:
    """The people in the order in which they are taken for the dancer: who is where the dancer was ``last``, the nearest
    first; then the others, the most prominent first.
    """

    def order(each: Detection) -> tuple[bool, float]:
        if last is not None and each.region.distance(last) < SAME_PLACE:
            return False, each.region.distance(last)
        return True, -prominence(each.region, width, height)

    return sorted(found, key=order)


class Challenge:
    """Whether somebody else should be followed. One check decides nothing, so that two people of about the same
    prominence, or one who crosses the picture, do not make the skeleton jump.
    """

    def __init__(self) -> None:
        self._lead: Region | None = None
        self._checks = 0

    def check(self, followed: Region, found: Sequence[Detection], width: int, height: int) -> Region | None:
        """Who takes the dancer's place after this look at the whole picture; ``None``: the dancer stays."""
        bar = CHALLENGE_RATIO * prominence(followed, width, height)
        others = [each for each in found if each.region.distance(followed) >= SAME_PLACE]
        best = max(others, key=lambda each: prominence(each.region, width, height), default=None)
        if best is None or prominence(best.region, width, height) < bar:
            self.reset()
            return None
        same = self._lead is not None and best.region.distance(self._lead) < SAME_PLACE
        self._checks = self._checks + 1 if same else 1
        self._lead = best.region
        if self._checks < CHALLENGE_CHECKS:
            return None
        self.reset()
        return best.region

    def reset(self) -> None:
        """Forget who challenged: the dancer was lost, or the picture was cut."""
        self._lead, self._checks = None, 0

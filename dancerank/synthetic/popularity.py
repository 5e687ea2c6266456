"""How a synthetic clip is received: the counts of Eq. 1, drawn so that its score is affine in the planted virality.

Luck, where a plan has it, comes on top.
"""

from typing import Final, NamedTuple

import numpy as np

from dancerank.synthetic.plan import Plan
from vdv.virality import FEWEST_DAYS, MOST_DAYS

_BASE: Final = (12.0, 10.5, 14.0, 11.0, 13.0, 10.0, 15.0, 12.5)
"""Eq. 1 of a clip of virality 0, by challenge: challenges differ in popularity."""
_SLOPE: Final = 1.5
"""Increase of Eq. 1 per standard deviation of virality."""
_LONGEST_ONLINE: Final = 30
_KINDS: Final = (45.0, 3.0, 2.0)
"""Likes, comments and reposts: parameters of the Dirichlet distribution of their shares."""
_MOST_DOUBLINGS: Final = 24.0
"""Sixteen million times as many: still a count that every reader of JSON holds exactly."""
_VIEWS: Final = (8.0, 40.0)
"""Views for each reaction, from least to most."""


class Reactions(NamedTuple):
    """Counts as the platform shows them, ``days_online`` after the upload."""

    likes: int
    comments: int
    reposts: int
    days_online: int
    views: int


def expected_score(virality: float, challenge: int, plan: Plan) -> float:
    """Eq. 1's raw score of a clip, but for the rounding of counts."""
    return _BASE[challenge] + _SLOPE * virality / plan.spread(challenge)


def draw_luck(plan: Plan, rng: np.random.Generator) -> float:
    """What chance adds to a clip's raw score: its reactions are doubled so many times. Mostly 0."""
    is_lucky, doublings = rng.random() < plan.lucky_share, plan.luck_doublings * rng.exponential()
    return min(doublings, _MOST_DOUBLINGS) if is_lucky else 0.0


def draw_reactions(score: float, rng: np.random.Generator) -> Reactions:
    """Counts whose Eq. 1 comes as near to ``score`` as whole reactions allow; age, kinds and views are by chance."""
    days = int(rng.integers(1, _LONGEST_ONLINE, endpoint=True))
    total = max(round(min(max(days, FEWEST_DAYS), MOST_DAYS) * 2.0**score) - 1, 0)
    likes, comments, reposts = (int(count) for count in rng.multinomial(total, rng.dirichlet(_KINDS)))
    return Reactions(likes, comments, reposts, days, round(total * rng.uniform(*_VIEWS)))

"""Synthetic dance clips with known causes: VDV-shaped features and counts in which every quality was planted.

The *world* (choreographies, what a feature extractor answers to beauty, rooms and outfits) is the same for every seed;
the *people* are not. A dancer has a skill per modality, a way of moving (one of ``MOVEMENT_STYLES``, apart from skill)
and a favourite room; a clip varies around its dancer. Virality is a weighted sum of the clip's four qualities, with
weights that differ between challenges, and the counts of Eq. 1 follow from it. Nuisances carry no signal: camera,
length, tempo, starting point, noise, a face that was not found, a pose that failed.
"""

from dancerank.synthetic.clips import (
    Dancer,
    PlannedClip,
    SyntheticClip,
    film,
    plan_clips,
    planted_direction,
    synthesize,
)
from dancerank.synthetic.plan import CHALLENGES, IMPORTANCE, STANDARD, Plan
from dancerank.synthetic.poses import Causes
from dancerank.synthetic.world import MOVEMENT_STYLES, ROOMS

__all__ = [
    "CHALLENGES",
    "IMPORTANCE",
    "MOVEMENT_STYLES",
    "ROOMS",
    "STANDARD",
    "Causes",
    "Dancer",
    "Plan",
    "PlannedClip",
    "SyntheticClip",
    "film",
    "plan_clips",
    "planted_direction",
    "synthesize",
]

"""Answers about dance tips: where in a challenge, and on which joints, the scores depend most."""

from dataclasses import dataclass
from typing import Final

MAGNITUDE_UNIT: Final = "score per mean absolute deviation"
"""Of every magnitude: ‖g_tj‖ (Eq. 7) times the mean absolute deviation of the joints of its clip."""


@dataclass(frozen=True)
class ChallengeTips:
    """Dance tips of a challenge: which joints deserve attention, and when.

    Both are means of ‖g_tj‖ over ``clips`` clips with guidance. ``temporal`` (B, V) is Eq. (8) by bins of ``bin_s``
    seconds from the start of the clips, each over the ``clips_by_bin`` clips that reach it; ``overall`` (V,) is
    Eq. (9). B: bins; V: ``joints`` of ``layout``, of which ``bones`` connect pairs. With a ``style`` only clips of that
    dance style count.
    """

    challenge_id: str
    generation: str
    clips: int
    layout: str
    joints: list[str]
    bones: list[tuple[int, int]]
    bin_s: float
    clips_by_bin: list[int]
    temporal: list[list[float]]
    overall: list[float]
    unit: str = MAGNITUDE_UNIT
    style: str | None = None


@dataclass(frozen=True)
class OverallTips:
    """``overall`` (V,): Eq. (9) over ``clips`` clips of the challenge."""

    challenge_id: str
    clips: int
    overall: list[float]


@dataclass(frozen=True)
class TipsAnswer:
    """Overall attention of every challenge that has clips with guidance, by the id of the challenge."""

    generation: str
    layout: str
    joints: list[str]
    bones: list[tuple[int, int]]
    challenges: list[OverallTips]
    unit: str = MAGNITUDE_UNIT

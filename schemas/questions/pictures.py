"""Answers as pictures: the port between the HTTP API and what draws them."""

from dataclasses import dataclass
from typing import Final, Protocol

from schemas.modalities import Dimension
from schemas.moments import ClipMoments
from schemas.picture_formats import StillFormat
from schemas.questions.feedback import Skeleton
from schemas.questions.tips import ChallengeTips, TipsAnswer

STRIPS: Final = 5
"""Clips at each end of a ranking, as in the paper's Fig. 9."""


@dataclass(frozen=True)
class ClipStrip:
    """A clip of a ranking; ``skeleton``: ``None`` if it has none, or its features were not kept."""

    clip_id: str
    rank: int
    score: float
    skeleton: Skeleton | None


@dataclass(frozen=True)
class ChallengeStrips:
    """The first and the last of the ``clips`` of a challenge by one dimension, each in the order of their ranks."""

    challenge_id: str
    dimension: Dimension
    clips: int
    best: list[ClipStrip]
    last: list[ClipStrip]


class Drawing(Protocol):
    """Draws answers. Called from several threads at once.

    Each method raises ``NotOffered`` where the package that draws is not installed.
    """

    def tips(self, tips: ChallengeTips, example: ClipStrip | None, format: StillFormat) -> bytes:
        """``example``: a clip of the challenge whose poses stand above the moments that they belong to (Fig. 11a)."""
        ...

    def overall_tips(self, tips: TipsAnswer, format: StillFormat) -> bytes: ...

    def strips(self, strips: ChallengeStrips, format: StillFormat) -> bytes: ...

    def moments(self, moments: ClipMoments, format: StillFormat) -> bytes: ...

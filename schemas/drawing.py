"""Answers as pictures: the port between the HTTP API and what draws them."""

from typing import Literal, Protocol

from schemas.tips import ChallengeTips, TipsAnswer

StillFormat = Literal["png", "svg"]


class Drawing(Protocol):
    """Draws answers. Called from several threads at once.

    Each method raises ``NotOffered`` where the package that draws is not installed.
    """

    def tips(self, tips: ChallengeTips | TipsAnswer, format: StillFormat) -> bytes: ...

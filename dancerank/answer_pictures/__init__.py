"""Answers as pictures (``schemas.questions.pictures.Drawing``), by the functions of ``dancerank.pictures``."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import NotOffered
from schemas.moments import ClipMoments
from schemas.picture_formats import StillFormat
from schemas.questions.pictures import ChallengeStrips, ClipStrip
from schemas.questions.tips import ChallengeTips, TipsAnswer


class Drawings:
    """``schemas.questions.pictures.Drawing``; the package that draws is imported with the first picture."""

    def tips(self, tips: ChallengeTips, example: ClipStrip | None, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.answer_pictures.tips import challenge_picture

            return challenge_picture(tips, example, format)

    def overall_tips(self, tips: TipsAnswer, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.answer_pictures.tips import overall_picture

            return overall_picture(tips, format)

    def strips(self, strips: ChallengeStrips, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.answer_pictures.strips import strips_picture

            return strips_picture(strips, format)

    def moments(self, moments: ClipMoments, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.answer_pictures.moments import moments_picture

            return moments_picture(moments, format)


@contextmanager
def package_that_draws() -> Iterator[None]:
    """For imports of ``dancerank.pictures``. Raises ``NotOffered``, which names what is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotOffered(f"pictures need {error.name}, which is not installed; install dancerank[pictures]") from error

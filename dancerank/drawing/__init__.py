"""Answers as pictures (``schemas.questions.drawing.Drawing``), by the functions of ``dancerank.pictures``."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import NotOffered
from schemas.moments import ClipMoments
from schemas.questions.drawing import ChallengeStrips, ClipStrip, StillFormat
from schemas.questions.tips import ChallengeTips, TipsAnswer


class Drawings:
    """``schemas.questions.drawing.Drawing``; the package that draws is imported with the first picture."""

    def tips(self, tips: ChallengeTips, example: ClipStrip | None, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.drawing.tips import challenge_picture
            from dancerank.pictures.sheets import PictureFormat

            return challenge_picture(tips, example, PictureFormat(format))

    def overall_tips(self, tips: TipsAnswer, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.drawing.tips import overall_picture
            from dancerank.pictures.sheets import PictureFormat

            return overall_picture(tips, PictureFormat(format))

    def strips(self, strips: ChallengeStrips, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.drawing.strips import strips_picture
            from dancerank.pictures.sheets import PictureFormat

            return strips_picture(strips, PictureFormat(format))

    def moments(self, moments: ClipMoments, format: StillFormat) -> bytes:
        with package_that_draws():
            from dancerank.drawing.moments import moments_picture
            from dancerank.pictures.sheets import PictureFormat

            return moments_picture(moments, PictureFormat(format))


@contextmanager
def package_that_draws() -> Iterator[None]:
    """For imports of ``dancerank.pictures``. Raises ``NotOffered``, which names what is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotOffered(f"pictures need {error.name}, which is not installed; install dancerank[pictures]") from error

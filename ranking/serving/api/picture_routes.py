"""Answers about challenges as pictures: dance tips as heat maps, and the best and last clips as strips of skeletons."""

from typing import Annotated, Final

from fastapi import FastAPI, Query, Response
from pydantic import Field

from ranking.serving.api.description import documented, pictured
from ranking.serving.api.parameters import ChallengeId, GenerationParameters, TipsParameters, WindowParameters
from ranking.serving.service import RankingService
from ranking.serving.strips import challenge_strips, example_of
from schemas.errors import NotOffered
from schemas.modalities import Dimension
from schemas.picture_formats import STILL, PictureFormat, StillFormat
from schemas.questions.feedback import FeaturesKept, Feedback, Skeleton
from schemas.questions.pictures import Drawing

_NOT_HERE: Final = "this service draws no pictures; ask a process of dancerank serve"
_RESPONSES: Final = documented(404, 422, 501, 503) | pictured(*STILL)
Format = Annotated[StillFormat, Field(description="`png`, with two pixels to a CSS pixel, or `svg`.")]


class OverallPictureParameters(GenerationParameters):
    format: Format = PictureFormat.PNG


class TipsPictureParameters(TipsParameters):
    format: Format = PictureFormat.PNG


class StripsParameters(WindowParameters):
    by: Annotated[Dimension, Field(description="The modality to rank by, or the fused score.")] = Dimension.FUSED
    format: Format = PictureFormat.PNG


def add_pictures(app: FastAPI, service: RankingService, feedback: Feedback | None, drawing: Drawing | None) -> None:
    def skeleton_of(kept: FeaturesKept, rate_hz: float) -> Skeleton:
        if feedback is None:
            raise NotOffered(_NOT_HERE)
        return feedback.skeleton(kept, rate_hz)

    @app.get("/v1/tips/picture", tags=["feedback"], responses=_RESPONSES, response_class=Response)
    def picture_of_tips(asked: Annotated[OverallPictureParameters, Query()]) -> Response:
        """Challenges by joints, as a heat map: which joints deserve attention in each."""
        tips = service.tips(generation=asked.generation)
        return drawn_picture(offered(drawing).overall_tips(tips, asked.format), asked.format)

    @app.get(
        "/v1/challenges/{challenge_id}/tips/picture", tags=["feedback"], responses=_RESPONSES, response_class=Response
    )
    def picture_of_the_tips_of_a_challenge(
        challenge_id: ChallengeId, asked: Annotated[TipsPictureParameters, Query()]
    ) -> Response:
        """Joints over time, as a heat map: which joints deserve attention at each moment. Above it poses of the
        clip with the best movement, where its skeleton is kept.
        """
        tips = service.challenge_tips(challenge_id, generation=asked.generation, style=asked.style)
        draws = offered(drawing)
        example = None
        if feedback is not None:
            example = example_of(
                service, feedback.skeleton, challenge_id, generation=tips.generation, style=asked.style
            )
        return drawn_picture(draws.tips(tips, example, asked.format), asked.format)

    @app.get(
        "/v1/challenges/{challenge_id}/strips/picture", tags=["feedback"], responses=_RESPONSES, response_class=Response
    )
    def picture_of_the_ends(challenge_id: ChallengeId, asked: Annotated[StripsParameters, Query()]) -> Response:
        """The best five and the last five clips of a challenge, each as a strip of skeletons."""
        found = challenge_strips(
            service, skeleton_of, challenge_id, asked.by, generation=asked.generation, window=asked.window
        )
        return drawn_picture(offered(drawing).strips(found, asked.format), asked.format)


def offered(drawing: Drawing | None) -> Drawing:
    """Raises ``NotOffered`` where nothing draws."""
    if drawing is None:
        raise NotOffered(_NOT_HERE)
    return drawing


def drawn_picture(content: bytes, format: StillFormat) -> Response:
    """``content`` as the answer."""
    return Response(content, media_type=format.media_type)

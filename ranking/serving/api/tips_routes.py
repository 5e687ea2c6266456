"""Paths of dance tips: which joints deserve attention in a challenge, and when."""

from typing import Annotated, Final

from fastapi import FastAPI, Query, Response

from ranking.serving.api.description import documented
from ranking.serving.api.nothing_yet import NOTHING_YET, OrNone, answer_or_none
from ranking.serving.api.parameters import ChallengeId, GenerationParameters, TipsParameters
from ranking.serving.service import RankingService
from schemas.errors import GuidanceMissing
from schemas.questions.tips import ChallengeTips, TipsAnswer


class TipsOrNoneParameters(TipsParameters):
    or_none: OrNone = False


_ERRORS: Final = documented(404, 422, 503)


def add_tips(app: FastAPI, service: RankingService) -> None:
    @app.get("/v1/tips", tags=["feedback"], responses=_ERRORS)
    def tips(parameters: Annotated[GenerationParameters, Query()]) -> TipsAnswer:
        """Which joints deserve attention in each challenge: how strongly their position moves the score, on average
        over the clips.
        """
        return service.tips(generation=parameters.generation)

    @app.get(
        "/v1/challenges/{challenge_id}/tips",
        tags=["feedback"],
        responses=_ERRORS | NOTHING_YET,
        response_model=ChallengeTips,
    )
    def tips_of_a_challenge(
        challenge_id: ChallengeId, asked: Annotated[TipsOrNoneParameters, Query()]
    ) -> ChallengeTips | Response:
        """Which joints deserve attention at each moment of a challenge, and throughout it."""
        return answer_or_none(
            lambda: service.challenge_tips(challenge_id, generation=asked.generation, style=asked.style),
            asked.or_none,
            GuidanceMissing,
        )

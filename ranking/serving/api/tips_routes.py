"""Paths of dance tips: which joints deserve attention in a challenge, and when."""

from typing import Annotated, Final

from fastapi import FastAPI, Query

from ranking.serving.api.description import documented
from ranking.serving.api.parameters import ChallengeId, GenerationParameters, TipsParameters
from ranking.serving.service import RankingService
from schemas.questions.tips import ChallengeTips, TipsAnswer

_ERRORS: Final = documented(404, 422, 503)


def add_tips(app: FastAPI, service: RankingService) -> None:
    @app.get("/v1/tips", tags=["feedback"], responses=_ERRORS)
    def tips(parameters: Annotated[GenerationParameters, Query()]) -> TipsAnswer:
        """Which joints deserve attention in each challenge: how strongly their position moves the score, on average
        over the clips.
        """
        return service.tips(generation=parameters.generation)

    @app.get("/v1/challenges/{challenge_id}/tips", tags=["feedback"], responses=_ERRORS)
    def tips_of_a_challenge(challenge_id: ChallengeId, parameters: Annotated[TipsParameters, Query()]) -> ChallengeTips:
        """Which joints deserve attention at each moment of a challenge, and throughout it."""
        return service.challenge_tips(challenge_id, generation=parameters.generation, style=parameters.style)

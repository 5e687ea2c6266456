"""Paths of dance styles: how many clips show each."""

from typing import Annotated, Final

from fastapi import FastAPI, Query

from ranking.serving.api.description import documented
from ranking.serving.api.parameters import ChallengeId, WindowParameters
from ranking.serving.service import RankingService
from schemas.questions.styles import StyleCounts

_ERRORS: Final = documented(404, 422, 503)


def add_styles(app: FastAPI, service: RankingService) -> None:
    @app.get("/v1/styles", tags=["rankings"], responses=_ERRORS)
    def styles(parameters: Annotated[WindowParameters, Query()]) -> StyleCounts:
        """How many clips of all challenges show each dance style."""
        return service.styles(generation=parameters.generation, window=parameters.window)

    @app.get("/v1/challenges/{challenge_id}/styles", tags=["rankings"], responses=_ERRORS)
    def styles_of_a_challenge(
        challenge_id: ChallengeId, parameters: Annotated[WindowParameters, Query()]
    ) -> StyleCounts:
        """How many clips of a challenge show each dance style."""
        return service.styles(challenge_id, generation=parameters.generation, window=parameters.window)

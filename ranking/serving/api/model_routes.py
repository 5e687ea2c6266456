"""Questions about the model: what it is, what it was trained on, and how right it was."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import Field

from ranking.serving.api.description import documented
from ranking.serving.api.parameters import GenerationParameters
from ranking.serving.service import RankingService
from schemas.questions.model import MOST_POINTS, ModelAnswer


class ModelParameters(GenerationParameters):
    points: Annotated[
        int, Field(description="How many measurements up to the latest to return as `history`.", ge=0, le=MOST_POINTS)
    ] = 200


def add_model(app: FastAPI, service: RankingService) -> None:
    @app.get("/v1/model", tags=["model"], responses=documented(404, 422, 503))
    def model(asked: Annotated[ModelParameters, Query()]) -> ModelAnswer:
        """The card of the bundle that this process is set to, with what it was trained on, and how right a generation
        was: agreement with what was observed, calibration and drift, as the workers of the traffic pools measure them.
        """
        return service.model(generation=asked.generation, points=asked.points)

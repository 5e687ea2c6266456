"""Paths of moments: which seconds of a routine made its score."""

from typing import Annotated

from fastapi import FastAPI, Query, Response

from ranking.serving.api.description import documented, pictured
from ranking.serving.api.parameters import ClipId, MomentsParameters
from ranking.serving.api.picture_routes import Format, drawn_picture, offered
from ranking.serving.service import RankingService
from schemas.moments import ClipMoments
from schemas.picture_formats import STILL, PictureFormat
from schemas.questions.pictures import Drawing


class MomentsPictureParameters(MomentsParameters):
    format: Format = PictureFormat.PNG


def add_moments(app: FastAPI, service: RankingService, drawing: Drawing | None) -> None:
    def found(clip_id: str, asked: MomentsParameters) -> ClipMoments:
        return service.moments(clip_id, count=asked.count, apart_s=asked.apart_s, generation=asked.generation)

    @app.get("/v1/clips/{clip_id}/moments", tags=["feedback"], responses=documented(404, 422, 503))
    def moments_of_a_clip(clip_id: ClipId, asked: Annotated[MomentsParameters, Query()]) -> ClipMoments:
        """Which seconds made the score of a routine, a clip longer than 60 s: its attention over time, and the heaviest
        moments. A moment is a segment of 3.2 s of `dynamic`, which attends to movement, or a second of `static`, which
        attends to pictures. `times_equal` compares both: how many times as much it counts as if all counted alike.
        """
        return found(clip_id, asked)

    @app.get(
        "/v1/clips/{clip_id}/moments/picture",
        tags=["feedback"],
        responses=documented(404, 422, 501, 503) | pictured(*STILL),
        response_class=Response,
    )
    def picture_of_moments(clip_id: ClipId, asked: Annotated[MomentsPictureParameters, Query()]) -> Response:
        """The same as a picture: a bar for each segment and second, and the moments with their numbers."""
        moments = found(clip_id, asked)
        return drawn_picture(offered(drawing).moments(moments, asked.format), asked.format)

"""Feedback about a clip's movement: its skeleton, what would raise its score, and pictures of that."""

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ranking.serving.api.bodies import LAX, body_config
from ranking.serving.api.description import documented, pictured
from ranking.serving.api.parameters import ClipId
from ranking.serving.api.scoring_routes import Duration, FileSource, InlineSource, VideoSource
from ranking.serving.service import RankingService
from schemas.errors import (
    FeatureError,
    FeatureFileForbidden,
    FeatureFileMissing,
    FeaturesNotKept,
    NotOffered,
    QueryError,
)
from schemas.events import FeatureSource
from schemas.questions.feedback import (
    FORMATS,
    HIGHEST_RATE_HZ,
    MOST_CRITICAL,
    AnsweredFormat,
    ClipGuidance,
    ClipSkeleton,
    FeaturesKept,
    Feedback,
    GuidanceQuestion,
    GuidedScore,
    Picture,
    PictureKind,
    SmoothingName,
    UnseenGuidance,
)

_NOT_HERE: Final = "this service computes no feedback; ask a process of dancerank serve"
_EXAMPLE: Final[dict[str, Any]] = {
    "features": {"kind": "file", "uri": "file:///data/features/clip-17.safetensors"},
    "of": "fused",
    "critical": 3,
}
_PICTURES: Final = pictured(*(format for formats in FORMATS.values() for format in formats))
Result = TypeVar("Result")

_Rate = Annotated[
    float,
    Field(
        ge=1,
        le=HIGHEST_RATE_HZ,
        description="Frames per second of the answer; at most those of the features, which the answer states.",
    ),
]
_Title = Annotated[str | None, Field(max_length=200, description="Title of the picture. Default: the clip's name.")]


class SkeletonParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rate_hz: _Rate = 25.0


class GuidanceParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    of: Annotated[GuidedScore, Field(description="The score to raise.")] = "skeletal"
    smoothing: Annotated[
        SmoothingName | None,
        Field(
            description=(
                "How the gradient becomes directions: as it is (`raw`), averaged over small random changes "
                "(`smoothgrad`), only what keeps the length of every bone (`bones`), or both. Default: what was "
                "measured to be of most use."
            )
        ),
    ] = None
    critical: Annotated[int, Field(ge=1, le=MOST_CRITICAL, description="How many critical frames to choose.")] = 3
    apart_s: Annotated[
        float, Field(ge=0, le=60, description="How far critical frames are apart, in seconds; less in short clips.")
    ] = 1.0
    rate_hz: _Rate = 25.0

    def question(self, duration_s: float | None, uploaded_at_ms: int | None = None) -> GuidanceQuestion:
        asked = (self.of, self.smoothing, self.critical, self.apart_s, self.rate_hz)
        return GuidanceQuestion(*asked, duration_s, uploaded_at_ms)


class PictureParameters(GuidanceParameters):
    kind: Annotated[
        PictureKind,
        LAX,
        Field(description="`frames`: the critical frames side by side; `moving`: the whole clip, slowly."),
    ] = PictureKind.FRAMES
    format: Annotated[
        AnsweredFormat | None,
        Field(description="`png` (the default) or `svg` of frames; `webp` (the default) or `gif` of what moves."),
    ] = None
    title: _Title = None


class GuidanceRequest(GuidanceParameters):
    """A clip that was never uploaded, as an upload would name its features."""

    model_config = body_config(examples=[_EXAMPLE])

    features: Annotated[
        InlineSource | FileSource | VideoSource,
        Field(discriminator="kind", description="Where the features, or the video, are."),
    ]
    duration_s: Duration = None


class GuidancePictureRequest(PictureParameters, GuidanceRequest):
    """Likewise, with what the picture is to show."""


def add_feedback(app: FastAPI, service: RankingService, feedback: Feedback | None) -> None:
    of_clips, of_others = documented(404, 422, 501, 503), documented(413, 415, 422, 501, 503)

    def here() -> Feedback:
        if feedback is None:
            raise NotOffered(_NOT_HERE)
        return feedback

    @app.get("/v1/clips/{clip_id}/skeleton", tags=["feedback"], responses=of_clips, response_model=ClipSkeleton)
    def skeleton_of_a_clip(clip_id: ClipId, asked: Annotated[SkeletonParameters, Query()]) -> Response:
        """How the joints of a clip move, to draw it."""
        kept = _kept(service, clip_id)
        skeleton = _of_kept(clip_id, kept, lambda: here().skeleton(kept, asked.rate_hz))
        return _json({"clip_id": clip_id, **_fields(skeleton)})

    @app.get("/v1/clips/{clip_id}/guidance", tags=["feedback"], responses=of_clips, response_model=ClipGuidance)
    def guidance_of_a_clip(clip_id: ClipId, asked: Annotated[GuidanceParameters, Query()]) -> Response:
        """What would raise a clip's score: for each joint in each frame the direction in which to move it (the gradient
        of the score), the moments at which that counts most, and a sentence for each.
        """
        kept = _kept(service, clip_id)
        question = asked.question(kept.duration_s, kept.uploaded_at_ms)
        guided = _of_kept(clip_id, kept, lambda: here().guidance(kept.source, question))
        return _json({"clip_id": clip_id, **_fields(guided, but="positions")})

    @app.get(
        "/v1/clips/{clip_id}/guidance/picture",
        tags=["feedback"],
        responses=of_clips | _PICTURES,
        response_class=Response,
    )
    def picture_of_guidance(clip_id: ClipId, asked: Annotated[PictureParameters, Query()]) -> Response:
        """The same as a picture."""
        kept, title = _kept(service, clip_id), asked.title or clip_id
        question = asked.question(kept.duration_s, kept.uploaded_at_ms)
        drawn = _of_kept(clip_id, kept, lambda: _drawn(here(), kept.source, asked, question, title))
        return _picture(drawn)

    @app.post("/v1/guidance", tags=["feedback"], responses=of_others, response_model=UnseenGuidance)
    def guidance_of_features(request: GuidanceRequest) -> Response:
        """The same for a clip that was never uploaded, with its skeleton. Nothing is kept."""
        return _json(here().guidance(request.features.source(), request.question(request.duration_s)))

    @app.post("/v1/guidance/picture", tags=["feedback"], responses=of_others | _PICTURES, response_class=Response)
    def picture_of_features(request: GuidancePictureRequest) -> Response:
        """A picture of what would raise the score of a clip that was never uploaded."""
        title = request.title or "Guidance"
        question = request.question(request.duration_s)
        return _picture(_drawn(here(), request.features.source(), request, question, title))


def _drawn(
    feedback: Feedback, source: FeatureSource, asked: PictureParameters, question: GuidanceQuestion, title: str
) -> Picture:
    formats = FORMATS[asked.kind]
    format = asked.format or formats[0]
    if format not in formats:
        raise QueryError(
            f"format: a picture of kind {asked.kind} is {' or '.join(formats)}, not {format}", field="format"
        )
    return feedback.picture(source, question, format, title)


def _kept(service: RankingService, clip_id: str) -> FeaturesKept:
    kept = service.source(clip_id)
    if kept is None:
        raise FeaturesNotKept(
            f"the features of clip {clip_id} came with its upload and were not kept; upload clips by the URI of their "
            "features, or send the features to POST /v1/guidance",
            field="clip_id",
        )
    return kept


def _of_kept(clip_id: str, kept: FeaturesKept, ask: Callable[[], Result]) -> Result:
    """What ``ask`` gives; where the features are kept is the operator's to know."""
    try:
        return ask()
    except (FeatureFileMissing, FeatureFileForbidden) as error:
        raise FeaturesNotKept(
            f"the features of clip {clip_id} are no longer where they were when it was scored; upload it again, or "
            "send its features to POST /v1/guidance",
            field="clip_id",
        ) from error
    except FeatureError as error:
        uri, name = kept.source.uri, f"clip {clip_id}"
        message = error.message.replace(repr(uri), name).replace(uri, name)
        raise type(error)(message, field=error.field) from error


def _fields(answer: Any, but: str | None = None) -> dict[str, Any]:
    return {each.name: getattr(answer, each.name) for each in fields(answer) if each.name != but}


def _json(answer: Any) -> Response:
    """As JSON at once: a clip of a minute has 48,000 numbers, which pydantic would check one by one."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _picture(picture: Picture) -> Response:
    return Response(picture.content, media_type=picture.media_type)

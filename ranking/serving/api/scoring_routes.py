"""Clips that were never uploaded: scored on request, from features, from a URI, or from the file itself."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO, Final, Literal

import msgspec
from fastapi import FastAPI, Query, Request, Response
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ranking.serving.api.bodies import LAX, body_config
from ranking.serving.api.description import documented
from ranking.serving.api.errors import RefusedRequest
from ranking.serving.api.file_paths import SCORE_FILE
from ranking.serving.api.parameters import Identifier, NoParameters
from ranking.serving.api.refusals import MALFORMED_REQUEST, UNSUPPORTED_MEDIA_TYPE
from ranking.serving.service import RankingService
from ranking.serving.unseen_clips import standing
from schemas.errors import FileNotStored, NotFound, NotOffered, QueryError
from schemas.events import MIN_DURATION_S, SHA256, FeatureFile, FeatureSource, InlineFeatures, VideoFile
from schemas.modalities import MAX_ROUTINE_S
from schemas.questions.scoring import FileKind, ScoresOnRequest, ScoringOffer, UnseenClip, UnseenClipAnswer

_FEATURE_TYPES: Final = frozenset({"application/octet-stream", "application/vnd.safetensors"})
_WRITTEN_BYTES: Final = 1 << 20
_NOT_HERE: Final = "this service scores nothing on request; ask a process of dancerank serve"
_EXAMPLE: Final[dict[str, Any]] = {
    "features": {"kind": "file", "uri": "file:///data/features/clip-17.safetensors"},
    "duration_s": 15.0,
}
_Uri = Annotated[str, Field(min_length=1, max_length=2048, description="As in an upload: below a feature root.")]
_Checksum = Annotated[
    str | None, Field(pattern=SHA256.removesuffix(r"(?!\n)"), description="SHA-256, in hexadecimal digits.")
]


class _Source(BaseModel):
    model_config = body_config()


class InlineSource(_Source):
    """A feature file in the request itself."""

    kind: Literal["inline"]
    content: Annotated[Base64Bytes, LAX, Field(description="The feature file (safetensors), in base64.")]

    def source(self) -> FeatureSource:
        return InlineFeatures(self.content)


class FileSource(_Source):
    """A feature file that the service can read."""

    kind: Literal["file"]
    uri: _Uri
    sha256: _Checksum = None

    def source(self) -> FeatureSource:
        return FeatureFile(self.uri, self.sha256)


class VideoSource(_Source):
    """A video that the service can read."""

    kind: Literal["video"]
    uri: _Uri
    sha256: _Checksum = None

    def source(self) -> FeatureSource:
        return VideoFile(self.uri, self.sha256)


Duration = Annotated[
    float | None,
    Field(
        ge=MIN_DURATION_S,
        le=MAX_ROUTINE_S,
        description="Length of the clip, in seconds. Default: that of its features.",
    ),
]
_Generation = Annotated[
    Identifier | None,
    Field(description="The generation that is expected; 404 if the bundle of this service is of another."),
]


_Movement = Annotated[
    bool, Field(description="Also the skeleton of the clip, and what would raise its skeletal score, where there are.")
]


class ScoreRequest(BaseModel):
    """A clip that was never uploaded, as an upload would name its features."""

    model_config = body_config(examples=[_EXAMPLE])

    features: Annotated[
        InlineSource | FileSource | VideoSource,
        Field(discriminator="kind", description="Where the features, or the video, are."),
    ]
    duration_s: Duration = None
    generation: _Generation = None
    movement: _Movement = False


class ScoreFileParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    duration_s: Duration = None
    generation: _Generation = None
    movement: _Movement = False


def add_scoring(app: FastAPI, service: RankingService, scoring: ScoresOnRequest | None) -> None:
    errors = documented(404, 413, 415, 422, 501, 503)

    def here(generation: str | None = None) -> ScoresOnRequest:
        if scoring is None:
            raise NotOffered(_NOT_HERE)
        if generation is not None and generation != (own := scoring.generation()):
            raise NotFound(
                f"this service scores under generation {own}, not {generation}; name that one, or none",
                field="generation",
            )
        return scoring

    @app.get("/v1/score/offer", tags=["scoring"], responses=documented(422))
    def what_is_scored(_: Annotated[NoParameters, Query()]) -> ScoringOffer:
        """Whether this service scores clips that were never uploaded, and whether it takes features from videos."""
        return ScoringOffer(False, None, False, 0, _NOT_HERE, _NOT_HERE) if scoring is None else scoring.offer()

    @app.post("/v1/score", tags=["scoring"], responses=errors, response_model=UnseenClipAnswer)
    def score_of_features(request: ScoreRequest) -> Response:
        """What the model makes of a clip that was never uploaded, and where its scores stand among those of all clips.
        Nothing is kept.
        """
        source = request.features.source()
        return _answer(service, here(request.generation).score(source, request.duration_s, request.movement))

    @app.post(
        SCORE_FILE,
        tags=["scoring"],
        responses=errors,
        response_model=UnseenClipAnswer,
        openapi_extra={"requestBody": {"required": True, "content": _described()}},
    )
    async def score_of_a_file(request: Request, asked: Annotated[ScoreFileParameters, Query()]) -> Response:
        """The same for a file that is the body itself: a video (`Content-Type: video/…`), or a feature file
        (`application/octet-stream`). It may be larger than other bodies. Nothing is kept.
        """
        kind = _kind(request)
        asks = await run_in_threadpool(here, asked.generation)
        with closing(asks.begin_file(kind)) as place:
            async with _received(request) as descriptor:
                clip = await run_in_threadpool(place.score, descriptor, asked.duration_s, asked.movement)
        return await run_in_threadpool(_answer, service, clip)


def _answer(service: RankingService, clip: UnseenClip) -> Response:
    """As JSON at once: the movement of a minute has 96,000 numbers, which pydantic would check one by one."""
    return Response(msgspec.json.encode(standing(service, clip)), media_type="application/json")


def _described() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
    return {"video/mp4": binary} | dict.fromkeys(sorted(_FEATURE_TYPES), binary)


def _kind(request: Request) -> FileKind:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedRequest(UNSUPPORTED_MEDIA_TYPE, "send the file without a Content-Encoding")
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared in _FEATURE_TYPES:
        return "features"
    if declared.startswith("video/"):
        return "video"
    raise RefusedRequest(
        UNSUPPORTED_MEDIA_TYPE,
        "declare the file: Content-Type: video/mp4 (or another video), or application/octet-stream for a feature file",
    )


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[int]:
    """The body in a temporary file without a name, which is gone with its descriptor."""
    with await _on_disk(TemporaryFile) as file:
        parts, waiting = list[bytes](), 0
        try:
            async for chunk in request.stream():
                parts.append(chunk)
                waiting += len(chunk)
                if waiting >= _WRITTEN_BYTES:
                    await _on_disk(file.write, b"".join(parts))
                    parts, waiting = [], 0
        except ClientDisconnect:
            raise RefusedRequest(MALFORMED_REQUEST, "the connection ended before the body did") from None
        await _on_disk(_complete, file, b"".join(parts))
        if not os.fstat(file.fileno()).st_size:
            raise QueryError("the body is empty; send the file as the body", field="body")
        yield file.fileno()


def _complete(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.flush()


async def _on_disk(work: Callable[..., Any], *arguments: Any) -> Any:
    """On a thread: a disk may take its time, and other requests are answered meanwhile."""
    try:
        return await run_in_threadpool(work, *arguments)
    except OSError as error:
        raise FileNotStored(f"the file could not be stored while it is scored ({error.strerror}); try again") from error

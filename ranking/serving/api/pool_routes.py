"""Questions to the traffic pools: where a clip is and why, how full the tiers are, what would happen to a clip."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ranking.serving.api.bodies import LAX, body_config
from ranking.serving.api.description import documented
from ranking.serving.api.nothing_yet import NOTHING_YET, OrNoneParameters, answer_or_none
from ranking.serving.api.parameters import ClipId, GenerationParameters, Identifier, NoParameters, absent, given
from ranking.serving.service import RankingService
from schemas.modalities import Dimension
from schemas.questions.pool_history import MOST_DECISIONS, MOST_WINDOWS, DecisionsAnswer, PoolHistoryAnswer
from schemas.questions.pools import MAX_COUNT, HypotheticalClip, PooledClipAnswer, PoolsAnswer, PoolTryAnswer

_EXAMPLE: Final[dict[str, Any]] = {
    "challenge_id": "challenge-2",
    "dancer_id": "dancer-03",
    "percentiles": {"fused": 80, "skeletal": 95},
    "reactions": 12,
    "views": 100,
}

_RULES: Final[dict[str, Any]] = {
    "oneOf": [
        {"allOf": [given("percentiles"), absent("scores")]},
        {"allOf": [given("scores"), absent("percentiles"), absent("challenge_clips")]},
    ],
    "if": given("views"),
    "then": given("reactions"),
}
_AT_LEAST_ONE: Final[dict[str, Any]] = {"minProperties": 1}
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


class HistoryParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    windows: Annotated[int, Field(description="How many windows to return.", ge=1, le=MOST_WINDOWS)] = 48


class DecisionParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(description="How many decisions to return.", ge=1, le=MOST_DECISIONS)] = 50
    after: Annotated[
        int | None,
        Field(description="Continue after the decision of this `sequence`, with older ones.", ge=1, le=MAX_COUNT),
    ] = None


class PoolTryRequest(GenerationParameters):
    """A clip that is made up. Exactly one of `percentiles` and `scores` says how good it is."""

    model_config = body_config(examples=[_EXAMPLE], **_RULES)

    challenge_id: Annotated[Identifier, Field(description="Its challenge, which may have no clips yet.")]
    dancer_id: Annotated[Identifier | None, Field(description="Its dancer. Default: a new one.")] = None
    percentiles: Annotated[
        Annotated[
            dict[Annotated[Dimension, LAX], Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 100})]],
            Field(json_schema_extra=_AT_LEAST_ONE),
        ]
        | None,
        Field(description="Its percentiles within the challenge, 0 to 100, fused or by modality."),
    ] = None
    scores: Annotated[
        Annotated[dict[Annotated[Dimension, LAX], float], Field(json_schema_extra=_AT_LEAST_ONE)] | None,
        Field(description="Its scores, fused or by modality; they are compared with the clips of its challenge."),
    ] = None
    challenge_clips: Annotated[
        Annotated[int, Field(ge=1, le=MAX_COUNT)] | None,
        Field(
            description=(
                "Pretend that the challenge has so many clips, this one included; only with `percentiles`. Default: as "
                "many as it has, and this one."
            )
        ),
    ] = None
    reactions: Annotated[
        _Count | None,
        Field(description="Likes, comments and reposts once it was let in: what would they lead to?"),
    ] = None
    views: Annotated[
        _Count | None,
        Field(description="Impressions of these reactions. Default: unknown; granted impressions are used."),
    ] = None

    def clip(self) -> HypotheticalClip:
        return HypotheticalClip(**self.model_dump(exclude={"generation"}))


def add_pools(app: FastAPI, service: RankingService) -> None:
    @app.get(
        "/v1/clips/{clip_id}/pool",
        tags=["pools"],
        responses=documented(404, 422, 503) | NOTHING_YET,
        response_model=PooledClipAnswer,
    )
    def clip_in_the_pools(clip_id: ClipId, asked: Annotated[OrNoneParameters, Query()]) -> PooledClipAnswer | Response:
        """A clip's tier, what it waits for and what it needs, and every decision about it with its reason."""
        return answer_or_none(lambda: service.pooled_clip(clip_id), asked.or_none)

    @app.get("/v1/pools", tags=["pools"], responses=documented(422, 503))
    def pools(_: Annotated[NoParameters, Query()]) -> PoolsAnswer:
        """The active policy, and for each tier its clips and what is left of its budgets in this window."""
        return service.pools()

    @app.get("/v1/pools/history", tags=["pools"], responses=documented(422, 503))
    def history_of_the_pools(asked: Annotated[HistoryParameters, Query()]) -> PoolHistoryAnswer:
        """What each tier granted in the latest windows, by lane, and what it could have granted."""
        return service.pool_history(asked.windows)

    @app.get("/v1/pools/decisions", tags=["pools"], responses=documented(422, 503))
    def decisions_of_the_pools(asked: Annotated[DecisionParameters, Query()]) -> DecisionsAnswer:
        """The latest decisions about all clips, each with its reason. New ones are in `/v1/events`."""
        return service.pool_decisions(after=asked.after, k=asked.k)

    @app.post("/v1/pools/try", tags=["pools"], responses=documented(404, 413, 415, 422, 503))
    def try_in_the_pools(request: PoolTryRequest) -> PoolTryAnswer:
        """What would be decided now about a clip that is made up, and what it would take from which budget. Nothing is
        written.
        """
        return service.try_in_pools(request.clip(), generation=request.generation)

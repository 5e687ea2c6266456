"""Parameters of the API, each described once. Unknown ones are refused: a mistyped name must not go unnoticed."""

from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from schemas.modalities import Dimension
from schemas.moments import DEFAULT_APART_S, DEFAULT_MOMENTS, MOST_APART_S, MOST_MOMENTS
from schemas.questions.challenges import MAX_BINS, GrowthPeriod
from schemas.questions.retrieval import MAX_HITS, Order, Window
from schemas.style_classifier import MAX_STYLE_LENGTH, UNKNOWN_STYLE

# Said in OpenAPI only: the service checks identifiers wherever they come from, and pydantic has no (?!…).
_IDENTIFIER: Final[dict[str, Any]] = {
    "minLength": 1,
    "pattern": (r"^(?!\.{1,2}$)[^\u0000-\u0020\u007f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000/]+$"),
}

ClipId = Annotated[
    str,
    Path(
        description="A clip, as its upload named it.",
        examples=["clip-000017"],
        max_length=128,
        json_schema_extra=_IDENTIFIER,
    ),
]
DancerId = Annotated[
    str,
    Path(
        description="A dancer, as uploads name them.",
        examples=["dancer-03"],
        max_length=128,
        json_schema_extra=_IDENTIFIER,
    ),
]
ChallengeId = Annotated[
    str,
    Path(
        description="A challenge, as uploads name it.",
        examples=["challenge-2"],
        max_length=128,
        json_schema_extra=_IDENTIFIER,
    ),
]
Identifier = Annotated[str, Field(max_length=128, json_schema_extra=_IDENTIFIER)]


class NoParameters(BaseModel):
    """Query parameters of paths that take none."""

    model_config = ConfigDict(extra="forbid")


class GenerationParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    generation: Annotated[
        Identifier | None,
        Field(description="Model generation that scored the clips. Default: the active one."),
    ] = None


class WindowParameters(GenerationParameters):
    window: Annotated[
        Window,
        Field(
            description=(
                "Only clips by the time of their upload: `1h` since the full minute an hour ago, `24h` and `7d` since "
                "the full hour then, `all` whenever. The answer's `since_ms` says since when."
            )
        ),
    ] = "all"


Style = Annotated[
    str | None,
    Field(
        description=(
            f"Only clips that show this dance style; `{UNKNOWN_STYLE}`: none of those that the bundle's classifier "
            "knows."
        ),
        min_length=1,
        max_length=MAX_STYLE_LENGTH,
        json_schema_extra={"pattern": r"^[^\u0000]*$"},
    ),
]


class NeighbourParameters(WindowParameters):
    style: Style = None
    by: Annotated[Dimension, Field(description="The modality to rank by, or the fused score.")] = Dimension.FUSED
    k: Annotated[int, Field(description="How many clips to return on either side.", ge=1, le=MAX_HITS)] = 5


class DistributionParameters(GenerationParameters):
    by: Annotated[Dimension, Field(description="The modality whose scores, or the fused score.")] = Dimension.FUSED
    score: Annotated[float | None, Field(description="A score to give the percentile of.", allow_inf_nan=False)] = None


class MomentsParameters(GenerationParameters):
    count: Annotated[int, Field(description="How many moments to choose.", ge=1, le=MOST_MOMENTS)] = DEFAULT_MOMENTS
    apart_s: Annotated[
        float, Field(description="The fewest seconds between any two moments.", ge=0, le=MOST_APART_S)
    ] = DEFAULT_APART_S


class TipsParameters(GenerationParameters):
    style: Style = None


class RankingParameters(WindowParameters):
    style: Style = None
    by: Annotated[Dimension, Field(description="The modality to rank by, or the fused score.")] = Dimension.FUSED
    order: Annotated[Order, Field(description="`top`: best first. `bottom`: worst first.")] = "top"
    k: Annotated[int, Field(description="How many clips to return.", ge=1, le=MAX_HITS)] = 10
    after: Annotated[
        Identifier | None,
        Field(description="The last clip of a page, for the page that follows it. Default: from this end."),
    ] = None


class UnrankedParameters(GenerationParameters):
    k: Annotated[int, Field(description="How many clips to return.", ge=1, le=MAX_HITS)] = 10
    after: Annotated[
        Identifier | None, Field(description="The `after` of the page before. Default: from the first.")
    ] = None


class ChallengeDistributionParameters(WindowParameters):
    style: Style = None
    by: Annotated[Dimension, Field(description="The modality whose scores, or the fused score.")] = Dimension.FUSED
    bins: Annotated[int, Field(description="How many bins of equal width.", ge=1, le=MAX_BINS)] = 30


class GrowthParameters(GenerationParameters):
    by: Annotated[
        GrowthPeriod,
        Field(description="Clips of each minute of the last two hours, hour of the last seven days, or of eight days."),
    ] = "hour"


def given(name: str) -> dict[str, Any]:
    """JSON Schema of an object in which ``name`` is there and is not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def absent(name: str) -> dict[str, Any]:
    """JSON Schema of an object in which ``name`` is not there, or is null."""
    return {"properties": {name: {"type": "null"}}}

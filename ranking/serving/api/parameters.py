"""Parameters of the API, each described once. Unknown ones are refused: a mistyped name must not go unnoticed."""

from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from ranking.vectors.weights import parse_weights
from schemas.modalities import MODALITIES, Dimension, Modality
from schemas.queries import MAX_HITS, Grouping, Order, SimilarQuery, uniform_weights

_MAX_EMBEDDING_WIDTH: Final = 65_536
_EXAMPLE: Final[dict[str, Any]] = {
    "clip_id": "clip-000017",
    "weights": {"skeletal": 1, "facial": 0.5},
    "challenge_id": "challenge-2",
    "k": 5,
    "group_by": "dancer",
}

# Said in OpenAPI only: the service checks identifiers wherever they come from, and pydantic has no (?!…).
_IDENTIFIER: Final[dict[str, Any]] = {
    "minLength": 1,
    "pattern": (r"^(?!\.{1,2}$)[^\u0000-\u0020\u007f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000/]+$"),
}
_WEIGHT: Final = r"(:(0\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,2}(\.[0-9]{1,3})?))?"
_NAMES: Final = "|".join(MODALITIES)
_WEIGHTS: Final[dict[str, Any]] = {
    "pattern": rf"^(?!.*({_NAMES}).*\1)({_NAMES}){_WEIGHT}(,({_NAMES}){_WEIGHT})*$",
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


class RankingParameters(GenerationParameters):
    by: Annotated[Dimension, Field(description="The modality to rank by, or the fused score.")] = Dimension.FUSED
    order: Annotated[Order, Field(description="`top`: best first. `bottom`: worst first.")] = "top"
    k: Annotated[int, Field(description="How many clips to return.", ge=1, le=MAX_HITS)] = 10


class SearchParameters(GenerationParameters):
    """What all similarity searches have in common."""

    challenge_id: Annotated[Identifier | None, Field(description="Only clips of this challenge.")] = None
    k: Annotated[int, Field(description="How many hits to return.", ge=1, le=MAX_HITS)] = 10
    group_by: Annotated[Grouping, Field(description="`clip`: any clips. `dancer`: the best clip of each dancer.")] = (
        "clip"
    )
    include_own: Annotated[bool, Field(description="Include other clips of the example's dancer.")] = False

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("challenge_id", "k", "group_by", "include_own")}


class SimilarParameters(SearchParameters):
    """A search whose example is named in the path."""

    weights: Annotated[
        Annotated[str, Field(max_length=200, json_schema_extra=_WEIGHTS)] | None,
        Field(
            description=(
                "How much each modality matters: pairs of modality and weight, 0 or more. A modality left out does not "
                "count. Without this parameter all count alike."
            ),
            examples=["skeletal:1,facial:0.5"],
        ),
    ] = None

    def query(self, *, clip_id: str | None = None, dancer_id: str | None = None) -> SimilarQuery:
        weights = uniform_weights() if self.weights is None else parse_weights(self.weights)
        return SimilarQuery(clip_id=clip_id, dancer_id=dancer_id, weights=weights, **self.options())


def given(name: str) -> dict[str, Any]:
    """JSON Schema of an object in which ``name`` is there and is not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def absent(name: str) -> dict[str, Any]:
    """JSON Schema of an object in which ``name`` is not there, or is null."""
    return {"properties": {name: {"type": "null"}}}


def _positive(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"exclusiveMinimum": 0}}}


_ONE_EXAMPLE: Final[dict[str, Any]] = {
    "oneOf": [
        {"allOf": [given("clip_id"), absent("dancer_id"), absent("embeddings")]},
        {"allOf": [given("dancer_id"), absent("clip_id"), absent("embeddings")]},
        {"allOf": [given("embeddings"), given("generation"), absent("clip_id"), absent("dancer_id")]},
    ]
}


class SimilarRequest(SearchParameters):
    """A search with any example: exactly one of `clip_id`, `dancer_id` and `embeddings`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE], **_ONE_EXAMPLE})

    clip_id: Annotated[Identifier | None, Field(description="The example is this clip.")] = None
    dancer_id: Annotated[Identifier | None, Field(description="The example is the mean of this dancer's clips.")] = None
    embeddings: Annotated[
        Annotated[
            dict[
                Modality,
                Annotated[list[float], Field(max_length=_MAX_EMBEDDING_WIDTH, json_schema_extra={"minItems": 1})],
            ],
            Field(json_schema_extra={"minProperties": 1}),
        ]
        | None,
        Field(description="The example is a clip with these embeddings; their length does not matter, only direction."),
    ] = None
    weights: Annotated[
        dict[Modality, Annotated[float, Field(json_schema_extra={"minimum": 0})]],
        Field(
            json_schema_extra={"anyOf": [_positive(name) for name in MODALITIES]},
            description=(
                "How much each modality matters, 0 or more. A modality left out does not count. Without this field all "
                "count alike."
            ),
        ),
    ] = Field(default_factory=uniform_weights)

    def query(self) -> SimilarQuery:
        return SimilarQuery(
            clip_id=self.clip_id,
            dancer_id=self.dancer_id,
            embeddings=self.embeddings,
            weights=self.weights,
            **self.options(),
        )

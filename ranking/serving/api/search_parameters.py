"""Parameters of similarity searches: those that a URL has room for, and the body of those that it has not."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from ranking.serving.api.bodies import LAX, body_config
from ranking.serving.api.parameters import GenerationParameters, Identifier, Style, absent, given
from ranking.vectors.weights import parse_weights
from schemas.modalities import MODALITIES, Dimension, Modality
from schemas.questions.dancers import By, SimilarDancersQuery
from schemas.questions.retrieval import (
    MAX_EXAMPLES,
    MAX_EXCLUDED,
    MAX_HITS,
    MAX_LISTED,
    MAX_TIME_MS,
    MMR_POOL,
    UNLIKE_WEIGHT,
    Example,
    Grouping,
    SimilarQuery,
    placed,
    uniform_weights,
)

_MAX_EMBEDDING_WIDTH: Final = 65_536
_EXAMPLE: Final[dict[str, Any]] = {
    "clip_id": "clip-000017",
    "weights": {"skeletal": 1, "scenic": -0.5},
    "challenge_id": "challenge-2",
    "k": 5,
    "group_by": "dancer",
}

_WEIGHT: Final = r"(:-?(0\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,2}(\.[0-9]{1,3})?))?"
_NAMES: Final = "|".join(MODALITIES)
_WEIGHTS: Final[dict[str, Any]] = {
    "pattern": rf"^(?!.*({_NAMES}).*\1)({_NAMES}){_WEIGHT}(,({_NAMES}){_WEIGHT})*$",
}

_CURSOR: Final[dict[str, Any]] = {"pattern": "^[A-Za-z0-9_-]+$"}
_Time = Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
_Percentile = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 100})]
_Modality = Annotated[Modality, LAX]
_Embeddings = Annotated[
    dict[
        _Modality,
        Annotated[list[float], Field(max_length=_MAX_EMBEDDING_WIDTH, json_schema_extra={"minItems": 1})],
    ],
    Field(json_schema_extra={"minProperties": 1}),
]

Weights = Annotated[
    Annotated[str, Field(max_length=200, json_schema_extra=_WEIGHTS)] | None,
    Field(
        description=(
            "How much each modality matters: pairs of modality and weight. A negative weight asks for clips unlike "
            "the example in that modality. A modality left out does not count. Without this parameter all count "
            "alike."
        ),
        examples=["skeletal:1,scenic:-0.5"],
    ),
]


class SearchParameters(GenerationParameters):
    """What all similarity searches have in common."""

    challenge_id: Annotated[Identifier | None, Field(description="Only clips of this challenge.")] = None
    uploaded_from_ms: Annotated[
        _Time | None, Field(description="Only clips uploaded then or later; milliseconds since the epoch, UTC.")
    ] = None
    uploaded_before_ms: Annotated[
        _Time | None, Field(description="Only clips uploaded before; later than `uploaded_from_ms`.")
    ] = None
    percentile_from: Annotated[
        _Percentile | None,
        Field(description="Only clips of at least this percentile within their challenge, 0 to 100."),
    ] = None
    percentile_to: Annotated[
        _Percentile | None, Field(description="Only clips of at most this percentile; not below `percentile_from`.")
    ] = None
    percentile_by: Annotated[Dimension, LAX, Field(description="The dimension of these percentiles.")] = Dimension.FUSED
    tier: Annotated[Identifier | None, Field(description="Only clips in this tier of the traffic pools.")] = None
    style: Style = None
    k: Annotated[int, Field(description="How many hits to return.", ge=1, le=MAX_HITS)] = 10
    group_by: Annotated[Grouping, Field(description="`clip`: any clips. `dancer`: the best clip of each dancer.")] = (
        "clip"
    )
    include_own: Annotated[bool, Field(description="Include other clips of the example's dancer.")] = False
    half_life_s: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        Field(description="Similarities above 0 halve with each half-life of a clip's age: recent clips first."),
    ] = None
    mmr_lambda: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        Field(description="Diversity by maximal marginal relevance: 1 for similarity alone, 0 for diversity alone."),
    ] = None
    mmr_pool: Annotated[
        int, Field(description="How many of the most similar hits `mmr_lambda` reorders.", ge=1, le=MAX_HITS)
    ] = MMR_POOL
    cursor: Annotated[
        Annotated[str, Field(max_length=1024, json_schema_extra=_CURSOR)] | None,
        Field(description="`next_cursor` of the page before, with the same question; only `k` may differ."),
    ] = None

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SearchParameters.model_fields if name != "generation"}


class SimilarParameters(SearchParameters):
    """A search whose example is named in the path."""

    weights: Weights = None

    def query(self, *, clip_id: str | None = None, dancer_id: str | None = None) -> SimilarQuery:
        weights = uniform_weights() if self.weights is None else parse_weights(self.weights)
        return SimilarQuery(clip_id=clip_id, dancer_id=dancer_id, weights=weights, **self.options())


class SimilarDancersParameters(GenerationParameters):
    """Dancers who dance alike."""

    by: Annotated[
        By,
        Field(
            description="`profile`: the mean of all of a dancer's clips. `clips`: the other dancer's most similar clip."
        ),
    ] = "profile"
    weights: Weights = None
    k: Annotated[int, Field(description="How many dancers to return.", ge=1, le=MAX_HITS)] = 10

    def query(self, dancer_id: str) -> SimilarDancersQuery:
        weights = uniform_weights() if self.weights is None else parse_weights(self.weights)
        return SimilarDancersQuery(dancer_id=dancer_id, by=self.by, weights=weights, k=self.k)


class DuplicatesParameters(GenerationParameters):
    """Clips that were uploaded again."""

    k: Annotated[int, Field(description="How many hits to return.", ge=1, le=MAX_HITS)] = 10
    threshold: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        Field(
            description=(
                "Least similarity of a near-duplicate, 0 to 1. Default: what the most similar clips say, much nearer "
                "than the tenth."
            )
        ),
    ] = None


def _one_of(*names: str) -> dict[str, Any]:
    """JSON Schema of an object in which exactly one of ``names`` is given."""
    return {"oneOf": [{"allOf": [given(name), *(absent(other) for other in names if other != name)]} for name in names]}


class ExampleRequest(BaseModel):
    """One example of several: exactly one of `clip_id`, `dancer_id` and `embeddings`."""

    model_config = body_config(**_one_of("clip_id", "dancer_id", "embeddings"))

    clip_id: Annotated[Identifier | None, Field(description="This clip.")] = None
    dancer_id: Annotated[Identifier | None, Field(description="The mean of this dancer's clips.")] = None
    embeddings: Annotated[_Embeddings | None, Field(description="A clip with these embeddings.")] = None
    weight: Annotated[
        float,
        Field(
            gt=0, allow_inf_nan=False, description="How much it counts beside the other examples of its list, above 0."
        ),
    ] = 1.0


def _not_zero(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"const": 0}}}}


_WITHOUT_EMBEDDINGS: Final = {"properties": {name: {"items": absent("embeddings")} for name in ("like", "unlike")}}
_RULES: Final[dict[str, Any]] = {
    "allOf": [
        _one_of("clip_id", "dancer_id", "embeddings", "like"),
        {"anyOf": [given("generation"), {"allOf": [absent("embeddings"), _WITHOUT_EMBEDDINGS]}]},
        {"anyOf": [absent("challenge_id"), {"properties": {"challenge_ids": {"maxItems": 0}}}]},
    ]
}


class SimilarRequest(SearchParameters):
    """A search with any example: exactly one of `clip_id`, `dancer_id`, `embeddings` and `like`."""

    model_config = body_config(examples=[_EXAMPLE], **_RULES)

    clip_id: Annotated[Identifier | None, Field(description="The example is this clip.")] = None
    dancer_id: Annotated[Identifier | None, Field(description="The example is the mean of this dancer's clips.")] = None
    embeddings: Annotated[
        _Embeddings | None,
        Field(description="The example is a clip with these embeddings; their length does not matter, only direction."),
    ] = None
    like: Annotated[
        Annotated[tuple[ExampleRequest, ...], LAX, Field(min_length=1, max_length=MAX_EXAMPLES)] | None,
        Field(description="Several examples: in each modality their weighted mean."),
    ] = None
    unlike: Annotated[
        tuple[ExampleRequest, ...],
        LAX,
        Field(max_length=MAX_EXAMPLES, description="Examples of what is not wanted, subtracted from the example."),
    ] = ()
    unlike_weight: Annotated[
        float, Field(ge=0, le=1, description="How much of the mean of `unlike` is subtracted (Rocchio), 0 to 1.")
    ] = UNLIKE_WEIGHT
    weights: Annotated[
        dict[_Modality, float],
        Field(
            json_schema_extra={"anyOf": [_not_zero(name) for name in MODALITIES]},
            description=(
                "How much each modality matters. A negative weight asks for clips unlike the example in that modality. "
                "A modality left out does not count. Without this field all count alike."
            ),
        ),
    ] = Field(default_factory=uniform_weights)
    challenge_ids: Annotated[
        tuple[Identifier, ...], LAX, Field(max_length=MAX_LISTED, description="Only clips of these challenges.")
    ] = ()
    among_dancer_ids: Annotated[
        tuple[Identifier, ...], LAX, Field(max_length=MAX_LISTED, description="Only clips of these dancers.")
    ] = ()
    exclude_clip_ids: Annotated[
        tuple[Identifier, ...],
        LAX,
        Field(max_length=MAX_EXCLUDED, description="No hits: clips that a user has seen. Unknown ones do not matter."),
    ] = ()
    exclude_dancer_ids: Annotated[
        tuple[Identifier, ...],
        LAX,
        Field(max_length=MAX_LISTED, description="Dancers whose clips are no hits. Unknown ones do not matter."),
    ] = ()

    def query(self) -> SimilarQuery:
        return SimilarQuery(
            clip_id=self.clip_id,
            dancer_id=self.dancer_id,
            embeddings=self.embeddings,
            like=_examples("like", self.like or ()),
            unlike=_examples("unlike", self.unlike),
            unlike_weight=self.unlike_weight,
            weights=self.weights,
            challenge_ids=self.challenge_ids,
            among_dancer_ids=self.among_dancer_ids,
            exclude_clip_ids=self.exclude_clip_ids,
            exclude_dancer_ids=self.exclude_dancer_ids,
            **self.options(),
        )


def _examples(field: str, asked: Sequence[ExampleRequest]) -> list[Example]:
    made = []
    for number, each in enumerate(asked):
        with placed(f"{field}.{number}"):
            made.append(
                Example(clip_id=each.clip_id, dancer_id=each.dancer_id, embeddings=each.embeddings, weight=each.weight)
            )
    return made

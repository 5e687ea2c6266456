"""Questions to the ranking and their answers. Plain dataclasses, shared by HTTP, the command line and tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Dimension, Modality

MAX_HITS: Final = 1000

Grouping = Literal["clip", "dancer"]
Order = Literal["top", "bottom"]


def uniform_weights() -> dict[Modality, float]:
    return dict.fromkeys(MODALITIES, 1.0)


@dataclass(frozen=True, kw_only=True)
class SimilarQuery:
    """Who dances like this? Exactly one of ``clip_id``, ``dancer_id`` and ``embeddings`` is the example.

    ``weights`` (≥ 0, not all 0; a modality left out counts 0) say how much each modality matters. ``group_by="dancer"``
    gives one hit per dancer, the best clip. ``include_own`` admits other clips of the example's own dancer; the
    example clip itself never comes back. Raises ``QueryError`` naming the parameter.
    """

    clip_id: str | None = None
    dancer_id: str | None = None
    embeddings: Mapping[Modality, list[float]] | None = None
    weights: Mapping[Modality, float] = field(default_factory=uniform_weights)
    challenge_id: str | None = None
    k: int = 10
    group_by: Grouping = "clip"
    include_own: bool = False

    def __post_init__(self) -> None:
        examples = [name for name in ("clip_id", "dancer_id", "embeddings") if getattr(self, name) is not None]
        if len(examples) != 1:
            given = ", ".join(examples) or "none"
            raise QueryError(f"give exactly one of clip_id, dancer_id and embeddings; got {given}", field="clip_id")
        if not 1 <= self.k <= MAX_HITS:
            raise QueryError(f"k is {self.k}; expected 1 to {MAX_HITS}", field="k")
        if any(not 0 <= weight < float("inf") for weight in self.weights.values()):
            raise QueryError("weights must be finite numbers of at least 0", field="weights")
        if not any(self.weights.values()):
            raise QueryError("at least one weight must be above 0", field="weights")


@dataclass(frozen=True)
class GenerationState:
    """A model generation: ``clips`` scored under it, and when it was last activated, if ever."""

    generation: str
    clips: int
    in_force: bool
    chosen_at_ms: int | None
    retired: bool


@dataclass(frozen=True)
class SimilarHit:
    """One hit. ``similarity`` = Σ_m w_m cos_m / Σ_m w_m over the modalities m that the example has.

    A modality that the hit lacks adds nothing to the sum and stands in ``missing``: no evidence never counts as
    likeness. ``similarities`` holds cos_m, in [-1, 1], for every modality that both have, weighted or not.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    similarity: float
    similarities: dict[Modality, float]
    missing: list[Modality]


@dataclass(frozen=True)
class SimilarAnswer:
    """Hits, best first; ``weights`` as applied (normalised to sum 1 over the modalities that the example has).

    ``approximate``: the index may have missed more similar clips. The similarities of the hits are exact either way.
    """

    generation: str
    weights: dict[Modality, float]
    hits: list[SimilarHit]
    approximate: bool = False


@dataclass(frozen=True)
class RankedClip:
    """A clip's place in its challenge by one dimension.

    ``rank`` is 1 for the highest score; equal scores share the smallest rank and are listed by clip id. ``percentile``
    is the share of the challenge's clips that score lower, counting half of those that score the same (itself among
    them), in percent.
    """

    rank: int
    percentile: float
    clip_id: str
    dancer_id: str
    score: float


@dataclass(frozen=True)
class Ranking:
    """One end of a challenge's ranking by ``dimension``: best first for ``top``, worst first for ``bottom``.

    ``clips`` counts all clips of the challenge that have a score in this dimension.
    """

    challenge_id: str
    dimension: Dimension
    generation: str
    order: Order
    clips: int
    entries: list[RankedClip]


@dataclass(frozen=True)
class ChallengeAttention:
    """Which aspect matters most in a challenge: the mean attention (Eq. 12) of each modality over the clips that have
    it.

    ``clips`` is the challenge's size, ``present`` how many clips have each modality. With none missing the means sum
    to 1.
    """

    challenge_id: str
    generation: str
    clips: int
    mean_attention: dict[Modality, float]
    present: dict[Modality, int]


@dataclass(frozen=True)
class Challenge:
    challenge_id: str
    clips: int


@dataclass(frozen=True)
class ClipSummary:
    """What is known of a clip under one generation: scores, attention, and its place by each dimension it has.

    ``training_distance``: how far the clip is from those that the model was trained on, over the limit that the bundle
    states; ``None`` where it states none. Beyond the limit, ``outside_training_distribution``, a clip is in no ranking
    and has no places.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    uploaded_at_ms: int
    duration_s: float
    generation: str
    scored_at_ms: int
    scores: dict[Dimension, float]
    attention: dict[Modality, float]
    missing: list[Modality]
    places: dict[Dimension, RankedClip]
    training_distance: float | None = None
    outside_training_distribution: bool = False

"""Questions about dancers who dance alike, and their answers. Plain dataclasses, shared by HTTP, commands and tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.errors import QueryError
from schemas.modalities import Modality
from schemas.questions.retrieval import MAX_HITS, check_weights, uniform_weights

By = Literal["profile", "clips"]


@dataclass(frozen=True, kw_only=True)
class SimilarDancersQuery:
    """Who dances like ``dancer_id``? ``by="profile"`` compares the mean of all of a dancer's clips with that of the
    other's; ``by="clips"`` with the other's most similar clip.

    ``weights`` are those of ``SimilarQuery``. Raises ``QueryError`` naming the parameter.
    """

    dancer_id: str
    by: By = "profile"
    weights: Mapping[Modality, float] = field(default_factory=uniform_weights)
    k: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_HITS:
            raise QueryError(f"k is {self.k}; expected 1 to {MAX_HITS}", field="k")
        check_weights(self.weights)


@dataclass(frozen=True)
class SimilarDancer:
    """One hit, with the number of its ``clips``. Similarities are as in ``SimilarHit``: of the dancer's profile, or of
    the most similar clip, ``clip_id``, where dancers are compared by clips.
    """

    dancer_id: str
    clips: int
    similarity: float
    similarities: dict[Modality, float]
    missing: list[Modality]
    clip_id: str | None = None


@dataclass(frozen=True)
class SimilarDancersAnswer:
    """Hits, best first; ``weights`` as applied. ``approximate``: more similar dancers may be missing; the similarities
    of the hits are exact either way.
    """

    generation: str
    dancer_id: str
    by: By
    weights: dict[Modality, float]
    hits: list[SimilarDancer]
    approximate: bool = False

"""Questions to the ranking and their answers. Plain dataclasses, shared by HTTP, the command line and tests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Final, Literal

from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Dimension, Modality
from schemas.virality_target import Target

MAX_HITS: Final = 1000
MAX_EXAMPLES: Final = 100
MAX_LISTED: Final = 1000
"""Challenges or dancers of a filter, and dancers to exclude."""
MAX_EXCLUDED: Final = 10_000
"""Clips to exclude, such as those that a user has seen."""
MMR_POOL: Final = 200
MAX_TIME_MS: Final = (1 << 53) - 1
UNLIKE_WEIGHT: Final = 0.2
"""γ / β of Rocchio: 0.15 / 0.75 in Manning, Raghavan, Schütze: Introduction to Information Retrieval, 2008, 9.1."""
_EXAMPLES: Final = ("clip_id", "dancer_id", "embeddings")
_MOST: Final = {
    "like": MAX_EXAMPLES,
    "unlike": MAX_EXAMPLES,
    "challenge_ids": MAX_LISTED,
    "among_dancer_ids": MAX_LISTED,
    "exclude_clip_ids": MAX_EXCLUDED,
    "exclude_dancer_ids": MAX_LISTED,
}

Grouping = Literal["clip", "dancer"]
Order = Literal["top", "bottom"]
Window = Literal["1h", "24h", "7d", "all"]
"""Clips by the time of their upload: since the full minute an hour ago, since the full hour 24 hours or 7 days ago."""


@contextmanager
def placed(place: str | None) -> Iterator[None]:
    """A ``QueryError`` raised within names its parameter below ``place``, such as ``like.0``."""
    try:
        yield
    except QueryError as error:
        if place is None:
            raise
        raise type(error)(f"{place}: {error.message}", field=f"{place}.{error.field}") from None


def uniform_weights() -> dict[Modality, float]:
    return dict.fromkeys(MODALITIES, 1.0)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example of several: exactly one of ``clip_id``, ``dancer_id`` and ``embeddings``.

    ``weight`` (> 0) is relative to the other examples of its list. Raises ``QueryError`` naming the parameter.
    """

    clip_id: str | None = None
    dancer_id: str | None = None
    embeddings: Mapping[Modality, list[float]] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        given = [name for name in _EXAMPLES if getattr(self, name) is not None]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise QueryError(f"an example is exactly one of {', '.join(_EXAMPLES)}; got {got}", field="clip_id")
        if not 0 < self.weight < inf:
            raise QueryError(f"the weight of an example is {self.weight}; expected a number above 0", field="weight")


@dataclass(frozen=True, kw_only=True)
class SimilarQuery:
    """Who dances like this? Exactly one of ``clip_id``, ``dancer_id``, ``embeddings`` and ``like`` is the example.

    *Example.* ``like`` and ``unlike`` are several examples: the direction asked for is, in each modality that any of
    ``like`` has, the mean of ``like`` minus ``unlike_weight`` (0 to 1) times the mean of ``unlike`` (Rocchio). An
    example clip never comes back, nor does any clip of a dancer in ``unlike``; ``include_own`` admits other clips of
    the dancers of ``like``.

    *Weights* (finite, not all 0; a modality left out counts 0) say how much each modality matters; a negative one asks
    for clips unlike the example in that modality.

    *Filters*, which hold together: challenges, dancers, upload times (``uploaded_from_ms`` ≤ t <
    ``uploaded_before_ms``, since the epoch, UTC), the percentile of ``percentile_by`` within the clip's challenge (both
    ends included), the tier of the traffic pools, and the dance style. ``exclude_clip_ids``, such as what a user has
    seen, and ``exclude_dancer_ids`` are never hits; unknown ids there exclude nothing.

    *Order.* ``group_by="dancer"`` gives one hit per dancer, the best clip. With ``half_life_s`` positive similarities
    halve with each half-life of a clip's age. With ``mmr_lambda`` (0 to 1) the best ``mmr_pool`` hits are reordered by
    maximal marginal relevance: 1 is the order of similarity, less gives hits unlike those before them.

    *Pages.* ``cursor`` is the ``next_cursor`` of an answer to the same question; only ``k`` may differ. Raises
    ``QueryError`` naming the parameter.
    """

    clip_id: str | None = None
    dancer_id: str | None = None
    embeddings: Mapping[Modality, list[float]] | None = None
    like: Sequence[Example] = ()
    unlike: Sequence[Example] = ()
    unlike_weight: float = UNLIKE_WEIGHT
    weights: Mapping[Modality, float] = field(default_factory=uniform_weights)
    challenge_id: str | None = None
    challenge_ids: Sequence[str] = ()
    among_dancer_ids: Sequence[str] = ()
    uploaded_from_ms: int | None = None
    uploaded_before_ms: int | None = None
    percentile_from: float | None = None
    percentile_to: float | None = None
    percentile_by: Dimension = Dimension.FUSED
    tier: str | None = None
    style: str | None = None
    exclude_clip_ids: Sequence[str] = ()
    exclude_dancer_ids: Sequence[str] = ()
    k: int = 10
    group_by: Grouping = "clip"
    include_own: bool = False
    half_life_s: float | None = None
    mmr_lambda: float | None = None
    mmr_pool: int = MMR_POOL
    cursor: str | None = None

    def __post_init__(self) -> None:
        examples = [name for name in (*_EXAMPLES, "like") if getattr(self, name) not in (None, ())]
        examples = [name for name in examples if name != "like" or self.like]
        if len(examples) != 1:
            given = ", ".join(examples) or "none"
            choices = "clip_id, dancer_id, embeddings and like"
            raise QueryError(f"give exactly one of {choices}; got {given}", field="clip_id")
        if not 0 <= self.unlike_weight <= 1:
            raise QueryError(f"unlike_weight is {self.unlike_weight}; expected 0 to 1", field="unlike_weight")
        if not 1 <= self.k <= MAX_HITS:
            raise QueryError(f"k is {self.k}; expected 1 to {MAX_HITS}", field="k")
        for name, most in _MOST.items():
            if len(getattr(self, name)) > most:
                raise QueryError(f"{name} has {len(getattr(self, name))} entries; expected {most} at most", field=name)
        check_weights(self.weights)
        self._check_filters()
        if self.half_life_s is not None and not 0 < self.half_life_s < inf:
            raise QueryError(f"half_life_s is {self.half_life_s}; expected seconds above 0", field="half_life_s")
        if self.mmr_lambda is not None and not 0 <= self.mmr_lambda <= 1:
            raise QueryError(f"mmr_lambda is {self.mmr_lambda}; expected 0 to 1", field="mmr_lambda")
        if not 1 <= self.mmr_pool <= MAX_HITS:
            raise QueryError(f"mmr_pool is {self.mmr_pool}; expected 1 to {MAX_HITS}", field="mmr_pool")

    @property
    def examples(self) -> tuple[Example, ...]:
        """``like``, or the one example."""
        if self.like:
            return tuple(self.like)
        return (Example(clip_id=self.clip_id, dancer_id=self.dancer_id, embeddings=self.embeddings),)

    @property
    def every_example(self) -> tuple[Example, ...]:
        """``unlike`` included."""
        return (*self.examples, *self.unlike)

    @property
    def challenges(self) -> tuple[str, ...]:
        """The only challenges, none for all."""
        return tuple(self.challenge_ids) if self.challenge_id is None else (self.challenge_id,)

    @property
    def asks_for_percentiles(self) -> bool:
        return self.percentile_from is not None or self.percentile_to is not None

    def _check_filters(self) -> None:
        if self.challenge_id is not None and self.challenge_ids:
            raise QueryError("give challenge_id or challenge_ids, not both", field="challenge_ids")
        start_ms, end_ms = self.uploaded_from_ms, self.uploaded_before_ms
        for name in ("uploaded_from_ms", "uploaded_before_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_TIME_MS:
                raise QueryError(f"{name} is {value}; expected 0 to {MAX_TIME_MS}", field=name)
        if start_ms is not None and end_ms is not None and start_ms >= end_ms:
            problem = f"uploaded_before_ms is {end_ms}; expected a time after uploaded_from_ms, {start_ms}"
            raise QueryError(problem, field="uploaded_before_ms")
        for name in ("percentile_from", "percentile_to"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise QueryError(f"{name} is {value}; expected 0 to 100", field=name)
        low, high = self.percentile_from, self.percentile_to
        if low is not None and high is not None and low > high:
            raise QueryError(
                f"percentile_to is {high}; expected percentile_from, {low}, or more", field="percentile_to"
            )


def check_weights(weights: Mapping[Modality, float]) -> None:
    """Raises ``QueryError`` naming ``weights``."""
    if not all(map(isfinite, weights.values())):
        raise QueryError("weights must be finite numbers", field="weights")
    if not any(weights.values()):
        raise QueryError("at least one weight must not be 0", field="weights")


@dataclass(frozen=True)
class GenerationState:
    """A model generation: ``clips`` scored under it, when it was last activated, if ever, and the ``target`` that its
    scores predict.
    """

    generation: str
    clips: int
    in_force: bool
    chosen_at_ms: int | None
    retired: bool
    target: Target


@dataclass(frozen=True)
class SimilarHit:
    """One hit. ``similarity`` = Σ_m w_m cos_m over the modalities m that example and hit have.

    Σ_m |w_m| = 1 over the modalities of the example. A modality that the hit lacks adds nothing and stands in
    ``missing``: no evidence counts neither as likeness nor as unlikeness. ``similarities`` holds cos_m, in [-1, 1], for
    every modality that both have, weighted or not. ``score``: the similarity after the half-life, where one was asked
    for.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    similarity: float
    similarities: dict[Modality, float]
    missing: list[Modality]
    score: float | None = None


@dataclass(frozen=True)
class SimilarAnswer:
    """Hits, best first; ``weights`` as applied: their absolute values sum to 1 over the modalities of the example.

    ``approximate``: the index may have missed more similar clips. The similarities of the hits are exact either way.
    ``next_cursor``: for the next page, absent on the last one. While neither the example nor the clips of the pages
    change, pages have no hit twice and leave none out, whatever clips are added or deleted between them; a clip added
    before the last hit of a page is on no later one. With MMR, whose order depends on all candidates, this holds only
    while nothing changes.
    """

    generation: str
    weights: dict[Modality, float]
    hits: list[SimilarHit]
    approximate: bool = False
    next_cursor: str | None = None


@dataclass(frozen=True)
class DuplicatesAnswer:
    """Clips that seem to be the recording of ``clip_id`` uploaded again, the most similar first.

    ``threshold`` is the least similarity of a hit. ``more``: there may be others beyond ``k``. ``approximate``: the
    index may have missed some.
    """

    generation: str
    clip_id: str
    threshold: float
    hits: list[SimilarHit]
    more: bool
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

    ``clips`` counts all clips of the challenge that have a score in this dimension and were uploaded within the
    ``window``: at ``since_ms`` or later, ``None`` for all time; with a ``style``, only clips of that dance style. Ranks
    and percentiles are among these.
    """

    challenge_id: str
    dimension: Dimension
    generation: str
    order: Order
    clips: int
    entries: list[RankedClip]
    window: Window = "all"
    since_ms: int | None = None
    style: str | None = None


@dataclass(frozen=True)
class Neighbours:
    """A clip's place in its challenge by ``dimension``, among ``clips`` clips, and the clips around it.

    ``above`` are the next better ones, the nearest first, ``below`` the next worse ones, the nearest first; of equal
    scores those with a lower clip id are above. ``window``, ``since_ms`` and ``style`` are those of ``Ranking``.
    """

    challenge_id: str
    dimension: Dimension
    generation: str
    clips: int
    clip: RankedClip
    above: list[RankedClip]
    below: list[RankedClip]
    window: Window = "all"
    since_ms: int | None = None
    style: str | None = None


@dataclass(frozen=True)
class ChallengeAttention:
    """Which aspect matters most in a challenge: the mean attention (Eq. 12) of each modality over the clips that have
    it.

    ``clips`` is the challenge's size, ``present`` how many clips have each modality. With none missing the means sum
    to 1. ``window`` and ``since_ms`` are those of ``Ranking``.
    """

    challenge_id: str
    generation: str
    clips: int
    mean_attention: dict[Modality, float]
    present: dict[Modality, int]
    window: Window = "all"
    since_ms: int | None = None


@dataclass(frozen=True)
class Challenge:
    challenge_id: str
    clips: int


@dataclass(frozen=True)
class ClipSummary:
    """What is known of a clip under one generation: scores, attention, and its place by each dimension it has.

    ``training_distance``: how far the clip is from those that the model was trained on, over the limit that the bundle
    states; ``None`` where it states none. Beyond the limit, ``outside_training_distribution``, a clip is in no ranking
    and has no places. ``style``: the dance style, ``unknown`` if it is none of those that the bundle's classifier
    knows, ``None`` without a skeleton or a classifier, and the ``style_probability`` of the most probable one.
    ``ranked_clips``: among how many clips each place is. ``window`` and ``since_ms`` are those of ``Ranking``: a clip
    from before has no places.
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
    style: str | None = None
    style_probability: float | None = None
    window: Window = "all"
    since_ms: int | None = None
    ranked_clips: dict[Dimension, int] = field(default_factory=dict)

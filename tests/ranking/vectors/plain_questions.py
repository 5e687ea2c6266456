"""Every question about similar clips, answered slowly: all clips, one by one, without lists, bounds or indexes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ranking.vectors.backends.port import IndexBackend
from ranking.vectors.embedding_space import EmbeddingSpace
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.questions.retrieval import Example, SimilarQuery
from tests.ranking.examples import logged, result, scored_clip

DIMS = dict(zip(FUSED_MODALITIES, (5, 4, 3, 2), strict=True))
NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
Vectors = dict[Modality, np.ndarray]


class Clip(NamedTuple):
    """``embeddings`` are float16, as in the log, of any length."""

    clip_id: str
    dancer_id: str
    challenge_id: str
    uploaded_at_ms: int
    percentile: float
    tier: str
    embeddings: Vectors

    @property
    def vectors(self) -> Vectors:
        """Unit vectors (D,)."""
        return {m: v.astype(float) / np.linalg.norm(v.astype(float)) for m, v in self.embeddings.items()}


class PlainHit(NamedTuple):
    clip: Clip
    similarity: float
    score: float


def random_clips(count: int, seed: int, *, presence: float = 0.7, grid: bool = False) -> list[Clip]:
    """``grid`` draws from few directions, so that many similarities are equal."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        embeddings = {}
        for modality, dim in DIMS.items():
            values = (rng.integers(-1, 2, dim) if grid else rng.normal(size=dim)).astype(np.float16)
            if rng.random() < presence and values.any():
                embeddings[modality] = values
        clips.append(
            Clip(
                f"c{number:04d}",
                f"d{rng.integers(max(2, count // 4))}",
                f"ch{rng.integers(3)}",
                NOW_MS - int(rng.integers(0, 72)) * HOUR_MS,
                float(rng.integers(0, 101)),
                f"t{rng.integers(3)}",
                embeddings,
            )
        )
    return clips


def space_of(clips: Sequence[Clip], backend: IndexBackend) -> EmbeddingSpace:
    """An embedding space that holds the clips."""
    space = EmbeddingSpace("g1", backend)
    scored = [
        scored_clip(
            clip.clip_id,
            dancer_id=clip.dancer_id,
            challenge_id=clip.challenge_id,
            uploaded_at_ms=clip.uploaded_at_ms,
            modalities={modality: result(vector) for modality, vector in clip.embeddings.items()},
        )
        for clip in clips
    ]
    space.change(space.changes(logged(scored), NOW_MS))
    return space


class InRange:
    """``ClipCondition`` by the clips' own percentile and tier, which lists them if they are few."""

    def __init__(self, clips: Sequence[Clip], query: SimilarQuery, most_listed: int) -> None:
        self._clips = [clip.clip_id for clip in clips if _in_range(clip, query)]
        self._most_listed = most_listed
        self.asked: list[str] = []

    def listed(self) -> list[str] | None:
        return self._clips if len(self._clips) <= self._most_listed else None

    def satisfied(self, clip_ids: Sequence[str]) -> set[str]:
        self.asked += clip_ids
        return set(self._clips) & set(clip_ids)


def weights_of(query: SimilarQuery, asked: Vectors) -> dict[Modality, float]:
    total = sum(abs(query.weights.get(modality, 0.0)) for modality in asked)
    return {modality: query.weights.get(modality, 0.0) / total for modality in asked} if total else {}


def direction_of(clips: Sequence[Clip], query: SimilarQuery) -> Vectors:
    """Rocchio's direction in each modality that any liked example has."""
    like = [(_vectors(clips, example), example.weight) for example in query.examples]
    unlike = [(_vectors(clips, example), example.weight) for example in query.unlike]
    directions = {}
    for modality in FUSED_MODALITIES:
        sides = []
        for side in (like, unlike):
            having = [(vectors[modality], weight) for vectors, weight in side if modality in vectors]
            sides.append(sum(v * w for v, w in having) / sum(w for _, w in having) if having else 0.0)
        if any(modality in vectors for vectors, _ in like):
            combined = np.asarray(sides[0] - query.unlike_weight * sides[1], float)
            if np.linalg.norm(combined) > 1e-6:
                directions[modality] = combined / np.linalg.norm(combined)
    return directions


def plain_hits(clips: Sequence[Clip], query: SimilarQuery) -> list[PlainHit]:
    """All that may be hits, best first, one for each dancer if they are grouped; before ``k``."""
    asked = direction_of(clips, query)
    weights = weights_of(query, asked)
    hits = []
    for clip in clips:
        vectors = clip.vectors
        shared = [modality for modality in asked if modality in vectors and weights.get(modality)]
        if shared and _admitted(clip, query) and not _excluded(clips, clip, query):
            cosines = {m: float(asked[m] @ vectors[m]) for m in shared}
            similarity = sum(weights[m] * cosines[m] for m in shared)
            hits.append(PlainHit(clip, similarity, _faded(similarity, clip, query)))
    hits.sort(key=lambda hit: (-round(hit.score, 7), hit.clip.clip_id))
    if query.group_by == "dancer":
        best: dict[str, PlainHit] = {}
        for hit in hits:
            best.setdefault(hit.clip.dancer_id, hit)
        hits = [*best.values()]
    return hits


def plain_between(query: SimilarQuery, clips: Sequence[Clip], one: Clip, other: Clip) -> float:
    """Similarity of two clips to each other, for MMR."""
    weights = weights_of(query, direction_of(clips, query))
    ours, theirs = one.vectors, other.vectors
    return sum(abs(weights[m]) * float(ours[m] @ theirs[m]) for m in weights if m in ours and m in theirs)


def _faded(similarity: float, clip: Clip, query: SimilarQuery) -> float:
    if query.half_life_s is None or similarity <= 0:
        return similarity
    age_s = max(NOW_MS - clip.uploaded_at_ms, 0) / 1000
    return similarity * 0.5 ** (age_s / query.half_life_s)


def _vectors(clips: Sequence[Clip], example: Example) -> Mapping[Modality, np.ndarray]:
    if example.embeddings is not None:
        return {m: np.asarray(v, float) / np.linalg.norm(v) for m, v in example.embeddings.items()}
    if example.clip_id is not None:
        return next(clip.vectors for clip in clips if clip.clip_id == example.clip_id)
    own = [clip.vectors for clip in clips if clip.dancer_id == example.dancer_id]
    sums = {
        m: np.sum([v[m] for v in own if m in v], axis=0, dtype=float)
        for m in FUSED_MODALITIES
        if any(m in v for v in own)
    }
    return {m: total / np.linalg.norm(total) for m, total in sums.items() if np.linalg.norm(total) > 1e-6}


def _admitted(clip: Clip, query: SimilarQuery) -> bool:
    return (
        (not query.challenges or clip.challenge_id in query.challenges)
        and (not query.among_dancer_ids or clip.dancer_id in query.among_dancer_ids)
        and (query.uploaded_from_ms is None or clip.uploaded_at_ms >= query.uploaded_from_ms)
        and (query.uploaded_before_ms is None or clip.uploaded_at_ms < query.uploaded_before_ms)
        and _in_range(clip, query)
    )


def _in_range(clip: Clip, query: SimilarQuery) -> bool:
    return (
        (query.percentile_from is None or clip.percentile >= query.percentile_from)
        and (query.percentile_to is None or clip.percentile <= query.percentile_to)
        and query.tier in (None, clip.tier)
    )


def _excluded(clips: Sequence[Clip], clip: Clip, query: SimilarQuery) -> bool:
    dancers = {each.clip_id: each.dancer_id for each in clips}
    own = {dancers.get(example.clip_id or "", example.dancer_id) for example in query.examples}
    return (
        clip.clip_id in {example.clip_id for example in query.every_example}
        or clip.dancer_id in {example.dancer_id for example in query.unlike}
        or (clip.dancer_id in own and not query.include_own)
        or clip.clip_id in query.exclude_clip_ids
        or clip.dancer_id in query.exclude_dancer_ids
    )

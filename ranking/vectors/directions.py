"""What a question's examples point to: one direction for each modality, and the clips that are never hits.

Several examples are combined by Rocchio's formula without a query of its own (J. J. Rocchio: Relevance feedback in
information retrieval, in: The SMART retrieval system, 1971, 313–323): with unit vectors x of the examples and their
weights a, the direction of a modality is

    d = Σ_like a x / Σ_like a − γ Σ_unlike a x / Σ_unlike a,

scaled to length 1; γ is ``unlike_weight``. A modality that no example of ``like`` has is not asked for, whatever
``unlike`` has. Legend: D width.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ranking.vectors.catalogue import Catalogue
from ranking.vectors.profiles import IndexesByWidth, Profiles, mean_directions
from ranking.vectors.unit_vectors import unit
from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32
from schemas.questions.retrieval import Example, SimilarQuery, placed


class Asked(NamedTuple):
    """Unit vectors (D,) by modality; the examples' own clips and dancers, which are never hits."""

    vectors: dict[Modality, Float32]
    clip_ids: set[str]
    dancer_ids: set[str]


class _Weighted(NamedTuple):
    vector: Float32
    weight: float


class Directions:
    """Resolves examples against a catalogue, indexes and profiles, which must not change meanwhile."""

    def __init__(self, catalogue: Catalogue, indexes: IndexesByWidth, profiles: Profiles) -> None:
        self._catalogue = catalogue
        self._indexes = indexes
        self._profiles = profiles

    def asked(self, query: SimilarQuery) -> Asked:
        """Raises ``NotFound`` and ``QueryError`` naming the parameter."""
        like = [*_numbered(query.examples, "like" if query.like else None)]
        unlike = [*_numbered(query.unlike, "unlike")]
        clip_ids = {example.clip_id for _, example in like + unlike if example.clip_id is not None}
        dancers = [example.dancer_id for _, example in unlike]
        if not query.include_own:
            dancers += [self._dancer_of(example, place) for place, example in like]
        wanted = [self._weighted(place, example) for place, example in like]
        unwanted = [self._weighted(place, example) for place, example in unlike]
        vectors: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            positive = [each[modality] for each in wanted if modality in each]
            negative = [each[modality] for each in unwanted if modality in each]
            if positive and (direction := _direction(positive, negative, query.unlike_weight)) is not None:
                vectors[modality] = direction
        return Asked(vectors, clip_ids, {dancer_id for dancer_id in dancers if dancer_id is not None})

    def _dancer_of(self, example: Example, place: str | None) -> str | None:
        if example.clip_id is None:
            return example.dancer_id
        with placed(place):
            return self._catalogue.entry(self._catalogue.row_of(example.clip_id)).dancer_id

    def _weighted(self, place: str | None, example: Example) -> dict[Modality, _Weighted]:
        with placed(place):
            if example.clip_id is not None:
                vectors = mean_directions(
                    np.array([self._catalogue.row_of(example.clip_id)]), self._catalogue, self._indexes
                )
            elif example.dancer_id is not None:
                vectors = self._profiles.directions(example.dancer_id, self._catalogue, self._indexes)
            else:
                vectors = self._raw_vectors(example.embeddings or {})
        return {modality: _Weighted(vector, example.weight) for modality, vector in vectors.items()}

    def _raw_vectors(self, embeddings: Mapping[Modality, list[float]]) -> dict[Modality, Float32]:
        vectors: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            if modality not in embeddings:
                continue
            field = f"embeddings.{modality}"
            if modality not in self._indexes:
                raise QueryError(f"{field}: no clip here has a {modality} embedding to compare with", field=field)
            values = np.asarray(embeddings[modality], np.float64)
            widths = sorted(self._indexes[modality])
            if values.shape not in [(width,) for width in widths]:
                expected = " or ".join(map(str, widths))
                raise QueryError(f"{field} has shape {values.shape}; expected {expected} numbers", field=field)
            if not np.isfinite(values).all():
                raise QueryError(f"{field} holds NaN or an infinity", field=field)
            direction = unit(values)
            if direction is None:
                raise QueryError(f"{field} is all zero and has no direction to compare", field=field)
            vectors[modality] = direction
        if not vectors:
            raise QueryError("embeddings hold no modality", field="embeddings")
        return vectors


def _direction(like: Sequence[_Weighted], unlike: Sequence[_Weighted], unlike_weight: float) -> Float32 | None:
    """Of several widths that which most of ``like`` have, the smaller first; ``None`` if the examples cancel out."""
    if len(like) == 1 and not unlike:
        return like[0].vector
    counts = Counter(len(each.vector) for each in like)
    width = min(counts, key=lambda width: (-counts[width], width))
    sides = [[each for each in side if len(each.vector) == width] for side in (like, unlike)]
    combined = np.zeros(width)
    for side, sign in zip(sides, (1.0, -unlike_weight), strict=True):
        if side:
            largest = max(each.weight for each in side)  # keeps sums of very large weights in range
            weights = np.array([each.weight / largest for each in side])
            combined += sign * (weights / weights.sum()) @ np.stack([each.vector for each in side]).astype(np.float64)
    return unit(combined) if np.linalg.norm(combined) > _CANCELLED else None


_CANCELLED = 1e-6
"""Below this length a sum of float32 unit vectors is rounding, and has no direction."""


def _numbered(examples: Sequence[Example], field: str | None) -> Iterator[tuple[str | None, Example]]:
    for number, example in enumerate(examples):
        yield None if field is None else f"{field}.{number}", example

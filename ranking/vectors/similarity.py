"""Who dances like this? Answers over one index per modality, by the threshold algorithm.

Legend: N clips, D embedding width. With weights w_m that sum to 1, a clip's similarity is s = Σ_m w_m cos_m, where a
modality that it lacks adds 0. The nearest clips of each modality are fetched and their s completed from the stored
vectors; a clip in none of the lists has s ≤ Σ_m w_m max(last_m, 0), with last_m the last cosine of list m. Once the
k-th best exceeds that bound nothing unseen can matter; until then the lists grow. (R. Fagin, A. Lotem, M. Naor:
Optimal aggregation algorithms for middleware. J. Computer and System Sciences 66, 2003, 614–656.)

With exact indexes the answer is exact. An approximate one may leave out near clips, then so may the answer, which says
so; the similarity of each hit is computed from the stored vectors either way.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.port import Filter, VectorIndex, unit
from ranking.vectors.catalogue import Catalogue
from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Int64
from schemas.queries import Grouping, SimilarAnswer, SimilarHit, SimilarQuery

_FIRST_FETCH: Final = 256
_GROWTH: Final = 8
_ROUNDING: Final = 1e-5
"""Slack of the bound: an index may sum a float32 cosine in another order than is done here."""
_NO_ROWS: Final[Int64] = np.empty(0, np.int64)

Float64 = npt.NDArray[np.float64]


IndexesByWidth = Mapping[Modality, Mapping[int, VectorIndex]]
"""The indexes of a space by modality and width. A clip has at most one vector of each modality."""


class _Example(NamedTuple):
    """Unit vectors (D,) by modality, and the catalogue's rows that are never hits."""

    vectors: dict[Modality, Float32]
    excluded: Int64


class _Nearest(NamedTuple):
    """Rows of the clips that the indexes found; how similar all others are at most, ``None`` if there are none."""

    rows: Int64
    bound: float | None
    exact: bool


class _Candidates(NamedTuple):
    """Rows of the clips seen, and their similarity, (N,); ``cosines`` by modality, (N,), NaN where a clip lacks it."""

    rows: Int64
    similarity: Float64
    cosines: dict[Modality, Float64]


class SimilaritySearch:
    """Answers queries over a catalogue and indexes. The catalogue must not change meanwhile; an index may hold more
    clips than it, which are left out, and lack vectors, which count as missing, as does a vector of another width than
    the example's.
    """

    def __init__(self, generation: str, catalogue: Catalogue, indexes: IndexesByWidth) -> None:
        self._generation = generation
        self._catalogue = catalogue
        self._indexes = indexes

    def answer(self, query: SimilarQuery) -> SimilarAnswer:
        """The k most similar clips, or one clip each of the k most similar dancers; ties by clip id.

        A clip that shares none of the weighted modalities with the example cannot be compared and is not a hit. Raises
        ``NotFound`` and ``QueryError`` naming the parameter.
        """
        example = self._example(query)
        weights = _normalised(query.weights, example.vectors)
        among = None if query.challenge_id is None else self._of_challenge(query.challenge_id)
        compared = [modality for modality, weight in weights.items() if weight > 0]
        fetch = max(_FIRST_FETCH, 2 * query.k)
        while True:
            nearest = self._nearest(example, weights, fetch, among)
            candidates = self._completed(np.setdiff1d(nearest.rows, example.excluded), example, weights, compared)
            best, bound = self._best(candidates, query.k, query.group_by), nearest.bound
            if bound is None or (len(best) == query.k and candidates.similarity[best[-1]] > bound + _ROUNDING):
                shown = self._completed(candidates.rows[best], example, weights, [*weights])
                hits = [self._hit(shown, number) for number in range(len(best))]
                return SimilarAnswer(self._generation, weights, hits, approximate=not nearest.exact)
            fetch *= _GROWTH

    def _of_challenge(self, challenge_id: str) -> Filter:
        rows = self._catalogue.rows_of_challenges([challenge_id])
        return Filter(
            challenge_id=challenge_id,
            clip_ids=lambda: self._catalogue.clip_ids(rows),
            rows=lambda: rows,
            count=len(rows),
        )

    def _nearest(
        self, example: _Example, weights: Mapping[Modality, float], fetch: int, among: Filter | None
    ) -> _Nearest:
        """The ``fetch`` nearest of each weighted modality."""
        seen, bound, exhausted, exact = [_NO_ROWS], 0.0, True, True
        for modality, weight in weights.items():
            if weight > 0 and modality in self._indexes:
                vector = example.vectors[modality]
                found = self._indexes[modality][len(vector)].search(vector, fetch, among=among)
                # An index that other replicas write to may know a clip, or its new challenge, earlier or later.
                rows = self._catalogue.rows_of(found.ids)
                if among is not None and among.challenge_id is not None:
                    rows = rows[self._catalogue.of_challenges(rows, [among.challenge_id])]
                seen.append(rows[self._catalogue.having(modality, rows)])
                exact = exact and found.exact
                if len(found.ids) == fetch:
                    bound += weight * max(float(found.similarities[-1]), 0.0)
                    exhausted = False
        return _Nearest(np.concatenate(seen), None if exhausted else bound, exact)

    def _completed(
        self, rows: Int64, example: _Example, weights: Mapping[Modality, float], modalities: Sequence[Modality]
    ) -> _Candidates:
        similarity = np.zeros(len(rows))
        cosines: dict[Modality, Float64] = {}
        for modality in modalities:
            cosines[modality] = np.full(len(rows), np.nan)
            has = self._catalogue.having(modality, rows)
            if has.any():
                index = self._indexes[modality][len(example.vectors[modality])]
                vectors = index.vectors(self._catalogue.clip_ids(rows[has]))
                # Not a matrix product: BLAS may round equal rows differently, and they have to tie.
                cosines[modality][has] = np.clip(np.einsum("nd,d->n", vectors, example.vectors[modality]), -1.0, 1.0)
                similarity += weights[modality] * np.nan_to_num(cosines[modality])
        return _Candidates(rows, similarity, cosines)

    def _best(self, candidates: _Candidates, k: int, group_by: Grouping) -> list[int]:
        """Numbers of the k best candidates, or of the best clip of each of the k best dancers, best first."""
        similarity, reach = candidates.similarity, k
        while True:
            # All down to some similarity, ties included, so that what is sorted is a beginning of the whole order.
            everything = reach >= len(similarity)
            least = -np.inf if everything else np.partition(similarity, -reach)[-reach]
            numbers = np.flatnonzero(similarity >= least).tolist()
            entries = {number: self._catalogue.entry(int(candidates.rows[number])) for number in numbers}
            numbers.sort(key=lambda number: (-similarity[number], entries[number].clip_id))
            if group_by == "dancer":
                best_of: dict[str, int] = {}
                for number in numbers:
                    best_of.setdefault(entries[number].dancer_id, number)
                numbers = list(best_of.values())
            if everything or len(numbers) >= k:
                return numbers[:k]
            reach *= _GROWTH

    def _hit(self, candidates: _Candidates, number: int) -> SimilarHit:
        clip = self._catalogue.entry(int(candidates.rows[number]))
        cosines = {modality: float(values[number]) for modality, values in candidates.cosines.items()}
        return SimilarHit(
            clip_id=clip.clip_id,
            dancer_id=clip.dancer_id,
            challenge_id=clip.challenge_id,
            similarity=float(candidates.similarity[number]),
            similarities={modality: cosine for modality, cosine in cosines.items() if not isnan(cosine)},
            missing=[modality for modality, cosine in cosines.items() if isnan(cosine)],
        )

    def _example(self, query: SimilarQuery) -> _Example:
        if query.clip_id is not None:
            row = self._catalogue.row_of(query.clip_id)
            rows = np.array([row], np.int64)
            own = rows if query.include_own else self._catalogue.rows_of_dancers([self._catalogue.entry(row).dancer_id])
            return _Example(self._mean_vectors(rows), own)
        if query.dancer_id is not None:
            rows = self._catalogue.rows_of_dancers([query.dancer_id])
            return _Example(self._mean_vectors(rows), _NO_ROWS if query.include_own else rows)
        return _Example(self._raw_vectors(query.embeddings or {}), _NO_ROWS)

    def _mean_vectors(self, rows: Int64) -> dict[Modality, Float32]:
        """The direction of the mean of the clips' unit vectors, for each modality that any of them has; of several
        widths those of which there are most, the smaller first.
        """
        means: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            having = rows[self._catalogue.having(modality, rows)]
            if len(having):
                clip_ids = self._catalogue.clip_ids(having)
                of_width = (index.vectors(clip_ids) for _, index in sorted(self._indexes[modality].items()))
                vectors = max((found[~np.isnan(found[:, 0])] for found in of_width), key=len)
                if len(vectors) > 1:
                    direction = unit(vectors.mean(axis=0, dtype=np.float64))
                else:
                    direction = next(iter(vectors), None)
                if direction is not None:
                    means[modality] = direction
        return means

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


def _normalised(asked: Mapping[Modality, float], vectors: Mapping[Modality, Float32]) -> dict[Modality, float]:
    """Weights that sum to 1 over the modalities that the example has."""
    largest = max((asked.get(modality, 0.0) for modality in vectors), default=0.0)
    if not largest:
        has = ", ".join(vectors) or "no modality at all"
        wanted = ", ".join(modality for modality in MODALITIES if asked.get(modality))
        raise QueryError(
            f"the example has {has}, and only {wanted} have a weight; weigh one that it has", field="weights"
        )
    scaled = {modality: asked.get(modality, 0.0) / largest for modality in vectors}
    total = sum(scaled.values())
    return {modality: weight / total for modality, weight in scaled.items()}

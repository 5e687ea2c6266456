"""Who dances like this? Exact answers over one index per modality, by the threshold algorithm.

Legend: N clips, D embedding width. With weights w_m that sum to 1, a clip's similarity is s = Σ_m w_m cos_m, where a
modality that it lacks adds 0. The nearest clips of each modality are fetched and their s completed from the stored
vectors; a clip in none of the lists has s ≤ Σ_m w_m max(last_m, 0), with last_m the last cosine of list m. Once the
k-th best exceeds that bound nothing unseen can matter; until then the lists grow. (R. Fagin, A. Lotem, M. Naor:
Optimal aggregation algorithms for middleware. J. Computer and System Sciences 66, 2003, 614–656.)
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ranking.vectors.backends.port import NO_IDS, StoredIndex, unit
from ranking.vectors.catalogue import Catalogue
from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Int64
from schemas.queries import Grouping, SimilarAnswer, SimilarHit, SimilarQuery

_FIRST_FETCH: Final = 256
_GROWTH: Final = 8
_ROUNDING: Final = 1e-5
"""Slack of the bound: an index may sum a float32 cosine in another order than is done here."""


Float64 = npt.NDArray[np.float64]


class _Example(NamedTuple):
    """Unit vectors (D,) by modality, and the ids that never come back."""

    vectors: dict[Modality, Float32]
    excluded: Int64


class _Candidates(NamedTuple):
    """Clips seen, and the similarity of each, (N,). ``cosines`` by modality, NaN where a clip lacks it, (N,)."""

    ids: Int64
    similarity: Float64
    cosines: dict[Modality, Float64]


class SimilaritySearch:
    """Answers queries over indexes and a catalogue that nobody changes meanwhile."""

    def __init__(self, generation: str, catalogue: Catalogue, indexes: Mapping[Modality, StoredIndex]) -> None:
        self._generation = generation
        self._catalogue = catalogue
        self._indexes = indexes

    def answer(self, query: SimilarQuery) -> SimilarAnswer:
        """The k most similar clips, or one clip each of the k most similar dancers; ties by clip id.

        A clip that shares none of the weighted modalities with the example cannot be compared and is no hit. Raises
        ``NotFound`` and ``QueryError`` naming the parameter.
        """
        example = self._example(query)
        weights = _normalised(query.weights, example.vectors)
        among = None if query.challenge_id is None else self._catalogue.ids_of_challenge(query.challenge_id)
        fetch = max(_FIRST_FETCH, 2 * query.k)
        while True:
            seen, bound = self._nearest(example, weights, fetch, among)
            candidates = self._completed(np.setdiff1d(seen, example.excluded), example, weights)
            best = self._best(candidates, query.k, query.group_by)
            if bound is None or (len(best) == query.k and candidates.similarity[best[-1]] > bound + _ROUNDING):
                hits = [self._hit(candidates, row, example) for row in best]
                return SimilarAnswer(self._generation, weights, hits)
            fetch *= _GROWTH

    def _nearest(
        self, example: _Example, weights: Mapping[Modality, float], fetch: int, among: Int64 | None
    ) -> tuple[Int64, float | None]:
        """The ``fetch`` nearest of each weighted modality, and the bound on all others (``None``: there are none)."""
        seen, bound, exhausted = [NO_IDS], 0.0, True
        for modality, weight in weights.items():
            if weight > 0 and modality in self._indexes:
                cosines, ids = self._indexes[modality].search(example.vectors[modality][None], fetch, among=among)
                seen.append(ids[0])
                if ids.shape[1] == fetch:
                    bound += weight * max(float(cosines[0, -1]), 0.0)
                    exhausted = False
        return np.concatenate(seen), None if exhausted else bound

    def _completed(self, ids: Int64, example: _Example, weights: Mapping[Modality, float]) -> _Candidates:
        similarity = np.zeros(len(ids))
        cosines: dict[Modality, Float64] = {}
        for modality, vector in example.vectors.items():
            cosines[modality] = np.full(len(ids), np.nan)
            has = self._catalogue.having(modality, ids)
            if has.any():
                rows = self._indexes[modality].vectors(ids[has])
                # Not a matrix product: BLAS may round equal rows differently, and they have to tie.
                cosines[modality][has] = np.clip(np.einsum("nd,d->n", rows, vector), -1.0, 1.0)
                similarity[has] += weights[modality] * cosines[modality][has]
        return _Candidates(ids, similarity, cosines)

    def _best(self, candidates: _Candidates, k: int, group_by: Grouping) -> list[int]:
        """Rows of the k best clips, or of the best clip of each of the k best dancers, best first."""
        similarity, reach = candidates.similarity, k
        while True:
            # All rows down to some similarity, ties included, so that what is sorted is a beginning of the whole order.
            everything = reach >= len(similarity)
            least = -np.inf if everything else np.partition(similarity, -reach)[-reach]
            rows = np.flatnonzero(similarity >= least).tolist()
            entries = {row: self._catalogue.entry(int(candidates.ids[row])) for row in rows}
            rows.sort(key=lambda row: (-similarity[row], entries[row].clip_id))
            if group_by == "dancer":
                best_of: dict[str, int] = {}
                for row in rows:
                    best_of.setdefault(entries[row].dancer_id, row)
                rows = list(best_of.values())
            if everything or len(rows) >= k:
                return rows[:k]
            reach *= _GROWTH

    def _hit(self, candidates: _Candidates, row: int, example: _Example) -> SimilarHit:
        clip = self._catalogue.entry(int(candidates.ids[row]))
        return SimilarHit(
            clip_id=clip.clip_id,
            dancer_id=clip.dancer_id,
            challenge_id=clip.challenge_id,
            similarity=float(candidates.similarity[row]),
            similarities={m: float(candidates.cosines[m][row]) for m in example.vectors if m in clip.modalities},
            missing=[m for m in example.vectors if m not in clip.modalities],
        )

    def _example(self, query: SimilarQuery) -> _Example:
        if query.clip_id is not None:
            clip = self._catalogue.id_of(query.clip_id)
            entry = self._catalogue.entry(clip)
            ids = np.array([clip], np.int64)
            own = ids if query.include_own else self._catalogue.ids_of_dancer(entry.dancer_id)
            return _Example(self._mean_vectors(ids), own)
        if query.dancer_id is not None:
            ids = self._catalogue.ids_of_dancer(query.dancer_id)
            return _Example(self._mean_vectors(ids), NO_IDS if query.include_own else ids)
        return _Example(self._raw_vectors(query.embeddings or {}), NO_IDS)

    def _mean_vectors(self, ids: Int64) -> dict[Modality, Float32]:
        """The direction of the mean of the clips' unit vectors, for each modality that any of them has."""
        vectors: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            having = ids[self._catalogue.having(modality, ids)]
            if len(having):
                rows = self._indexes[modality].vectors(having)
                direction = rows[0] if len(rows) == 1 else unit(rows.mean(axis=0, dtype=np.float64))
                if direction is not None:
                    vectors[modality] = direction
        return vectors

    def _raw_vectors(self, embeddings: Mapping[Modality, list[float]]) -> dict[Modality, Float32]:
        vectors: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            if modality not in embeddings:
                continue
            field = f"embeddings.{modality}"
            if modality not in self._indexes:
                raise QueryError(f"{field}: no clip here has a {modality} embedding to compare with", field=field)
            values = np.asarray(embeddings[modality], np.float64)
            width = self._indexes[modality].dim
            if values.shape != (width,):
                raise QueryError(f"{field} has shape {values.shape}; expected {width} numbers", field=field)
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

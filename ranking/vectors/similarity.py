"""Who dances like this? Answers over one index per modality, by the threshold algorithm.

Legend: N clips, D embedding width. With weights w_m whose absolute values sum to 1, a clip's similarity is
s = Σ_m w_m cos_m, where a modality that it lacks adds 0. Of each modality the clips nearest to the example are fetched,
or to its opposite if w_m < 0, and their s completed from the stored vectors; a clip in none of the lists has
s ≤ Σ_m |w_m| max(last_m, 0), with last_m the last cosine of list m. Once the k-th best exceeds that bound nothing
unseen can matter; until then the lists grow. (R. Fagin, A. Lotem, M. Naor: Optimal aggregation algorithms for
middleware. J. Computer and System Sciences 66, 2003, 614–656.)

With exact indexes the answer is exact. An approximate one may leave out near clips, then so may the answer, which says
so, and which is not worth the price of a bound: lists grow until twice as many bring no better hit. The similarity of
each hit is computed from the stored vectors either way.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import cosines as stored_cosines
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.conditions import Decisions, Undecided
from ranking.vectors.cursors import Cursor
from ranking.vectors.directions import Asked, Directions
from ranking.vectors.diversity import mmr_order
from ranking.vectors.filters import Admitted, admitted, contained
from ranking.vectors.ordering import Ordering
from ranking.vectors.profiles import IndexesByWidth, Profiles, Unsummed
from ranking.vectors.weights import normalised
from schemas.modalities import Modality
from schemas.ports import Bool, Float64, Int64
from schemas.queries import SimilarAnswer, SimilarHit, SimilarQuery

_FIRST_FETCH: Final = 256
_GROWTH: Final = 8
_APPROXIMATE_GROWTH: Final = 2
_ROUNDING: Final = 1e-5
"""Slack of the bound: an index may sum a float32 cosine in another order than is done here."""
_NO_ROWS: Final[Int64] = np.empty(0, np.int64)


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

    def __init__(
        self, generation: str, catalogue: Catalogue, indexes: IndexesByWidth, profiles: Profiles | None = None
    ) -> None:
        """``profiles`` of the same space; without, those of dancers with many clips are summed each time."""
        self._generation = generation
        self._catalogue = catalogue
        self._indexes = indexes
        self._profiles = profiles or Profiles()

    def answer(
        self, query: SimilarQuery, now_ms: int, decisions: Decisions | None = None
    ) -> SimilarAnswer | Undecided | Unsummed:
        """The k most similar clips, or one clip each of the k most similar dancers; ties by clip id.

        A clip that shares none of the weighted modalities with the example cannot be compared and is not a hit.
        ``now_ms``: when ages are measured, for a first page. ``decisions``: only clips that satisfy a condition;
        ``Undecided`` or ``Unsummed`` if more has to be known before there is an answer. Raises ``NotFound`` and
        ``QueryError`` naming the parameter.
        """
        dancers = [each.dancer_id for each in query.every_example if each.dancer_id is not None]
        if unsummed := self._profiles.unsummed(dancers, self._catalogue):
            return Unsummed(unsummed)
        asked = Directions(self._catalogue, self._indexes, self._profiles).asked(query)
        weights = normalised(query.weights, asked.vectors)
        among = admitted(self._catalogue, query, None if decisions is None else decisions.listed)
        compared = [modality for modality, weight in weights.items() if weight != 0]
        after = Cursor.decoded(query, self._generation)
        at_ms = now_ms if after is None else after.at_ms
        with_mmr = query.mmr_lambda is not None
        ordering = Ordering(self._catalogue, query, at_ms, None if with_mmr else after)
        wanted = query.mmr_pool if with_mmr else query.k + 1  # one more tells whether there is another page
        fetch = max(_FIRST_FETCH, 2 * wanted)
        rows, similarity, before = _NO_ROWS, np.empty(0), list[int]()
        while True:
            nearest = self._nearest(asked, weights, fetch, among)
            fresh = nearest.rows[~contained(nearest.rows, rows)]
            fresh = fresh[self._may_be_hits(fresh, asked, query)]
            if decisions is not None:
                clip_ids = self._catalogue.clip_ids(fresh)
                if undecided := decisions.undecided(clip_ids):
                    return Undecided(undecided)
                fresh = fresh[decisions.admitted(clip_ids)]
            order = np.argsort(rows := np.concatenate([rows, fresh]))
            completed = self._completed(fresh, asked, weights, compared).similarity
            rows, similarity = rows[order], np.concatenate([similarity, completed])[order]
            scores = ordering.scores(rows, similarity)
            best, bound = ordering.best(rows, scores, wanted), nearest.bound
            if bound is None or (len(best) == wanted and scores[best[-1]] > bound + _ROUNDING):
                break
            found = rows[best].tolist()
            if not nearest.exact and len(best) == wanted and found == before:
                break
            before = found
            fetch *= _GROWTH if nearest.exact else _APPROXIMATE_GROWTH
        if query.mmr_lambda is not None:
            diverse = mmr_order(scores[best], self._between(rows[best], asked, weights), query.mmr_lambda)
            best = [best[number] for number in diverse]
        shown = after.shown if with_mmr and after is not None else 0
        page = best[shown : shown + query.k]
        hits = self._hits(rows[page], scores[page], asked, weights, query)
        next_cursor = None
        if len(best) > shown + query.k:
            last = Cursor(at_ms, float(scores[page[-1]]), hits[-1].clip_id, shown + query.k)
            next_cursor = last.encoded(query, self._generation)
        return SimilarAnswer(self._generation, weights, hits, not nearest.exact, next_cursor)

    def _may_be_hits(self, rows: Int64, asked: Asked, query: SimilarQuery) -> Bool:
        """Which of ``rows`` (N,) the question does not exclude, (N,)."""
        clips = np.unique(self._catalogue.rows_of([*asked.clip_ids, *query.exclude_clip_ids]))
        dancers = asked.dancer_ids.union(query.exclude_dancer_ids)
        return ~(contained(rows, clips) | self._catalogue.of_dancers(rows, dancers))

    def _nearest(self, asked: Asked, weights: Mapping[Modality, float], fetch: int, among: Admitted | None) -> _Nearest:
        """The ``fetch`` nearest of each weighted modality; ascending rows."""
        seen, bound, exhausted, exact = [_NO_ROWS], 0.0, True, True
        only = None if among is None else among.filter
        for modality, weight in weights.items():
            if weight != 0 and modality in self._indexes:
                vector = asked.vectors[modality]
                index = self._indexes[modality][len(vector)]
                found = index.search(vector if weight > 0 else -vector, fetch, among=only)
                # An index that other replicas write to may know a clip, or its new challenge, earlier or later.
                rows = self._catalogue.rows_of(found.ids)
                rows = rows[self._catalogue.having(modality, rows)]
                seen.append(rows if among is None else rows[among.having(rows)])
                exact = exact and found.exact
                if len(found.ids) == fetch:
                    bound += abs(weight) * max(float(found.similarities[-1]), 0.0)
                    exhausted = False
        return _Nearest(np.unique(np.concatenate(seen)), None if exhausted else bound, exact)

    def _completed(
        self, rows: Int64, asked: Asked, weights: Mapping[Modality, float], modalities: Sequence[Modality]
    ) -> _Candidates:
        similarity = np.zeros(len(rows))
        cosines: dict[Modality, Float64] = {}
        for modality in modalities:
            cosines[modality] = np.full(len(rows), np.nan)
            has = self._catalogue.having(modality, rows)
            if has.any():
                index = self._indexes[modality][len(asked.vectors[modality])]
                compared = stored_cosines(index, self._catalogue.clip_ids(rows[has]), asked.vectors[modality])
                cosines[modality][has] = np.clip(compared, -1.0, 1.0)
                similarity += weights[modality] * np.nan_to_num(cosines[modality])
        return _Candidates(rows, similarity, cosines)

    def _between(self, rows: Int64, asked: Asked, weights: Mapping[Modality, float]) -> Float64:
        """Similarity of the clips in ``rows`` (N,) to each other, (N, N): Σ_m |w_m| cos_m."""
        similarity = np.zeros((len(rows), len(rows)))
        clip_ids = self._catalogue.clip_ids(rows)
        for modality, weight in weights.items():
            if weight != 0 and modality in self._indexes:
                vectors = np.nan_to_num(self._indexes[modality][len(asked.vectors[modality])].vectors(clip_ids))
                similarity += abs(weight) * (vectors @ vectors.T)
        return similarity

    def _hits(
        self, rows: Int64, scores: Float64, asked: Asked, weights: Mapping[Modality, float], query: SimilarQuery
    ) -> list[SimilarHit]:
        shown = self._completed(rows, asked, weights, [*weights])
        hits = []
        for number, score in enumerate(scores.tolist()):
            clip = self._catalogue.entry(int(rows[number]))
            cosines = {modality: float(values[number]) for modality, values in shown.cosines.items()}
            hits.append(
                SimilarHit(
                    clip_id=clip.clip_id,
                    dancer_id=clip.dancer_id,
                    challenge_id=clip.challenge_id,
                    similarity=float(shown.similarity[number]),
                    similarities={modality: cosine for modality, cosine in cosines.items() if not isnan(cosine)},
                    missing=[modality for modality, cosine in cosines.items() if isnan(cosine)],
                    score=None if query.half_life_s is None else score,
                )
            )
        return hits

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

Clips come and go while the indexes are searched and vectors compared: what a search found is a row to look at. At the
end, while nothing changes, whatever changed since the beginning is judged again as it is then, whether it had been
found or not. So an answer is that of one moment; an unchanged clip that no list held is below the bound in that moment
too. The examples are those of the beginning.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import isnan
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import RowSearch, row_search
from ranking.vectors.backends.port import cosines as stored_cosines
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.conditions import Decisions, Undecided
from ranking.vectors.cursors import Cursor
from ranking.vectors.directions import Asked, Directions
from ranking.vectors.diversity import mmr_order
from ranking.vectors.filters import Admitted, admitted, contained, satisfying
from ranking.vectors.ordering import Ordering
from ranking.vectors.profiles import IndexesByWidth, Profiles, Unsummed
from ranking.vectors.row_changes import ChangesForgotten
from ranking.vectors.weights import normalised
from schemas.modalities import Modality
from schemas.ports import Bool, Float64, Int64
from schemas.questions.retrieval import SimilarAnswer, SimilarHit, SimilarQuery

_FIRST_FETCH: Final = 256
_GROWTH: Final = 8
_APPROXIMATE_GROWTH: Final = 2
_ROUNDING: Final = 1e-5
"""Slack of the bound: an index may sum a float32 cosine in another order than is done here."""
_NO_ROWS: Final[Int64] = np.empty(0, np.int64)


Reading = Callable[[], AbstractContextManager[None]]
"""Gives a context within which nothing changes; one does not enter it within another."""


class _Question(NamedTuple):
    """What is asked, as it was resolved at the beginning.

    ``compared``: the modalities that count. ``began``: the changes of the catalogue so far. ``excluded``: ascending
    rows of clips that are not hits.
    """

    query: SimilarQuery
    asked: Asked
    weights: dict[Modality, float]
    compared: Sequence[Modality]
    among: Admitted | None
    excluded: Int64
    decisions: Decisions | None
    began: int


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
    """Answers queries over a catalogue and indexes. An index may hold more clips than the catalogue, which are left
    out, and lack vectors, which count as missing, as does a vector of another width than the example's.
    """

    def __init__(
        self,
        generation: str,
        catalogue: Catalogue,
        indexes: IndexesByWidth,
        profiles: Profiles | None = None,
        reading: Reading = nullcontext,
    ) -> None:
        """``profiles`` of the same space; without, those of dancers with many clips are summed each time.
        ``reading``: for moments at which nothing may change; without, nothing changes at all.
        """
        self._generation = generation
        self._catalogue = catalogue
        self._indexes = indexes
        self._profiles = profiles or Profiles()
        self._reading = reading

    def answer(
        self, query: SimilarQuery, now_ms: int, decisions: Decisions | None = None
    ) -> SimilarAnswer | Undecided | Unsummed:
        """The k most similar clips, or one clip each of the k most similar dancers; ties by clip id.

        A clip that shares none of the weighted modalities with the example cannot be compared and is not a hit.
        ``now_ms``: when ages are measured, for a first page. ``decisions``: only clips that satisfy a condition;
        ``Undecided`` or ``Unsummed`` if more has to be known before there is an answer. Raises ``NotFound`` and
        ``QueryError`` naming the parameter.
        """
        try:
            return self._answer(query, now_ms, decisions, self._reading)
        except ChangesForgotten:
            if decisions is not None:
                decisions.since = None
            with self._reading():
                return self._answer(query, now_ms, decisions, nullcontext)

    def _answer(
        self, query: SimilarQuery, now_ms: int, decisions: Decisions | None, reading: Reading
    ) -> SimilarAnswer | Undecided | Unsummed:
        with reading():
            dancers = [each.dancer_id for each in query.every_example if each.dancer_id is not None]
            if unsummed := self._profiles.unsummed(dancers, self._catalogue):
                return Unsummed(unsummed)
            question = self._question(query, decisions)
            since = question.began if decisions is None or decisions.since is None else decisions.since
            indexes = dict(self._indexes)
        after = Cursor.decoded(query, self._generation)
        at_ms = now_ms if after is None else after.at_ms
        with_mmr = query.mmr_lambda is not None
        ordering = Ordering(self._catalogue, query, at_ms, None if with_mmr else after)
        wanted = query.mmr_pool if with_mmr else query.k + 1  # one more tells whether there is another page
        fetch = max(_FIRST_FETCH, 2 * wanted)
        rows, similarity, before = _NO_ROWS, np.empty(0), _NO_ROWS
        searches = self._searches(question, indexes)
        while True:
            nearest = self._nearest(searches, fetch)
            with reading():
                fresh = nearest.rows[~contained(nearest.rows, rows)]
                fresh = fresh[self._may_be_hits(fresh, question)]
                if decisions is not None:
                    fresh, undecided = self._decided(fresh, decisions, since)
                    if undecided:
                        return Undecided(undecided)
            completed = self._completed(fresh, question, indexes, question.compared)
            rows, similarity = _joined(rows, similarity, completed)
            with reading():
                rows, similarity = self._now(rows, similarity, question)
                scores = ordering.scores(rows, similarity)
                best, bound = ordering.best(rows, scores, wanted), nearest.bound
                found = rows[best]
                if (
                    bound is None
                    or (len(best) == wanted and scores[best[-1]] > bound + _ROUNDING)
                    or (not nearest.exact and len(best) == wanted and self._brought_nothing(before, found, question))
                ):
                    shown = after.shown if with_mmr and after is not None else 0
                    return self._shown(rows[best], scores[best], question, at_ms, shown, approximate=not nearest.exact)
            before = found
            fetch *= _GROWTH if nearest.exact else _APPROXIMATE_GROWTH

    def _brought_nothing(self, before: Int64, found: Int64, question: _Question) -> bool:
        """Whether a round of longer lists left the best hits as they were, apart from clips that came, changed or went
        meanwhile: those say nothing about the lists.
        """
        changed = self._catalogue.changed_since(question.began)
        before, found = before[~contained(before, changed)], found[~contained(found, changed)]
        both = min(len(before), len(found))
        return both > 0 and bool((before[:both] == found[:both]).all())

    def _question(self, query: SimilarQuery, decisions: Decisions | None) -> _Question:
        asked = Directions(self._catalogue, self._indexes, self._profiles).asked(query)
        weights = normalised(query.weights, asked.vectors)
        if decisions is not None and decisions.since is None:
            decisions.since = self._catalogue.changes
        return _Question(
            query,
            asked,
            weights,
            [modality for modality, weight in weights.items() if weight != 0],
            admitted(self._catalogue, query, None if decisions is None else decisions.listed),
            np.unique(self._catalogue.rows_of([*asked.clip_ids, *query.exclude_clip_ids])),
            decisions,
            self._catalogue.changes,
        )

    def _may_be_hits(self, rows: Int64, question: _Question) -> Bool:
        """Which of ``rows`` (N,), unchanged since the beginning, the question does not exclude, (N,)."""
        may = self._comparable(rows, question) & ~contained(rows, question.excluded)
        # An index that other replicas write to may know a clip, or its new challenge, earlier or later.
        return may if question.among is None else may & question.among.having(rows)

    def _decided(self, rows: Int64, decisions: Decisions, since: int) -> tuple[Int64, list[str]]:
        """Those of ``rows`` (N,) that satisfy a condition; of which clips it has to be known first.

        Others are not asked of clips that came or changed ``since`` the question was first asked, lest it never end.
        """
        clip_ids = self._catalogue.clip_ids(rows)
        if unknown := {*decisions.undecided(clip_ids)}:
            undecided = np.array([clip_id in unknown for clip_id in clip_ids], bool)
            late = contained(rows, self._catalogue.changed_since(since))
            if wanted := self._catalogue.clip_ids(rows[undecided & ~late]):
                return rows, wanted
            rows = rows[~undecided]
            clip_ids = self._catalogue.clip_ids(rows)
        return rows[decisions.admitted(clip_ids)], []

    def _comparable(self, rows: Int64, question: _Question) -> Bool:
        dancers = question.asked.dancer_ids.union(question.query.exclude_dancer_ids)
        return self._catalogue.having_any(question.compared, rows) & ~self._catalogue.of_dancers(rows, dancers)

    def _now(self, rows: Int64, similarity: Float64, question: _Question) -> tuple[Int64, Float64]:
        """Candidates and their similarity with what has changed since the beginning as it is now; ascending rows."""
        changed = self._catalogue.changed_since(question.began)
        if not len(changed):
            return rows, similarity
        unchanged = ~contained(rows, changed)
        rows, similarity = rows[unchanged], similarity[unchanged]
        query, decisions = question.query, question.decisions
        listed = None if decisions is None else decisions.listed
        changed = changed[self._comparable(changed, question)]
        changed = changed[satisfying(self._catalogue, query, changed, listed)]
        clip_ids = self._catalogue.clip_ids(changed)
        left_out = question.asked.clip_ids.union(query.exclude_clip_ids)
        if decisions is not None:
            left_out = left_out.union(decisions.undecided(clip_ids))
        satisfy = np.ones(len(changed), bool) if decisions is None else decisions.admitted(clip_ids)
        changed = changed[satisfy & np.array([clip_id not in left_out for clip_id in clip_ids], bool)]
        return _joined(rows, similarity, self._completed(changed, question, self._indexes, question.compared))

    def _searches(self, question: _Question, indexes: IndexesByWidth) -> list[tuple[float, RowSearch]]:
        """Of each weighted modality the absolute weight, and the search for the nearest to the example or its
        opposite.
        """
        only = None if question.among is None else question.among.filter
        searches = []
        for modality, weight in question.weights.items():
            if weight != 0 and modality in indexes:
                vector = question.asked.vectors[modality]
                index = indexes[modality][len(vector)]
                search = row_search(index, self._catalogue, vector if weight > 0 else -vector, only)
                searches.append((abs(weight), search))
        return searches

    def _nearest(self, searches: Sequence[tuple[float, RowSearch]], fetch: int) -> _Nearest:
        """The ``fetch`` nearest of each weighted modality; ascending rows."""
        seen, bound, exhausted, exact = [_NO_ROWS], 0.0, True, True
        for weight, search in searches:
            found = search.nearest(fetch)
            seen.append(found.rows)
            exact = exact and found.exact
            if len(found.rows) >= fetch:
                bound += weight * max(float(found.similarities.min()), 0.0)
                exhausted = False
        rows = np.unique(np.concatenate(seen))
        return _Nearest(rows[rows >= 0], None if exhausted else bound, exact)

    def _completed(
        self, rows: Int64, question: _Question, indexes: IndexesByWidth, modalities: Sequence[Modality]
    ) -> _Candidates:
        similarity = np.zeros(len(rows))
        cosines: dict[Modality, Float64] = {}
        for modality in modalities:
            cosines[modality] = np.full(len(rows), np.nan)
            has, vector = self._catalogue.having(modality, rows), question.asked.vectors[modality]
            index = indexes.get(modality, {}).get(len(vector))
            if index is not None and has.any():
                compared = stored_cosines(index, self._catalogue, rows[has], vector)
                cosines[modality][has] = np.clip(compared, -1.0, 1.0)
                similarity += question.weights[modality] * np.nan_to_num(cosines[modality])
        return _Candidates(rows, similarity, cosines)

    def _shown(
        self, rows: Int64, scores: Float64, question: _Question, at_ms: int, shown: int, *, approximate: bool
    ) -> SimilarAnswer:
        """A page of the best clips, in ``rows`` (N,) with ``scores`` (N,), after ``shown`` of them."""
        query = question.query
        if query.mmr_lambda is not None:
            diverse = mmr_order(scores, self._between(rows, question), query.mmr_lambda)
            rows, scores = rows[diverse], scores[diverse]
        page = slice(shown, shown + query.k)
        hits = self._hits(rows[page], scores[page], question)
        next_cursor = None
        if len(rows) > shown + query.k:
            last = Cursor(at_ms, float(scores[page][-1]), hits[-1].clip_id, shown + query.k)
            next_cursor = last.encoded(query, self._generation)
        return SimilarAnswer(self._generation, question.weights, hits, approximate, next_cursor)

    def _between(self, rows: Int64, question: _Question) -> Float64:
        """Similarity of the clips in ``rows`` (N,) to each other, (N, N): Σ_m |w_m| cos_m."""
        similarity = np.zeros((len(rows), len(rows)))
        clip_ids = self._catalogue.clip_ids(rows)
        for modality, weight in question.weights.items():
            index = self._indexes.get(modality, {}).get(len(question.asked.vectors[modality]))
            if weight != 0 and index is not None:
                vectors = np.nan_to_num(index.vectors(clip_ids))
                similarity += abs(weight) * (vectors @ vectors.T)
        return similarity

    def _hits(self, rows: Int64, scores: Float64, question: _Question) -> list[SimilarHit]:
        shown = self._completed(rows, question, self._indexes, [*question.weights])
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
                    score=None if question.query.half_life_s is None else score,
                )
            )
        return hits


def _joined(rows: Int64, similarity: Float64, more: _Candidates) -> tuple[Int64, Float64]:
    """Rows, ascending, and similarities with those of ``more`` that share a modality with the example."""
    shared = ~np.isnan([*more.cosines.values()]).all(axis=0) if len(more.rows) else np.empty(0, bool)
    if not shared.any():
        return rows, similarity
    joined = np.concatenate([rows, more.rows[shared]])
    order = np.argsort(joined)
    return joined[order], np.concatenate([similarity, more.similarity[shared]])[order]

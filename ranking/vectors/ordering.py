"""The order of hits: by similarity, or by one that fades with age; one for each dancer, and page by page.

With half-life H the score of a clip of age t is s · 2^(-t/H) for a similarity s > 0, and s otherwise: a positive one
fades towards 0, and age never makes a clip better. So a score is at most max(s, 0), and what bounds the similarity of
clips that were not seen, from above and by at least 0, bounds their scores too.
"""

from typing import Final

import numpy as np

from ranking.vectors.catalogue import Catalogue
from ranking.vectors.cursors import Cursor
from schemas.ports import Float64, Int64
from schemas.questions.retrieval import SimilarQuery

_GROWTH: Final = 8


class Ordering:
    """Orders the candidates of one question. ``at_ms``: when ages are measured; ``after``: the hit before the page."""

    def __init__(self, catalogue: Catalogue, query: SimilarQuery, at_ms: int, after: Cursor | None) -> None:
        self._catalogue = catalogue
        self._group_by = query.group_by
        self._half_life_s = query.half_life_s
        self._at_ms = at_ms
        self._after = after

    def scores(self, rows: Int64, similarity: Float64) -> Float64:
        """Scores (N,) of clips in ``rows`` (N,) with ``similarity`` (N,)."""
        if self._half_life_s is None:
            return similarity
        ages_s = np.maximum(self._at_ms - self._catalogue.uploaded_at_ms(rows), 0) / 1000
        with np.errstate(over="ignore"):  # of a very short half-life nothing is left
            left = np.exp2(-ages_s / self._half_life_s)
        faded: Float64 = np.where(similarity > 0, similarity * left, similarity)
        return faded

    def best(self, rows: Int64, scores: Float64, count: int) -> list[int]:
        """Numbers of the ``count`` best of N candidates, or of the best clip of each of the best dancers, best first;
        ties by clip id. Only those after the hit that the page follows.
        """
        reach = count
        while True:
            # All down to some score, ties included, so that what is sorted is a beginning of the whole order.
            everything = reach >= len(scores)
            least = -np.inf if everything else np.partition(scores, -reach)[-reach]
            numbers = np.flatnonzero(scores >= least).tolist()
            clips = {number: self._catalogue.entry(int(rows[number])) for number in numbers}
            numbers.sort(key=lambda number: (-scores[number], clips[number].clip_id))
            if self._group_by == "dancer":
                best_of: dict[str, int] = {}
                for number in numbers:
                    best_of.setdefault(clips[number].dancer_id, number)
                numbers = list(best_of.values())
            if self._after is not None:
                last = (-self._after.score, self._after.clip_id)
                numbers = [number for number in numbers if (-scores[number], clips[number].clip_id) > last]
            if everything or len(numbers) >= count:
                return numbers[:count]
            reach *= _GROWTH

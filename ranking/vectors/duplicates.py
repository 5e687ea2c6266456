"""Clips that are the same recording uploaded again: how similar is similar enough.

How close different clips lie depends on the networks and on the clips: of recorded dances that a bundle was not trained
on, all are within 0.01. So the threshold comes from the clip's own neighbourhood, as in Lowe's ratio test (D. G. Lowe:
Distinctive image features from scale-invariant keypoints. IJCV 60, 2004, 7.1): a near-duplicate lies at most
``RATIO`` times as far away, by 1 - similarity, as the ``NEIGHBOUR``-th most similar clip. From ``SAME`` on it is one
in any case, so that many copies do not hide each other. ``python -m benchmarks.duplicates`` measures it.
"""

from collections.abc import Sequence
from typing import Final

from schemas.errors import QueryError
from schemas.questions.retrieval import MAX_HITS, DuplicatesAnswer, SimilarAnswer, SimilarQuery

RATIO: Final = 0.2
NEIGHBOUR: Final = 10
SAME: Final = 0.99999


def duplicates_query(clip_id: str, k: int, threshold: float | None) -> SimilarQuery:
    """The search whose best hits ``near_duplicates`` takes. Raises ``QueryError`` naming the parameter."""
    if not 1 <= k <= MAX_HITS:
        raise QueryError(f"k is {k}; expected 1 to {MAX_HITS}", field="k")
    if threshold is not None and not 0 <= threshold <= 1:
        raise QueryError(f"threshold is {threshold}; expected 0 to 1", field="threshold")
    return SimilarQuery(clip_id=clip_id, k=min(max(k + 1, NEIGHBOUR), MAX_HITS), include_own=True)


def near_duplicates(found: SimilarAnswer, clip_id: str, k: int, threshold: float | None) -> DuplicatesAnswer:
    """The first ``k`` hits that are similar enough: ``threshold``, or what the neighbourhood says."""
    applied = neighbourhood_threshold([hit.similarity for hit in found.hits]) if threshold is None else threshold
    near = [hit for hit in found.hits if hit.similarity >= applied]
    return DuplicatesAnswer(
        generation=found.generation,
        clip_id=clip_id,
        threshold=applied,
        hits=near[:k],
        more=len(near) > k or (len(near) == len(found.hits) and found.next_cursor is not None),
        approximate=found.approximate,
    )


def neighbourhood_threshold(similarities: Sequence[float]) -> float:
    """The least similarity of a near-duplicate of a clip to which others have ``similarities``, best first."""
    if len(similarities) < NEIGHBOUR:
        return SAME
    return min(SAME, 1 - RATIO * (1 - similarities[NEIGHBOUR - 1]))

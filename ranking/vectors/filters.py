"""The clips that a question's filters admit, as ascending rows of the catalogue."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ranking.vectors.backends.port import Filter
from ranking.vectors.catalogue import Catalogue
from schemas.ports import Bool, Int64
from schemas.questions.retrieval import SimilarQuery

_FEW: Final = 1000
"""Rows for which a search in sorted members is cheaper than an array of all rows."""


class Admitted:
    """Rows of all clips that a question admits, ascending, and the filter for indexes that says the same."""

    def __init__(
        self, catalogue: Catalogue, rows: Int64, *, challenge_id: str | None = None, dancer_id: str | None = None
    ) -> None:
        self._rows = rows
        self.filter = Filter(
            clip_ids=lambda: catalogue.clip_ids(rows),
            rows=lambda: rows,
            count=len(rows),
            challenge_id=challenge_id,
            dancer_id=dancer_id,
        )

    def having(self, rows: Int64) -> Bool:
        """Which of ``rows`` (N,) are admitted, (N,)."""
        return contained(rows, self._rows)


def admitted(catalogue: Catalogue, query: SimilarQuery, listed: Sequence[str] | None = None) -> Admitted | None:
    """``None`` if every clip is. ``listed``: the only clips, for conditions that other views evaluated.

    Raises ``NotFound`` naming the parameter.
    """
    conditions: list[Int64] = []
    if query.challenges:
        field = "challenge_ids" if query.challenge_id is None else "challenge_id"
        conditions.append(catalogue.rows_of_challenges(query.challenges, field))
    if query.among_dancer_ids:
        conditions.append(catalogue.rows_of_dancers(query.among_dancer_ids, "among_dancer_ids"))
    if query.style is not None:
        conditions.append(catalogue.rows_of_style(query.style))
    if listed is not None:
        conditions.append(np.unique(catalogue.rows_of(listed)))
    windowed = query.uploaded_from_ms is not None or query.uploaded_before_ms is not None
    if not conditions and not windowed:
        return None
    rows = min(conditions, key=len) if conditions else catalogue.all_rows()
    for condition in conditions:
        if condition is not rows:
            rows = rows[contained(rows, condition)]
    if windowed:
        rows = rows[_uploaded_within(catalogue, query, rows)]
    # An index may evaluate a challenge and a dancer by itself, if they are the whole filter.
    alone = (
        not windowed
        and listed is None
        and query.style is None
        and max(len(query.challenges), len(query.among_dancer_ids)) == 1
    )
    return Admitted(
        catalogue,
        rows,
        challenge_id=next(iter(query.challenges), None) if alone else None,
        dancer_id=next(iter(query.among_dancer_ids), None) if alone else None,
    )


def satisfying(catalogue: Catalogue, query: SimilarQuery, rows: Int64, listed: Sequence[str] | None = None) -> Bool:
    """Which of the clips in ``rows`` (N,) are admitted as they are now, (N,): for a few rows, which may have been other
    clips', or not as they are, when ``admitted`` was called.
    """
    satisfied = np.ones(len(rows), bool)
    if query.challenges:
        satisfied &= catalogue.of_challenges(rows, query.challenges)
    if query.among_dancer_ids:
        satisfied &= catalogue.of_dancers(rows, query.among_dancer_ids)
    if query.style is not None:
        satisfied &= catalogue.of_style(rows, query.style)
    if listed is not None:
        satisfied &= contained(rows, np.unique(catalogue.rows_of(listed)))
    return satisfied & _uploaded_within(catalogue, query, rows)


def _uploaded_within(catalogue: Catalogue, query: SimilarQuery, rows: Int64) -> Bool:
    uploaded_ms = catalogue.uploaded_at_ms(rows)
    low = -1 if query.uploaded_from_ms is None else query.uploaded_from_ms
    high = np.iinfo(np.int64).max if query.uploaded_before_ms is None else query.uploaded_before_ms
    within: Bool = (uploaded_ms >= low) & (uploaded_ms < high)
    return within


def contained(rows: Int64, members: Int64) -> Bool:
    """Which of ``rows`` (N,) are among the ascending ``members`` (M,), (N,)."""
    if not len(members):
        return np.zeros(len(rows), bool)
    found: Bool
    if len(rows) < _FEW:
        found = members[np.minimum(np.searchsorted(members, rows), len(members) - 1)] == rows
    else:
        among = np.zeros(max(int(rows.max()), int(members[-1])) + 1, bool)
        among[members] = True
        found = among[rows]
    return found

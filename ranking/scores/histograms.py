"""How the scores of one challenge are distributed, and how it grows: exact, from its runs, at a flat cost.

Of a challenge of n clips O(bins · log n) parts of runs are read, whatever n is.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

import numpy as np
import sqlalchemy as sa

from ranking.database.tables import ranking_runs
from ranking.scores.pages import RankingOf
from ranking.scores.runs.content import CLIPS, ChangeList, decode_totals
from ranking.scores.runs.periods import ALL_TIME, DAY, HOUR, MINUTE, Since
from ranking.scores.runs.reading import around_score, counts_of_many, next_scores
from schemas.questions.challenges import GrowthPeriod

PERIODS: Final[dict[GrowthPeriod, tuple[int, int]]] = {"minute": (MINUTE, 120), "hour": (HOUR, 168), "day": (DAY, 8)}
"""Of each kind of period: its length in minutes, and how many are shown, the current one included; fewer than are kept
(``ranking.scores.runs.periods``).
"""


class Histogram(NamedTuple):
    """``counts`` of ``clips`` scores between ``edges``: bin i is edges[i] ≤ score < edges[i+1]; the last one has its
    upper edge too. Empty without scores.
    """

    clips: int
    edges: list[float]
    counts: list[int]


class Growth(NamedTuple):
    """Clips uploaded in each of ``clips`` periods from the minute ``start`` on, and ``before`` them; since 1970."""

    start: int
    before: int
    clips: list[int]


def histogram(connection: sa.Connection, of: RankingOf, bins: int, since: Since | None) -> Histogram:
    """Of equal widths from the lowest score to the highest; one bin if these are equal."""
    lowest, highest = _extreme(connection, of, since, higher=True), _extreme(connection, of, since, higher=False)
    if lowest is None or highest is None:
        return Histogram(0, [], [])
    edges = _edges(lowest, highest, bins)
    counted = counts_of_many(connection, of, edges, since)
    total = counted[0].total
    # The first bin begins with the lowest of all: a lower score may have come since its edge was read.
    below = [0, *(each.total - each.higher - each.equal for each in counted[1:-1]), total]
    counts = [upper - lower for lower, upper in pairwise(below)]
    return Histogram(total, edges, counts)


def _extreme(connection: sa.Connection, of: RankingOf, since: Since | None, *, higher: bool) -> float | None:
    """The lowest score (``higher`` than anything below) or the highest; ``None`` without any."""
    _, first = around_score(connection, *of, -inf if higher else inf, since)
    found = next_scores(connection, of, first, 1, since, higher=higher)
    return found[0][0] if found else None


def _edges(lowest: float, highest: float, bins: int) -> list[float]:
    """``bins`` + 1 edges, or fewer where floats have no more between the two."""
    inner = np.linspace(lowest, highest, bins + 1)[1:-1].tolist()
    return [lowest, *(edge for edge in dict.fromkeys(inner) if lowest < edge < highest), highest]


def growth(connection: sa.Connection, generation: str, challenge_id: str, by: GrowthPeriod, minute: int) -> Growth:
    """Up to the period of ``minute``, which is now."""
    length, count = PERIODS[by]
    last = minute // length * length
    start = last - (count - 1) * length
    table = ranking_runs.c
    query = sa.select(table.minutes, table.start, table.totals, table.content).where(
        table.generation == generation,
        table.challenge_id == challenge_id,
        sa.or_(table.minutes == ALL_TIME, sa.and_(table.minutes == length, table.start >= start)),
    )
    total, by_start = 0, Counter[int]()
    for row in connection.execute(query):
        totals = decode_totals(row.totals)
        clips = totals[CLIPS].clips if CLIPS in totals else 0
        if row.minutes != ALL_TIME:
            by_start[row.start] += clips
            continue
        total += clips
        if row.content is not None:  # a short run, which is not divided by periods
            for begins, within in ChangeList.decoded(row.content).since(start).by_period(length):
                by_start[begins] += within.totals()[CLIPS].clips
    shown = [by_start[start + number * length] for number in range(count)]
    return Growth(start, total - _early(shown, by_start, last), shown)


def _early(shown: Sequence[int], by_start: Counter[int], last: int) -> int:
    """Clips that are shown, and those of later periods, by clocks that run ahead."""
    return sum(shown) + sum(clips for begins, clips in by_start.items() if begins > last)

"""Rank and percentile among equal and unequal scores: pure arithmetic on counts."""

from collections.abc import Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """``rank`` counts from 1 for the highest score; ``percentile`` is in percent, in (0, 100)."""

    rank: int
    percentile: float


def place(higher: int, equal: int, total: int) -> Place:
    """The place of a score that ``higher`` of ``total`` scores exceed and ``equal`` of them (itself included) equal.

    The rank is competition ranking (1, 2, 2, 4); the percentile counts the scores below and half of those equal.
    """
    lower = total - higher - equal
    return Place(higher + 1, 100.0 * (lower + equal / 2) / total)


def places_from_top(scores: Sequence[float], *, total: int, equal_to_last: int) -> list[Place]:
    """Places of the highest scores of a ranking, given in descending order.

    ``total`` counts the whole ranking, ``equal_to_last`` the scores in it that equal the last one given: ties may reach
    past the end of the page.
    """
    return [place(first, equal, total) for first, equal in _tie_groups(scores, equal_to_last)]


def places_from_bottom(scores: Sequence[float], *, total: int, equal_to_last: int) -> list[Place]:
    """Places of the lowest scores of a ranking, given in ascending order; the arguments are those of the other end."""
    return [place(total - first - equal, equal, total) for first, equal in _tie_groups(scores, equal_to_last)]


def _tie_groups(scores: Sequence[float], equal_to_last: int) -> list[tuple[int, int]]:
    """For each score: how many come before its tie group, and the size of the group."""
    groups: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(scores) + 1):
        at_end = end == len(scores)
        if at_end or scores[end] != scores[start]:
            size = equal_to_last if at_end else end - start
            groups += [(start, size)] * (end - start)
            start = end
    return groups

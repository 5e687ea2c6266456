"""Conditions of a question that other views evaluate, such as percentiles and tiers, and what they said of each clip.

Clips that satisfy a condition are listed beforehand if they are few. Otherwise the search asks of the clips that it
comes across, while no lock of the index view is held: a database may take its time.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from schemas.ports import Bool

MOST_LISTED: Final = 10_000
"""Clips that a condition lists at most."""


class ClipCondition(Protocol):
    """What another view knows of clips."""

    def listed(self) -> Collection[str] | None:
        """All clips that satisfy it; ``None`` if they may be more than ``MOST_LISTED``."""
        ...

    def satisfied(self, clip_ids: Sequence[str]) -> Collection[str]:
        """Those of the clips that satisfy it."""
        ...


class AllOf:
    """``ClipCondition``: every one of several."""

    def __init__(self, conditions: Sequence[ClipCondition]) -> None:
        self._conditions = conditions

    def listed(self) -> Collection[str] | None:
        lists = [found for condition in self._conditions if (found := condition.listed()) is not None]
        if not lists:
            return None
        return self.satisfied([*min(lists, key=len)])

    def satisfied(self, clip_ids: Sequence[str]) -> Collection[str]:
        left = [*clip_ids]
        for condition in self._conditions:
            found = set(condition.satisfied(left)) if left else set()
            left = [clip_id for clip_id in left if clip_id in found]
        return left


class Undecided(NamedTuple):
    """Clips of which a search has to know whether they satisfy the condition, before it can answer."""

    clip_ids: list[str]


class Decisions:
    """What a condition said so far in the course of one question."""

    def __init__(self, condition: ClipCondition) -> None:
        """Asks for the list; raises what ``condition`` raises."""
        self._condition = condition
        found = condition.listed()
        self.listed: Final = None if found is None else sorted(found)
        self._said: dict[str, bool] = {}
        self.since: int | None = None
        """The changes of the catalogue when the question was first asked: of clips that came later it is not asked."""

    def undecided(self, clip_ids: Sequence[str]) -> list[str]:
        """Those of the clips that are neither listed nor decided."""
        return [] if self.listed is not None else [clip_id for clip_id in clip_ids if clip_id not in self._said]

    def decide(self, clip_ids: Sequence[str]) -> None:
        """Ask the condition of these clips."""
        satisfied = set(self._condition.satisfied(clip_ids))
        self._said |= {clip_id: clip_id in satisfied for clip_id in clip_ids}

    def admitted(self, clip_ids: Sequence[str]) -> Bool:
        """Which of the clips (N,) satisfy the condition, (N,); all are decided, or nothing else was searched."""
        return np.array([self._said.get(clip_id, True) for clip_id in clip_ids], bool)

"""Clips that were excluded from a training set, counted by reason, with examples."""

from collections import Counter
from enum import StrEnum
from typing import Final

MOST_EXAMPLES: Final = 3


class Reason(StrEnum):
    """Why a clip is left out, as the end of a sentence about it."""

    YOUNG = "reactions counted too early; --least-days says when"
    NO_VIEWS = "views not observed, which the target per-view needs"
    FEWER_VIEWS = "fewer views than reactions"
    UNRANKED = "not in the ranking (yet)"
    NAMED_ALL = "in a challenge called 'all', which names the track of all challenges"
    GONE = "upload no longer in the topic"
    UNREADABLE = "features cannot be read"
    IMPLAUSIBLE = "features that no recording gives"
    OTHER_POSE = "skeleton unlike that of the first clip; --joint-layout brings all to one"
    NOT_COMPARABLE = "too few clips in the challenge, or all with the same score"


class LeftOut:
    """Counts clips by reason; keeps the first ``MOST_EXAMPLES`` of each with what there is to say of them."""

    def __init__(self) -> None:
        self._counts: Counter[Reason] = Counter()
        self._examples: dict[Reason, list[str]] = {}

    def add(self, reason: Reason, example: str) -> None:
        """One clip; ``example`` is its id, and why if the reason does not say."""
        self._counts[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(example)

    @property
    def counts(self) -> dict[Reason, int]:
        """In the order of ``Reason``, without those that did not occur."""
        return {reason: self._counts[reason] for reason in Reason if self._counts[reason]}

    def lines(self) -> list[str]:
        """A line for each reason, and one for each of its examples."""
        lines = []
        for reason, count in self.counts.items():
            lines.append(f"{count:>7,}  {reason}")
            lines += [f"           {example}" for example in self._examples[reason]]
            if count > len(self._examples[reason]):
                lines.append("           …")
        return lines

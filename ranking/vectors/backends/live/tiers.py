"""Which parts of an index are merged into one: those of one size once there are several, as in a log-structured tree.

A merge of R parts of one tier makes one of the next, so that an index of N vectors has at most (R - 1) parts in each of
log_R(N / capacity) tiers, and each vector is written once a tier.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log

from ranking.vectors.backends.live.codes import CODEWORDS
from ranking.vectors.backends.live.parts import FreshPart, Part


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes that an index is built by, in vectors.

    ``capacity``: of the fresh part. ``ratio``: R. ``exact_below``: an index of fewer has no codes, so that its answers
    are exact; ``coded_from``: nor has a part of fewer. ``dead_share``: a part with more dead slots is written again.
    ``scanned``: a filter that admits no more is answered from the exact vectors. ``waiting``: full fresh parts that may
    wait for a merge; a change waits for the next.
    """

    capacity: int = 1024
    ratio: int = 4
    exact_below: int = 16_384
    coded_from: int = 2048
    dead_share: float = 0.3
    scanned: int = 2048
    waiting: int = 32

    def __post_init__(self) -> None:
        if self.coded_from < CODEWORDS:
            raise ValueError(f"coded_from is {self.coded_from}; expected at least {CODEWORDS}, to train codes by")


class Lane(StrEnum):
    """Merges of one lane follow each other; small ones do not wait for large ones."""

    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Merge:
    """Parts that become one, with codes or without."""

    parts: tuple[Part, ...]
    coded: bool


def due(parts: Collection[Part], live: int, shape: Shape, lane: Lane) -> Merge | None:
    """The next merge of a lane among sealed ``parts`` of an index that holds ``live`` vectors."""
    return next((merge for merge in _due(parts, live, shape) if _lane(merge, shape) is lane), None)


def size(part: Part) -> int:
    """Vectors that are still some clip's."""
    return part.filled - part.dead


def _due(parts: Collection[Part], live: int, shape: Shape) -> Sequence[Merge]:
    tiers = defaultdict[int, list[Part]](list)
    for part in parts:
        tiers[_tier(part, shape)].append(part)
    full = [tuple(tier) for _, tier in sorted(tiers.items()) if len(tier) >= shape.ratio]
    alone = [(part,) for part in parts if part.dead > shape.dead_share * part.filled]
    # Hysteresis, lest an index at the limit be trained and flattened in turn.
    if live >= shape.exact_below:
        alone += [(part,) for part in parts if part.codes is None and size(part) >= shape.coded_from]
    elif live < shape.exact_below / 2:
        alone += [(part,) for part in parts if part.codes is not None]
    return [
        Merge(group, live >= shape.exact_below and sum(map(size, group)) >= shape.coded_from)
        for group in (*full, *alone)
    ]


def _tier(part: Part, shape: Shape) -> int:
    held = max(size(part), shape.capacity)
    return int(log(held / shape.capacity, shape.ratio) + 1e-9)


def _lane(merge: Merge, shape: Shape) -> Lane:
    small = shape.capacity * shape.ratio**2
    return Lane.SMALL if sum(map(size, merge.parts)) <= small or _unsealed(merge) else Lane.LARGE


def _unsealed(merge: Merge) -> bool:
    return all(isinstance(part, FreshPart) for part in merge.parts)

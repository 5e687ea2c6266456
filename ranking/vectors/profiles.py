"""What the clips of a dancer look like on average: sums of their unit vectors by modality and width.

The profile of a dancer with few clips is read from the index when it is asked for. That of one with more is summed when
it is first asked for, some thousand clips at a time, and from then on kept: a clip that comes is added, one that goes
or moves is subtracted, so that it does not cost more with each clip. Sums are exact: components are rounded to float16,
multiples of 2^-24 of at most 1, and float64 holds any sum of 2^29 of them. So their order does not matter, removals
leave no trace, and it makes no difference whether the index has rounded a vector to float16 meanwhile. Profiles are not
part of a snapshot. Legend: D width.
"""

import threading
from collections.abc import Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import VectorIndex
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.unit_vectors import unit
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Float64, Int64

FEW: Final = 32
"""Clips up to which a profile is not kept: it would take more memory than it saves time. A sum is as large as two
vectors, so that kept profiles take less than a 16th of what the vectors take as float32.
"""
_CLIPS_AT_ONCE: Final = 4096

IndexesByWidth = Mapping[Modality, Mapping[int, VectorIndex]]
"""The indexes of a space by modality and width. A clip has at most one vector of each modality."""


class Sum(NamedTuple):
    """Of the unit vectors of ``clips`` clips, rounded to float16, the ``total`` (D,)."""

    clips: int
    total: Float64


Sums = dict[tuple[Modality, int], Sum]


class Change(NamedTuple):
    """Vectors (D,), perhaps none, that a dancer's profile loses with the clip in ``row``; ``None``: that it gains."""

    dancer_id: str
    clip_id: str
    row: int | None
    vectors: Mapping[Modality, Float32]


class Unsummed(NamedTuple):
    """Dancers whose profiles have to be summed before there is an answer; see ``Profiles.sum_more``."""

    dancer_ids: list[str]


class _Kept:
    """Sums over the clips in rows below ``end``, and how many vectors were subtracted since they were made."""

    def __init__(self) -> None:
        self.sums: Sums = {}
        self.end: float = 0
        self.lost = 0

    def add(self, modality: Modality, vectors: Float32, sign: int = 1) -> None:
        key = modality, vectors.shape[1]
        before = self.sums.get(key, Sum(0, np.zeros(vectors.shape[1])))
        total = vectors.astype(np.float16).sum(axis=0, dtype=np.float64)
        self.sums[key] = Sum(before.clips + sign * len(vectors), before.total + sign * total)


class Profiles:
    """The profiles of a space. Any number of threads may ask; whoever changes the space is alone meanwhile."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._summing = threading.Lock()

    def directions(self, dancer_id: str, catalogue: Catalogue, indexes: IndexesByWidth) -> dict[Modality, Float32]:
        """The direction (D,) of the mean of the unit vectors of the dancer's clips, for each modality that any of them
        has; of several widths that of which there are most, the smaller first. Raises ``NotFound``.

        In time O(clips) if the dancer is ``unsummed``.
        """
        if catalogue.clips_of_dancer(dancer_id) <= FEW:
            return mean_directions(catalogue.rows_of_dancers([dancer_id]), catalogue, indexes)
        while not self.sum_more(dancer_id, catalogue, indexes):
            pass
        sums = self._kept[dancer_id].sums
        found: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            of = {width: each for (m, width), each in sums.items() if m is modality and each.clips}
            if of:
                width = min(of, key=lambda width: (-of[width].clips, width))
                if (direction := unit(of[width].total)) is not None:
                    found[modality] = direction
        return found

    def unsummed(self, dancer_ids: Iterable[str], catalogue: Catalogue) -> list[str]:
        """Those whose profile takes more than one ``sum_more``, which is too long for a lock to be held."""
        return [
            dancer_id
            for dancer_id in dict.fromkeys(dancer_ids)
            if catalogue.clips_of_dancer(dancer_id) > _CLIPS_AT_ONCE
            and not ((kept := self._kept.get(dancer_id)) and kept.end == inf)
        ]

    def sum_more(self, dancer_id: str, catalogue: Catalogue, indexes: IndexesByWidth) -> bool:
        """Add some thousand clips to the sums of a dancer; whether all are in them. The space may change in between."""
        if catalogue.clips_of_dancer(dancer_id) <= FEW:
            return True
        with self._summing:
            kept = self._kept.setdefault(dancer_id, _Kept())
            if kept.end == inf:
                return True
            left = catalogue.rows_of_dancers([dancer_id])
            left = left[left >= kept.end]
            rows = left[:_CLIPS_AT_ONCE]
            for modality, of_width in indexes.items():
                clip_ids = catalogue.clip_ids(rows[catalogue.having(modality, rows)])
                for index in of_width.values():
                    vectors = index.vectors(clip_ids)
                    kept.add(modality, vectors[~np.isnan(vectors[:, 0])])
            kept.end = inf if len(left) == len(rows) else int(rows[-1]) + 1
            return kept.end == inf

    def changes(
        self,
        clips: Iterable[tuple[str, CatalogueEntry | None, Mapping[Modality, Float32]]],
        catalogue: Catalogue,
        indexes: IndexesByWidth,
    ) -> list[Change]:
        """What becomes of kept profiles if each clip gets the entry and the vectors, or is removed (``None``); before
        anything is changed, for ``apply``.
        """
        if not self._kept:
            return []
        changes: list[Change] = []
        for clip_id, entry, vectors in clips:
            held = catalogue.get(clip_id)
            if held is not None and held.dancer_id in self._kept:
                row = catalogue.row_of(clip_id)
                changes.append(Change(held.dancer_id, clip_id, row, _stored(clip_id, indexes)))
            if entry is not None and entry.dancer_id in self._kept:
                changes.append(Change(entry.dancer_id, clip_id, None, vectors))
        return changes

    def apply(self, changes: Iterable[Change], catalogue: Catalogue) -> None:
        """Once the catalogue has changed."""
        for dancer_id, clip_id, row, vectors in changes:
            kept = self._kept.get(dancer_id)
            if kept is None:
                continue
            if (catalogue.row_of(clip_id) if row is None else row) < kept.end:
                for modality, vector in vectors.items():
                    kept.add(modality, vector[None], 1 if row is None else -1)
                    kept.lost += row is not None
            # Also without vectors, or not summed yet, a clip that goes leaves fewer. An index of another kind may not
            # give back what it was given: sum again once in a while.
            if row is not None and catalogue.clips_of_dancer(dancer_id) <= max(FEW // 2, kept.lost // len(MODALITIES)):
                self.forget([dancer_id])

    def forget(self, dancer_ids: Iterable[str] | None = None) -> None:
        """Sum profiles again when they are asked for; ``None``: all of them."""
        for dancer_id in [*self._kept] if dancer_ids is None else dancer_ids:
            self._kept.pop(dancer_id, None)


def mean_directions(rows: Int64, catalogue: Catalogue, indexes: IndexesByWidth) -> dict[Modality, Float32]:
    """The direction (D,) of the mean of the unit vectors of the clips in ``rows`` (N,), as ``Profiles.directions``."""
    means: dict[Modality, Float32] = {}
    for modality in MODALITIES:
        having = rows[catalogue.having(modality, rows)]
        if len(having) and modality in indexes:
            clip_ids = catalogue.clip_ids(having)
            of_width = (index.vectors(clip_ids) for _, index in sorted(indexes[modality].items()))
            vectors = max((found[~np.isnan(found[:, 0])] for found in of_width), key=len)
            # One clip alone keeps its vector as it is.
            mean = vectors.mean(axis=0, dtype=np.float64) if len(vectors) > 1 else None
            direction = next(iter(vectors), None) if mean is None else unit(mean)
            if direction is not None:
                means[modality] = direction
    return means


def _stored(clip_id: str, indexes: IndexesByWidth) -> dict[Modality, Float32]:
    found: dict[Modality, Float32] = {}
    for modality, of_width in indexes.items():
        for index in of_width.values():
            vector = index.vectors([clip_id])[0]
            if not np.isnan(vector[0]):
                found[modality] = vector
    return found

"""What the clips of a dancer look like on average: sums of their unit vectors by modality and width.

The profile of a dancer with few clips is read from the index when it is asked for. That of one with more is summed when
it is first asked for, and from then on kept: a clip that comes is added, one that goes or moves is subtracted, so that
it does not cost more with each clip. Sums are exact: of components rounded to float16, which are multiples of 2^-24, in
integers; so their order does not matter, removals leave no trace, and it makes no difference whether the index has
rounded a vector to float16 meanwhile. Profiles are not part of a snapshot. Legend: D width.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from ranking.vectors.backends.port import VectorIndex, unit
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Float32, Int64

FEW: Final = 32
"""Clips up to which a profile is not kept: it would take more memory than it saves time. A sum is as large as two
vectors, so that kept profiles take less than a 16th of what the vectors take as float32.
"""
_SCALE: Final = 2.0**24
_CLIPS_AT_ONCE: Final = 4096

IndexesByWidth = Mapping[Modality, Mapping[int, VectorIndex]]
"""The indexes of a space by modality and width. A clip has at most one vector of each modality."""


class Sum(NamedTuple):
    """Of the unit vectors of ``clips`` clips the components' ``total`` (D,), in units of 2^-24."""

    clips: int
    total: Int64


class Change(NamedTuple):
    """A vector (D,) that a dancer's profile gains, or loses."""

    dancer_id: str
    modality: Modality
    vector: Float32
    gained: bool


Sums = dict[tuple[Modality, int], Sum]


class Profiles:
    """The profiles of a space. Any number of threads may ask; whoever changes the space is alone meanwhile."""

    def __init__(self) -> None:
        self._kept: dict[str, Sums] = {}
        self._lost: dict[str, int] = {}
        self._setting = threading.Lock()

    def directions(self, dancer_id: str, catalogue: Catalogue, indexes: IndexesByWidth) -> dict[Modality, Float32]:
        """The direction (D,) of the mean of the unit vectors of the dancer's clips, for each modality that any of them
        has; of several widths that of which there are most, the smaller first. Raises ``NotFound``.
        """
        if catalogue.clips_of_dancer(dancer_id) <= FEW:
            return mean_directions(catalogue.rows_of_dancers([dancer_id]), catalogue, indexes)
        sums = self._kept.get(dancer_id)
        if sums is None:
            sums = summed(catalogue.rows_of_dancers([dancer_id]), catalogue, indexes)
            with self._setting:
                sums = self._kept.setdefault(dancer_id, sums)
        found: dict[Modality, Float32] = {}
        for modality in MODALITIES:
            of = {width: each for (m, width), each in sums.items() if m is modality and each.clips}
            if of:
                width = min(of, key=lambda width: (-of[width].clips, width))
                if (direction := unit(of[width].total)) is not None:
                    found[modality] = direction
        return found

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
                for modality, vector in _stored(clip_id, indexes).items():
                    changes.append(Change(held.dancer_id, modality, vector, gained=False))
            if entry is not None and entry.dancer_id in self._kept:
                changes += [Change(entry.dancer_id, m, vector, gained=True) for m, vector in vectors.items()]
        return changes

    def apply(self, changes: Iterable[Change], catalogue: Catalogue) -> None:
        """Once the catalogue has changed."""
        for dancer_id, modality, vector, gained in changes:
            sums = self._kept.get(dancer_id)
            if sums is None:
                continue
            key, sign = (modality, len(vector)), 1 if gained else -1
            before = sums.get(key, Sum(0, np.zeros(len(vector), np.int64)))
            sums[key] = Sum(before.clips + sign, before.total + sign * _in_units(vector))
            if not gained:
                self._lost[dancer_id] = self._lost.get(dancer_id, 0) + 1
                # An index of another kind may not give back what it was given: sum again once in a while.
                if catalogue.clips_of_dancer(dancer_id) <= max(FEW // 2, self._lost[dancer_id]):
                    self.forget([dancer_id])

    def forget(self, dancer_ids: Iterable[str] | None = None) -> None:
        """Sum profiles again when they are asked for; ``None``: all of them."""
        for dancer_id in [*self._kept] if dancer_ids is None else dancer_ids:
            self._kept.pop(dancer_id, None)
            self._lost.pop(dancer_id, None)


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


def summed(rows: Int64, catalogue: Catalogue, indexes: IndexesByWidth) -> Sums:
    """Sums over the clips in ``rows`` (N,), from the index; in time O(N)."""
    sums: Sums = {}
    for modality, of_width in indexes.items():
        having = rows[catalogue.having(modality, rows)]
        for start in range(0, len(having), _CLIPS_AT_ONCE):
            clip_ids = catalogue.clip_ids(having[start : start + _CLIPS_AT_ONCE])
            for width, index in of_width.items():
                vectors = index.vectors(clip_ids)
                vectors = vectors[~np.isnan(vectors[:, 0])]
                before = sums.get((modality, width), Sum(0, np.zeros(width, np.int64)))
                sums[modality, width] = Sum(before.clips + len(vectors), before.total + _in_units(vectors).sum(axis=0))
    return sums


def _stored(clip_id: str, indexes: IndexesByWidth) -> dict[Modality, Float32]:
    found: dict[Modality, Float32] = {}
    for modality, of_width in indexes.items():
        for index in of_width.values():
            vector = index.vectors([clip_id])[0]
            if not np.isnan(vector[0]):
                found[modality] = vector
    return found


def _in_units(vectors: Float32) -> Int64:
    units: Int64 = (vectors.astype(np.float16).astype(np.float64) * _SCALE).astype(np.int64)
    return units

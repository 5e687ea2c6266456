"""Drift of the model: its latest scores against its first ones. Legend: N clips, Q quantities, scores and then
norms.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.monitoring.samples import DriftSamples, Sample, Samples
from ranking.monitoring.stability import population_stability, style_drift
from ranking.views.clip_styles import clip_style
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events import ClipScored, embedding_array
from schemas.modalities import DIMENSIONS, MODALITIES, PAPER_MODALITIES, Dimension, Modality
from schemas.observation import Drift, Observer

Float64 = npt.NDArray[np.float64]
Sides = tuple[Float64, Float64]
"""One quantity of the reference and of the window, (N,) each."""

_LATER: Final = tuple(modality for modality in MODALITIES if not modality.in_paper)
# Samples are kept in the database, where releases with more modalities add theirs at the end: those of the paper have
# the same columns in all.
_SCORES: Final = (*map(Dimension, PAPER_MODALITIES), Dimension.FUSED)
_COLUMNS: Final[tuple[Dimension | Modality, ...]] = (
    *_SCORES,
    *PAPER_MODALITIES,
    *(column for modality in _LATER for column in (Dimension(modality), modality)),
)
"""A ``Dimension`` stands for its score, a ``Modality`` for the norm of its embedding."""
_LEAST_COLUMNS: Final = len(_SCORES) + len(PAPER_MODALITIES)


class DriftMonitor:
    """Compares the latest clips of a generation with its first ones. Threads may add and report at once."""

    def __init__(self, samples: DriftSamples, observer: Observer) -> None:
        self._samples = samples
        self._observer = observer
        self._lock = threading.Lock()
        # No more are kept than the samples can hold: those that may fill the reference, and the latest.
        self._first: list[ClipScored] = []
        self._latest: deque[ClipScored] = deque(maxlen=samples.window_clips)

    def add(self, clips: Iterable[ClipScored]) -> None:
        """Remember clips for the next report; nothing is computed or written here."""
        with self._lock:
            self._keep(clips)

    def report(self, generation: str | None) -> Drift | None:
        """Report the drift of ``generation`` to the observer, if there is one, and write the clips that were added.
        Returns the drift.

        Raises ``StoreUnavailable`` or ``StoreRefused`` if the database fails; what was added is then kept for the next
        report.
        """
        self._store()
        if generation is None:
            return None
        drift = drift_of(self._samples.read(generation))
        self._observer.drift_measured(drift)
        return drift

    def _store(self) -> None:
        with self._lock:
            seen = self._taken()
        try:
            self._samples.add(samples_of(seen))
        except (StoreUnavailable, StoreRefused):
            with self._lock:
                self._keep(seen + self._taken())
            raise

    def _keep(self, clips: Iterable[ClipScored]) -> None:
        rest = iter(clips)
        self._first.extend(islice(rest, self._samples.reference_clips - len(self._first)))
        self._latest.extend(rest)

    def _taken(self) -> list[ClipScored]:
        taken = [*self._first, *self._latest]
        self._first.clear()
        self._latest.clear()
        return taken


def samples_of(clips: Sequence[ClipScored]) -> list[Sample]:
    """The clips' quantities by generation, in the order of ``_COLUMNS``; without the last ones that none of the clips
    has, which releases that do not know them cannot read.
    """
    by_generation: dict[str, list[ClipScored]] = {}
    for clip in clips:
        by_generation.setdefault(clip.generation, []).append(clip)
    return [
        Sample(
            generation,
            _quantities(members),
            max(c.scored_at_ms for c in members),
            [clip_style(clip).style for clip in members],
        )
        for generation, members in sorted(by_generation.items())
    ]


def drift_of(samples: Samples) -> Drift:
    """What has changed from the reference to the window; nothing is said of it before they are complete.

    What no clip has on either side is left out, and so is a ratio to a mean norm of zero.
    """
    clips = len(samples.reference), len(samples.window)
    if not samples.complete:
        return Drift({}, {}, {}, *clips)
    scores: dict[Dimension, Sides] = {}
    norms: dict[Modality, Sides] = {}
    # Two dictionaries, for a dimension equals the modality that it is named after.
    for column, quantity in enumerate(_COLUMNS[: samples.reference.shape[1]]):
        then, now = samples.reference[:, column], samples.window[:, column]
        if np.isnan(then).all() and np.isnan(now).all():
            continue
        if isinstance(quantity, Dimension):
            scores[quantity] = then, now
        else:
            norms[quantity] = then, now
    ratios = {modality: _ratio(*norms[modality]) for modality in MODALITIES if modality in norms}
    return Drift(
        {dimension: population_stability(*scores[dimension]) for dimension in DIMENSIONS if dimension in scores},
        {modality: population_stability(*norms[modality]) for modality in ratios},
        {modality: ratio for modality, ratio in ratios.items() if ratio is not None},
        *clips,
        style_drift(samples.reference_styles, samples.window_styles),
    )


def _quantities(clips: Sequence[ClipScored]) -> Float64:
    """(N, Q)."""
    table = np.array([[_quantity(clip, column) for column in _COLUMNS] for clip in clips])
    there = np.flatnonzero(~np.isnan(table).all(axis=0))
    return table[:, : max(_LEAST_COLUMNS, int(there[-1]) + 1)]


def _quantity(clip: ClipScored, column: Dimension | Modality) -> float:
    if isinstance(column, Dimension):
        return clip.scores().get(column, np.nan)
    if column not in clip.modalities:
        return np.nan
    return float(np.linalg.norm(embedding_array(clip.modalities[column]).astype(np.float64)))


def _ratio(reference: Float64, window: Float64) -> float | None:
    then, now = reference[~np.isnan(reference)], window[~np.isnan(window)]
    return float(now.mean() / then.mean()) if len(now) and then.any() else None

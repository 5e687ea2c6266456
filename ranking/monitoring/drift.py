"""Drift of the model: its latest scores against its first ones. Legend: N clips, Q quantities, scores and then
norms.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from ranking.monitoring.samples import DriftSamples, Sample, Samples
from ranking.monitoring.stability import population_stability, style_drift
from ranking.views.clip_styles import clip_style
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events import ClipScored, embedding_array
from schemas.modalities import DIMENSIONS, MODALITIES
from schemas.observation import Drift, Observer

Float64 = npt.NDArray[np.float64]


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
    """The clips' quantities by generation: the score of every dimension, then the norm of every embedding."""
    by_generation: dict[str, list[ClipScored]] = {}
    for clip in clips:
        by_generation.setdefault(clip.generation, []).append(clip)
    return [
        Sample(
            generation,
            np.array([_quantities(clip) for clip in members]),
            max(c.scored_at_ms for c in members),
            [clip_style(clip).style for clip in members],
        )
        for generation, members in sorted(by_generation.items())
    ]


def drift_of(samples: Samples) -> Drift:
    """What has changed from the reference to the window; nothing is said of it before they are complete.

    What no clip has on either side is left out, and so is a ratio to a mean norm of zero.
    """
    then, now = samples.reference.T, samples.window.T
    clips = len(samples.reference), len(samples.window)
    if not samples.complete:
        return Drift({}, {}, {}, *clips)
    indices = {
        column: population_stability(then[column], now[column])
        for column in range(len(then))
        if not (np.isnan(then[column]).all() and np.isnan(now[column]).all())
    }
    ratios = {column: _ratio(then[column], now[column]) for column in indices}
    norms = {modality: column for column, modality in enumerate(MODALITIES, start=len(DIMENSIONS))}
    return Drift(
        {dimension: indices[column] for column, dimension in enumerate(DIMENSIONS) if column in indices},
        {modality: indices[column] for modality, column in norms.items() if column in indices},
        {modality: ratio for modality, column in norms.items() if (ratio := ratios.get(column)) is not None},
        *clips,
        style_drift(samples.reference_styles, samples.window_styles),
    )


def _quantities(clip: ClipScored) -> list[float]:
    scores = clip.scores()
    norms = (
        float(np.linalg.norm(embedding_array(clip.modalities[m]).astype(np.float64)))
        if m in clip.modalities
        else np.nan
        for m in MODALITIES
    )
    return [*(scores.get(dimension, np.nan) for dimension in DIMENSIONS), *norms]


def _ratio(reference: Float64, window: Float64) -> float | None:
    then, now = reference[~np.isnan(reference)], window[~np.isnan(window)]
    return float(now.mean() / then.mean()) if len(now) and then.any() else None

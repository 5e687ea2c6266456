"""Agreement of predictions with observed virality. Legend: N clips of a challenge, D dimensions."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ranking.monitoring.calibration import Bounds, CalibrationBin, Deciles, normalised
from ranking.monitoring.correlation import spearman
from schemas.modalities import DIMENSIONS, Dimension
from schemas.observation import Agreement, Calibration

Float64 = npt.NDArray[np.float64]


class ChallengeWindow(NamedTuple):
    """The clips of a challenge that were observed last.

    ``scores`` (N, D): predicted, NaN where a clip lacks the modality. ``virality`` (N,): Eq. (1). ``bounds`` are those
    of all clips ever observed in the challenge, and ``observed`` is how many these are.
    """

    challenge_id: str
    scores: Float64
    virality: Float64
    bounds: Bounds
    observed: int


class Comparison(NamedTuple):
    """Result of the measurement over many challenges; ``bins``: what the calibrations are computed from."""

    agreements: list[Agreement]
    calibrations: list[Calibration]
    bins: Mapping[Dimension, list[CalibrationBin]]


def compare(windows: Iterable[ChallengeWindow], *, least_clips: int, most_challenges: int) -> Comparison:
    """Rank correlations by challenge and dimension, and calibration by dimension.

    A correlation needs ``least_clips`` clips that have the dimension, and an order on both sides. Those of the
    ``most_challenges`` challenges with most clips are reported singly (equal ones: more ever observed, then by name);
    the mean is over all challenges that have one. Calibration counts the clips of challenges with ``least_clips``
    clips: the bounds of Eq. (2) mean nothing in smaller ones.
    """
    deciles = {dimension: Deciles() for dimension in DIMENSIONS}
    found: list[tuple[tuple[int, int, str], list[Agreement]]] = []
    for window in windows:
        clips = len(window.virality)
        if clips < least_clips:
            continue
        target = normalised(window.virality, window.bounds)
        agreements = []
        for column, dimension in enumerate(DIMENSIONS):
            scores = window.scores[:, column]
            present = ~np.isnan(scores)
            deciles[dimension].add(scores[present], target[present])
            count = int(present.sum())
            correlation = spearman(scores[present], window.virality[present]) if count >= least_clips else np.nan
            if not np.isnan(correlation):
                agreements.append(Agreement(window.challenge_id, dimension, correlation, count))
        found.append(((-clips, -window.observed, window.challenge_id), agreements))
    found.sort(key=lambda entry: entry[0])
    reported = [agreement for _, agreements in found[:most_challenges] for agreement in agreements]
    means = _means([agreement for _, agreements in found for agreement in agreements])
    bins = {dimension: found.bins() for dimension, found in deciles.items() if found.clips.any()}
    return Comparison(reported + means, _calibrations(deciles), bins)


def _means(agreements: list[Agreement]) -> list[Agreement]:
    means = []
    for dimension in DIMENSIONS:
        of_dimension = [agreement for agreement in agreements if agreement.dimension == dimension]
        if of_dimension:
            mean = float(np.mean([agreement.correlation for agreement in of_dimension]))
            means.append(Agreement(None, dimension, mean, sum(agreement.clips for agreement in of_dimension)))
    return means


def _calibrations(deciles: Mapping[Dimension, Deciles]) -> list[Calibration]:
    return [Calibration(dimension, t.bias, t.error) for dimension, t in deciles.items() if t.clips.any()]

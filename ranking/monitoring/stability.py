"""How far a distribution has moved: the population stability index. Legend: N values then, M values now, B bins."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.observation import StyleDrift

Float64 = npt.NDArray[np.float64]

_DECILES: Final = np.arange(1, 10) / 10
_HALF: Final = 0.5


def population_stability(reference: Float64, window: Float64) -> float:
    """PSI = Σ_b (p_b - q_b) ln(p_b / q_b) of ``reference`` (N,), q, and ``window`` (M,), p; 0 if nothing has changed.

    Bins are the deciles of the reference, open at both ends, with one more for values that are absent (NaN): what a
    clip lacks more often than before has drifted as well. Where a value is so frequent that several deciles end in it,
    it is a bin of its own. Half a clip is added to every bin of both sides (the Jeffreys prior), so that none is
    empty. By chance alone PSI is about (B - 1)(1/N + 1/M), 0.02 for 1000 and 1000 clips (Yurdakul and Naranjo 2020,
    Statistical properties of the population stability index). NaN without values on one of the sides.
    """
    if not len(reference) or not len(window):
        return float("nan")
    cuts = _cuts(reference[~np.isnan(reference)])
    then, now = _shares(reference, cuts), _shares(window, cuts)
    return float(np.sum((now - then) * np.log(now / then)))


def style_drift(reference: Mapping[str, int], window: Mapping[str, int]) -> dict[str, StyleDrift]:
    """Shares of each style in two samples of judged clips, and what it adds to PSI = Σ (p - q) ln(p / q), of shares to
    which half a clip is added as above. Empty unless clips of both samples were judged.
    """
    styles = sorted({*reference, *window})
    then, now = (np.array([sample.get(style, 0) for style in styles], np.float64) for sample in (reference, window))
    if not then.sum() or not now.sum():
        return {}
    q, p = ((counts + _HALF) / (counts + _HALF).sum() for counts in (then, now))
    psi = (p - q) * np.log(p / q)
    shares = zip(then / then.sum(), now / now.sum(), psi, strict=True)
    return {style: StyleDrift(*map(float, values)) for style, values in zip(styles, shares, strict=True)}


def _cuts(present: Float64) -> Float64:
    """Upper ends of the bins, ascending; each bin contains its lower end and not its upper one."""
    if not len(present):
        return np.empty(0)
    ends, deciles = np.unique(np.quantile(present, _DECILES, method="higher"), return_counts=True)
    frequent = ends[deciles > 1]
    return np.union1d(ends, np.nextafter(frequent, np.inf))


def _shares(values: Float64, cuts: Float64) -> Float64:
    absent = np.isnan(values)
    counts = np.bincount(np.searchsorted(cuts, values[~absent], side="right"), minlength=len(cuts) + 1)
    smoothed = np.append(counts, absent.sum()) + _HALF
    shares: Float64 = smoothed / smoothed.sum()
    return shares

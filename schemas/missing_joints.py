"""Undetected joints: which values of a pose are missing, and how short gaps are filled.

One rule, for feature files wherever they are read (``decode_features``: serving, training, checks) and for importers.
Legend: T time steps, V joints, C channels, coordinates first and then, in 2-D layouts, optionally a confidence.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.errors import FeatureValueInvalid
from schemas.joints import JointLayout
from schemas.modalities import Modality

LONGEST_GAP_S: Final = 0.5
"""One beat at 120 beats per minute. A straight line over more than a beat would invent a movement."""

LARGEST_SHARE: Final = 0.5
"""With more than half of a joint's steps filled, most of what the network reads of it was not observed."""

JUMP: Final = 0.25
"""In body sizes: a joint without confidence that is at the origin, and otherwise farther away than this, is missing."""

_MOST_NAMED: Final = 4

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def missing_joints(pose: Floats, layout: JointLayout) -> Mask:
    """(T, V): where ``pose`` (T, V, C) holds no detection.

    With a confidence channel: where the confidence is not positive, at any coordinates. Without: where all
    coordinates are exactly 0 and the joint would have jumped there. The position that its other steps give, or the body
    if it has no other, is more than ``JUMP`` body sizes away from the origin. The root of a root-centred pose and the
    corner of a normalised one stay coordinates. A body size is the median diagonal of the box around a step's joints.
    """
    coordinates = pose[..., : layout.coordinates]
    if pose.shape[-1] > layout.coordinates:
        return np.asarray(~(pose[..., layout.coordinates] > 0))
    at_origin: Mask = coordinates[..., 0] == 0  # one coordinate settles it for nearly every pose
    if not at_origin.any():
        return at_origin
    at_origin = (coordinates == 0).all(axis=-1)
    if not at_origin.any():
        return at_origin
    seen = ~at_origin
    measured = seen.sum(axis=1) >= 2
    if not measured.any():
        return at_origin
    points = coordinates.astype(np.float64)
    low = np.where(seen[..., None], points, np.inf)[measured].min(axis=1)
    high = np.where(seen[..., None], points, -np.inf)[measured].max(axis=1)
    jump = JUMP * np.median(np.linalg.norm(high - low, axis=-1))
    to_body = np.median(np.linalg.norm(np.maximum(0, np.maximum(low, -high)), axis=-1))
    missing = np.zeros_like(at_origin)
    for joint in np.flatnonzero(at_origin.any(axis=0)):
        if not seen[:, joint].any():
            missing[:, joint] = to_body > jump
        else:
            expected = fill_gaps(points[:, joint], seen[:, joint])
            missing[:, joint] = at_origin[:, joint] & (np.linalg.norm(expected, axis=-1) > jump)
    return missing


def fill_missing(
    frames: Floats, missing: Mask, names: Sequence[str], rate_hz: float, *, longest_gap_s: float = LONGEST_GAP_S
) -> Floats:
    """``frames`` (T, V, C) with the ``missing`` (T, V) joints interpolated by ``fill_gaps``, each joint by itself.

    The same array if nothing is missing. A confidence is interpolated too, so a filled pose is complete. Raises
    ``FeatureValueInvalid``, naming the joints and the share of missing values, if a joint is never detected, missing
    for more than ``longest_gap_s`` in a row, or missing in more than ``LARGEST_SHARE`` of the steps.
    """
    if not missing.any():
        return frames
    gaps_s = _longest_runs(missing) / rate_hz
    shares = missing.mean(axis=0)
    refused = np.flatnonzero((gaps_s > longest_gap_s) | (shares > LARGEST_SHARE))
    if refused.size:
        named = [names[joint] for joint in refused[:_MOST_NAMED]]
        more = f" and {refused.size - len(named)} more" if refused.size > len(named) else ""
        worst = shares[refused].max()
        extent = "in every step" if worst == 1 else f"for {gaps_s[refused].max():.2f} s in a row"
        raise FeatureValueInvalid(
            f"undetected joints: {', '.join(named)}{more} {extent}, {worst:.1%} of the clip; up to {longest_gap_s:g} s "
            f"in a row and {LARGEST_SHARE:.0%} of the clip are interpolated; in all {missing.mean():.1%} of the values "
            "are missing; extract the pose again, or leave the clip out",
            field=Modality.SKELETAL,
        )
    filled = frames.copy()
    for joint in np.flatnonzero(missing.any(axis=0)):
        filled[:, joint] = fill_gaps(frames[:, joint], ~missing[:, joint])
    return filled


def fill_gaps(frames: Floats, known: Mask) -> Floats:
    """``frames`` (T, ...) with each step that is not ``known`` (T,) interpolated linearly between the known ones around
    it; before the first and after the last, the nearest. Some step must be known.
    """
    if known.all():
        return frames
    return at_positions(frames[known], np.interp(np.arange(len(frames)), np.flatnonzero(known), np.arange(known.sum())))


def at_positions(frames: Floats, positions: npt.NDArray[np.float64]) -> Floats:
    """``frames`` (T, ...) at fractional indices (T',), interpolated linearly, in their own float type."""
    positions = np.clip(np.round(positions, 9), 0, len(frames) - 1)
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (positions - before).reshape(-1, *(1,) * (frames.ndim - 1))
    blended: Floats = (frames[before] * (1 - share) + frames[after] * share).astype(frames.dtype)
    return blended


def _longest_runs(missing: Mask) -> npt.NDArray[np.int64]:
    """(V,): the most steps in a row that are missing."""
    run = np.zeros(missing.shape[1], np.int64)
    longest = run.copy()
    for step in missing:
        run = np.where(step, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest

"""Rules that the features of a real clip keep, whatever model scores them: length, size, movement, repetition.

One place, for uploads (``streamer.loading``), importers and checks of data sets. Each rule compares one value with one
limit. The limits lie far outside what recordings of people reach; docs/decisions/0029 gives both, with the reasons.
Legend: T time steps, V joints, C channels, D values of one step (V·C or C).
"""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.arrays.float16 import doubled, widened_spaced
from schemas.arrays.magnitude import greatest_magnitude
from schemas.errors import FeaturesImplausible
from schemas.features import ClipFeatures, check_length
from schemas.joints import LAYOUTS
from schemas.modalities import Modality
from schemas.plausibility.ordinary_poses import PoseLimits, is_ordinary
from schemas.plausibility.repetition import changes_between, repetition

LEAST_SHARE: Final = 0.5
"""Of the clip's length, as of a joint's steps (``schemas.missing_joints``): below it, most was not observed."""
LEAST_SHARE_OF_FACES: Final = 0.1
"""A face is found only where the dancer looks at the camera; likewise what packages add, of which nothing is known."""
GREATEST_MAGNITUDE: Final = 1e5
"""Pixels, millimetres and activations of networks all stay below."""
LEAST_EXTENT: Final = 1e-3
"""Body size as a share of the greatest coordinate: four pixels in a picture of 4096."""
LEAST_WIDTH: Final = 0.01
"""Second principal axis of the joints as a share of the first: less is a line."""
LEAST_MOVEMENT: Final = 1e-3
"""Change of the distances between joints, as a share of their size: half a pixel for a body of 500."""
GREATEST_SPEED: Final = 0.25
"""Body sizes per step, of the mean joint in the median step that moves: about 10 m/s."""
LEAST_CONTRAST: Final = 1e-3
"""Deviation over the channels as a share of their root mean square, in the steps that carry something."""
LEAST_VARIATION: Final = 1e-4
"""Deviation over time as a share of the root mean square: below the rounding of float16."""
LARGEST_DUPLICATES: Final = 0.9
"""Share of steps that equal the one before: 2.5 pictures per second shown at 25."""
LARGEST_REPEATS: Final = 0.75
"""Share of the other steps that come back to an earlier one: a loop that is played more than four times."""

_CHANNELS: Final = 64
"""Channels of a vector that are compared, evenly spaced: enough to see whether anything changes, at a fraction of the
cost."""
_NEIGHBOURS: Final = (1, 2, 3)
"""Joints whose distances are compared: to those so many places on in the order of the layout. They fix the pose."""
_LIMITS_OF_POSES: Final = PoseLimits(LEAST_EXTENT, LEAST_WIDTH, LEAST_MOVEMENT, GREATEST_SPEED)
_FAR_ABOVE_CONTRAST: Final = 1e-4
"""A square of the contrast, a hundred times that of the limit, far beyond the rounding of float32."""
_FEWEST_STEPS: Final = 4

Floats = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]


class Plausibility(StrEnum):
    """The rules, by the words that stand in messages."""

    LENGTH = "length"
    MAGNITUDE = "magnitude"
    EXTENT = "extent"
    WIDTH = "width"
    MOVEMENT = "movement"
    SPEED = "speed"
    CONTRAST = "contrast"
    VARIATION = "variation"
    DUPLICATES = "duplicates"
    REPEATS = "repeats"


class Finding(NamedTuple):
    """One ``value`` of a clip that is beyond the ``limit`` of a ``rule``."""

    rule: Plausibility
    modality: Modality
    value: float
    limit: float
    at_least: bool
    what: str

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        return (
            f"implausible by the rule {str(self.rule)!r}: {self.what} of tensor {str(self.modality)!r} is "
            f"{self.value:.4g}, and of a real clip {bound} {self.limit:g}; extract the features again from the clip "
            f"itself, or leave {self.modality} out"
        )


def check_plausible(features: ClipFeatures, duration_s: float, *, whole_video: bool = False) -> None:
    """Raise ``FeaturesImplausible`` with the first rule that the features of a clip of ``duration_s`` seconds break,
    the value and the limit; and ``FeatureShapeInvalid`` for a tensor that lasts longer than the clip.

    ``whole_video`` admits one vector for the whole clip instead of a sequence, as some archives of features hold it:
    for data sets to learn from.
    """
    check_length(features, duration_s)
    finding = next(findings(features, duration_s, whole_video=whole_video), None)
    if finding is not None:
        raise FeaturesImplausible(str(finding), field=finding.modality)


def findings(features: ClipFeatures, duration_s: float, *, whole_video: bool = False) -> Iterator[Finding]:
    """All rules that the features break, those of one modality after the other's."""
    for modality, frames in features.frames.items():
        if not (whole_video and len(frames) == 1 and not modality.has_joints):
            yield from _length(modality, len(frames), duration_s)
        # No float16 is above the limit, and only of poses is the value itself needed.
        greatest = greatest_magnitude(frames) if modality.has_joints or frames.dtype != np.float16 else 0.0
        if greatest > GREATEST_MAGNITUDE:
            yield Finding(Plausibility.MAGNITUDE, modality, greatest, GREATEST_MAGNITUDE, False, "the greatest value")
        elif modality.has_joints:
            coordinates = LAYOUTS[features.joint_layout or ""].coordinates
            yield from _pose_findings(modality, doubled(frames[..., :coordinates]), greatest)
        else:
            spaced = widened_spaced(frames, max(1, frames.shape[1] // _CHANNELS))
            yield from _vector_findings(modality, spaced)


def _length(modality: Modality, steps: int, duration_s: float) -> Iterator[Finding]:
    continuous = (modality.in_paper and modality is not Modality.FACIAL) or not modality.is_fused
    least = LEAST_SHARE if continuous else LEAST_SHARE_OF_FACES
    share = (steps + 1) / modality.rate_hz / duration_s  # one step of rounding
    if share < least:
        yield Finding(Plausibility.LENGTH, modality, share, least, True, "the length as a share of duration_s")


def _pose_findings(modality: Modality, pose: Double, greatest: float) -> Iterator[Finding]:
    """``pose``: (T, V, coordinates)."""
    flat = pose.reshape(len(pose), -1)
    changes = changes_between(flat)
    if len(pose) < _FEWEST_STEPS or not is_ordinary(pose, changes, greatest, _LIMITS_OF_POSES):
        found = list(_unusual_pose_findings(modality, pose, greatest))
        yield from found
        if len(pose) < _FEWEST_STEPS or any(each.rule is Plausibility.EXTENT for each in found):
            return
    yield from _repetition(modality, flat, changes)


def _unusual_pose_findings(modality: Modality, pose: Double, greatest: float) -> Iterator[Finding]:
    """All rules of poses but those of repetition, by their exact values."""
    size = float(np.median(np.sqrt(((pose.max(axis=1) - pose.min(axis=1)) ** 2).sum(axis=1))))
    if size < LEAST_EXTENT * greatest or size == 0:
        share = size / greatest if greatest else 0.0
        yield Finding(Plausibility.EXTENT, modality, share, LEAST_EXTENT, True, "the body's share of the coordinates")
        return
    centred = pose - pose.mean(axis=1, keepdims=True)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.swapaxes(centred, 1, 2) @ centred), 0))
    width = float(np.median(axes[:, -2] / np.maximum(axes[:, -1], np.finfo(float).tiny)))
    if width < LEAST_WIDTH:
        yield Finding(Plausibility.WIDTH, modality, width, LEAST_WIDTH, True, "the body's width over its length")
    if len(pose) < _FEWEST_STEPS:
        return
    if (movement := _movement(pose)) < LEAST_MOVEMENT:
        yield Finding(Plausibility.MOVEMENT, modality, movement, LEAST_MOVEMENT, True, "the change of the pose")
    moved = np.sqrt((np.diff(pose, axis=0) ** 2).sum(axis=-1)).mean(axis=1) / size
    speed = float(np.median(moved[moved > 0])) if (moved > 0).any() else 0.0
    if speed > GREATEST_SPEED:
        yield Finding(Plausibility.SPEED, modality, speed, GREATEST_SPEED, False, "the speed in bodies per step")


def _movement(pose: Double) -> float:
    """Deviation over time of distances between joints, over their root mean square in the step: nothing moves in a pose
    that is only shifted, scaled or turned. ``pose``: (T, V, coordinates).
    """
    square = np.concatenate([((pose - np.roll(pose, places, axis=1)) ** 2).sum(axis=2) for places in _NEIGHBOURS], 1)
    scale = square.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.sqrt(square / np.where(scale > 0, scale, 1)).var(axis=0).mean()))


def _vector_findings(modality: Modality, frames: npt.NDArray[np.float32]) -> Iterator[Finding]:
    """``frames``: (T, C)."""
    from schemas.arrays.kernels import centre_steps

    steps, channels = frames.shape
    centred = np.empty_like(frames)
    far, power, spread = centre_steps(frames, (1 - _FAR_ABOVE_CONTRAST) * channels, centred)
    if channels > 1 and 2 * far <= steps and (contrast := _contrast(frames)) < LEAST_CONTRAST:
        yield Finding(Plausibility.CONTRAST, modality, contrast, LEAST_CONTRAST, True, "the contrast of the channels")
        return
    if steps < _FEWEST_STEPS:
        return
    variation = math.sqrt(spread / power) if power else 0.0
    if variation < LEAST_VARIATION:
        yield Finding(Plausibility.VARIATION, modality, variation, LEAST_VARIATION, True, "the change over time")
        return
    yield from _repetition(modality, centred, changes_between(centred))


def _contrast(frames: npt.NDArray[np.float32]) -> float:
    size = np.sqrt(np.einsum("tc,tc->t", frames, frames) / frames.shape[1])
    return float(np.median(frames.std(axis=1) / np.where(size > 0, size, 1)))


def _repetition(modality: Modality, steps: Floats, changes: Double) -> Iterator[Finding]:
    """``steps``: (T, D); ``changes`` between them, (T - 1,)."""
    found = repetition(steps, changes, most_duplicates=LARGEST_DUPLICATES, most_repeats=LARGEST_REPEATS)
    if found.duplicates > LARGEST_DUPLICATES:
        yield Finding(
            *(Plausibility.DUPLICATES, modality, found.duplicates, LARGEST_DUPLICATES, False),
            "the share of steps that equal the one before",
        )
    elif found.repeats > LARGEST_REPEATS:
        yield Finding(
            *(Plausibility.REPEATS, modality, found.repeats, LARGEST_REPEATS, False),
            "the share of steps that repeat an earlier one",
        )

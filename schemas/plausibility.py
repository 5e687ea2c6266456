"""Rules that the features of a real clip keep, whatever model scores them: length, size, movement, repetition.

One place, for uploads (``streamer.loading``), importers and checks of data sets. Each rule compares one value with one
limit. The limits lie far outside what recordings of people reach; docs/decisions/0029 gives both, with the reasons.
Legend: T time steps, V joints, C channels, D values of one step (V·C or C).
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import FeaturesImplausible
from schemas.features import ClipFeatures, check_length
from schemas.joints import LAYOUTS
from schemas.modalities import Modality

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

_MAGNITUDE_BITS: Final = np.uint16(0x7FFF)

NEAR: Final = 0.1
"""Two steps are the same if they differ by less than this share of the median change from one step to the next."""

_CHANNELS: Final = 64
"""Channels of a vector that are compared, evenly spaced: enough to see whether anything changes, at a fraction of the
cost."""
_NEIGHBOURS: Final = (1, 2, 3)
"""Joints whose distances are compared: to those so many places on in the order of the layout. They fix the pose."""
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
        greatest = _greatest(frames)
        if greatest > GREATEST_MAGNITUDE:
            yield Finding(Plausibility.MAGNITUDE, modality, greatest, GREATEST_MAGNITUDE, False, "the greatest value")
        elif modality.has_joints:
            coordinates = LAYOUTS[features.joint_layout or ""].coordinates
            yield from _pose_findings(modality, frames[..., :coordinates].astype(np.float64), greatest)
        else:
            spaced = frames[:, :: max(1, frames.shape[1] // _CHANNELS)]
            yield from _vector_findings(modality, spaced.astype(np.float32))


def _greatest(frames: Floats) -> float:
    if frames.dtype == np.float16:  # several times faster than a maximum of float16, which converts each
        return float((frames.view(np.uint16) & _MAGNITUDE_BITS).max().view(np.float16))
    return float(max(frames.max(), -frames.min()))


def _length(modality: Modality, steps: int, duration_s: float) -> Iterator[Finding]:
    continuous = modality.in_paper and modality is not Modality.FACIAL
    least = LEAST_SHARE if continuous else LEAST_SHARE_OF_FACES
    share = (steps + 1) / modality.rate_hz / duration_s  # one step of rounding
    if share < least:
        yield Finding(Plausibility.LENGTH, modality, share, least, True, "the length as a share of duration_s")


def _pose_findings(modality: Modality, pose: Double, greatest: float) -> Iterator[Finding]:
    """``pose``: (T, V, coordinates)."""
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
    yield from _repetition(modality, pose.reshape(len(pose), -1))


def _movement(pose: Double) -> float:
    """Deviation over time of distances between joints, over their root mean square in the step: nothing moves in a pose
    that is only shifted, scaled or turned. ``pose``: (T, V, coordinates).
    """
    square = np.concatenate([((pose - np.roll(pose, places, axis=1)) ** 2).sum(axis=2) for places in _NEIGHBOURS], 1)
    scale = square.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.sqrt(square / np.where(scale > 0, scale, 1)).var(axis=0).mean()))


def _vector_findings(modality: Modality, frames: npt.NDArray[np.float32]) -> Iterator[Finding]:
    """``frames``: (T, C)."""
    steps, channels = frames.shape
    deviation, size = frames.std(axis=1), np.sqrt(np.einsum("tc,tc->t", frames, frames) / channels)
    contrast = float(np.median(deviation / np.where(size > 0, size, 1)))
    if channels > 1 and contrast < LEAST_CONTRAST:
        yield Finding(Plausibility.CONTRAST, modality, contrast, LEAST_CONTRAST, True, "the contrast of the channels")
        return
    if steps < _FEWEST_STEPS:
        return
    centred = frames - frames.mean(axis=0)
    variation = float(np.sqrt((centred**2).mean() / (size**2).mean()))
    if variation < LEAST_VARIATION:
        yield Finding(Plausibility.VARIATION, modality, variation, LEAST_VARIATION, True, "the change over time")
        return
    yield from _repetition(modality, centred.astype(np.float64))


def _repetition(modality: Modality, steps: Double) -> Iterator[Finding]:
    """``steps``: (T, D). Duplicates of the step before; and, without those, steps that come back to an earlier one."""
    changes = _changes(steps)
    same = changes <= NEAR * np.median(changes[changes > 0]) if changes.any() else np.ones(len(changes), np.bool_)
    if (duplicates := float(same.mean())) > LARGEST_DUPLICATES:
        yield Finding(
            *(Plausibility.DUPLICATES, modality, duplicates, LARGEST_DUPLICATES, False),
            "the share of steps that equal the one before",
        )
        return
    kept = steps[np.concatenate([[True], ~same])]
    if len(kept) < _FEWEST_STEPS:
        return
    near = NEAR * float(np.median(_changes(kept)))
    square = np.einsum("td,td->t", kept, kept)
    apart = kept @ kept.T
    apart *= -2
    apart += square
    repeats = float(np.tril(apart <= (near**2 - square)[:, None], -2).any(axis=1).mean())
    if repeats > LARGEST_REPEATS:
        yield Finding(
            *(Plausibility.REPEATS, modality, repeats, LARGEST_REPEATS, False),
            "the share of steps that repeat an earlier one",
        )


def _changes(steps: Double) -> Double:
    differences = np.diff(steps, axis=0)
    changes: Double = np.sqrt(np.einsum("td,td->t", differences, differences))
    return changes

"""Guidance as it is answered: projected to the picture, at the rate that is asked for, with few digits.

Legend: T time steps of the clip, F of the answer, V joints, D coordinates.
"""

import math
from dataclasses import fields
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from schemas.features import ClipFeatures
from schemas.joints import JointLayout, layout_named, mean_absolute_deviation
from schemas.modalities import Modality
from schemas.questions.feedback import (
    CriticalMoment,
    GuidanceQuestion,
    GuidedScore,
    Points,
    Skeleton,
    SmoothingName,
    UnseenGuidance,
)
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import CriticalFrame

DIGITS: Final = 4
"""Significant digits of the body's size, and of the longest vector."""

Floats = npt.NDArray[np.floating[Any]]
Missing = npt.NDArray[np.bool_]


def skeleton_answer(
    positions: Floats, missing: Missing, layout: JointLayout, rate_hz: float, asked_hz: float
) -> Skeleton:
    """``positions`` (T, V, D) at ``rate_hz``, ``missing`` (T, V)."""
    shown, answered_hz = shown_frames(len(positions), rate_hz, asked_hz)
    points = in_the_picture(positions, layout)[shown]
    return Skeleton(
        layout=layout.name,
        joints=list(layout.joints),
        bones=list(layout.edges),
        rate_hz=answered_hz,
        frames=len(shown),
        positions=_points(points, missing[shown], mean_absolute_deviation(positions, layout)),
    )


def skeleton_of(features: ClipFeatures, asked_hz: float) -> Skeleton:
    """Of a clip with a skeleton, as ``FeatureLoader`` makes it."""
    layout, frames = layout_named(features.joint_layout or ""), features.frames[Modality.SKELETAL]
    missing = np.zeros(frames.shape[:2], np.bool_) if features.missing is None else features.missing
    return skeleton_answer(frames[..., : layout.coordinates], missing, layout, Modality.SKELETAL.rate_hz, asked_hz)


def guidance_answer(guidance: Guidance, critical: list[CriticalFrame], asked: GuidanceQuestion) -> UnseenGuidance:
    layout = guidance.layout
    skeleton = skeleton_answer(guidance.positions, guidance.missing, layout, guidance.rate_hz, asked.rate_hz)
    shown, _ = shown_frames(guidance.frames, guidance.rate_hz, asked.rate_hz)
    vectors = in_the_picture(guidance.gradient, layout)
    longest = float(np.linalg.norm(vectors, axis=2).max())
    return UnseenGuidance(
        **{each.name: getattr(skeleton, each.name) for each in fields(skeleton)},
        generation=guidance.generation,
        of=cast(GuidedScore, str(guidance.of)),
        smoothing=cast(SmoothingName, guidance.smoothing),
        score=guidance.score,
        body=rounded(guidance.scale, guidance.scale),
        vectors=_points(vectors[shown], guidance.missing[shown], longest),
        largest=rounded(longest, longest),
        critical_frames=[
            CriticalMoment(
                frame=int(np.abs(np.array(shown) - each.frame).argmin()),
                time_s=round(each.time_s, 3),
                magnitude=rounded(each.magnitude, each.magnitude),
                joints=[layout.joints[joint] for joint in each.joints],
                sentence=each.sentence,
            )
            for each in critical
        ],
    )


def in_the_picture(values: Floats, layout: JointLayout) -> npt.NDArray[np.float64]:
    """(T, V, D) points or vectors to (T, V, 2), x right and y down."""
    (x, x_sign), (y, y_sign) = layout.image_axes
    return values[..., [x, y]].astype(np.float64) * (x_sign, y_sign)


def shown_frames(frames: int, rate_hz: float, asked_hz: float) -> tuple[list[int], float]:
    """The frames nearest to the moments of ``asked_hz``, which is at most ``rate_hz``; and the rate they have."""
    answered_hz = min(asked_hz, rate_hz)
    step = rate_hz / answered_hz
    shown = [min(round(number * step), frames - 1) for number in range(math.ceil(frames / step))]
    return shown, answered_hz


def rounded(value: float, size: float) -> float:
    """``value`` with the digits that ``DIGITS`` significant ones of ``size`` leave."""
    return round(value, _decimals(size))


def _decimals(size: float) -> int:
    return DIGITS - 1 - math.floor(math.log10(size)) if size > 0 else DIGITS


def _points(values: npt.NDArray[np.float64], missing: Missing, size: float) -> Points:
    few = np.round(values, _decimals(size)) + 0.0  # no -0.0
    found: Points = few.tolist()
    for frame, joint in np.argwhere(missing).tolist():
        found[frame][joint] = None
    return found

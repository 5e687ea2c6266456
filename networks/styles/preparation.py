"""Poses as the style networks read them (Bendit-Shtull et al. 2020, Section 4.2).

Legend: T time steps, P people, V joints, C coordinates.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from networks.errors import UnusableSamples
from networks.styles.frames import JOINTS, PEOPLE
from schemas.joints import JointLayout

SUB_SAMPLING: Final = (60, 30, 5)
"""Frames from one to the next at 30 per second: of the final LSTM, attentive LSTM and TCN."""

Array = NDArray[np.float64]


def in_boxes(people: Sequence[NDArray[np.floating]], joints: int = JOINTS) -> Array:
    """(PEOPLE, V, 2) of the people of a frame, each (V, 2): every skeleton in its own box, from -1 to 1 on each axis.

    Absent people are zero, and so is an axis along which a skeleton has no extent. Raises ``UnusableSamples`` for more
    than 20 people.
    """
    if len(people) > PEOPLE:
        raise UnusableSamples(
            f"a frame shows {len(people)} people, {PEOPLE} fit; leave out the least certain ones", field="people"
        )
    frame = np.zeros((PEOPLE, joints, 2))
    for row, person in enumerate(people):
        low, high = person.min(0), person.max(0)
        half = (high - low) / 2
        frame[row] = np.where(half > 0, (person - (low + high) / 2) / np.where(half > 0, half, 1), 0)
    return frame


def sub_sampled(frames: NDArray[np.floating], every: int) -> NDArray[np.floating]:
    """Every ``every``-th of (T, …) frames, from the first on."""
    if every < 1:
        raise UnusableSamples(f"every {every}-th frame cannot be taken; give 1 or more", field="every")
    return frames[::every]


def facing_forward(frames: NDArray[np.floating], layout: JointLayout) -> Array:
    """(T, V, 3) motion capture, turned about the vertical axis so that the hips lie along the first axis in each frame.

    What is left is how a dancer moves, not where to. Centred on the body's centre in each frame, and divided by
    the clip's mean absolute coordinate. Two-dimensional poses are only centred and scaled.
    """
    position = np.asarray(frames, np.float64)[..., : layout.coordinates]
    position = position - position[:, list(layout.centre)].mean(1, keepdims=True)
    if layout.coordinates == 3:
        across = position[:, layout.joints.index("left hip")] - position[:, layout.joints.index("right hip")]
        angle = np.arctan2(across[:, 2], across[:, 0])[:, None]
        x, z = position[..., 0], position[..., 2]
        turned = (x * np.cos(angle) + z * np.sin(angle), position[..., 1], z * np.cos(angle) - x * np.sin(angle))
        position = np.stack(turned, axis=-1)
    scale = np.abs(position).mean()
    return position / (scale if scale > 0 else 1.0)

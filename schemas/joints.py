"""Joint layouts as data: which joints a pose has, how they connect, and how one layout is converted to another.

Legend: N clips, T time steps, V joints, C channels. Coordinates come first in C; a 2-D layout may carry the confidence
of the pose estimator as a third channel.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigurationError, FeatureShapeInvalid

VERTEX_MULTIPLE: Final = 4
"""The network halves the vertices twice, so their number is padded to a multiple of four."""

CONVERSION_TARGET: Final = "mpii-16"


@dataclass(frozen=True)
class JointLayout:
    """One pose format.

    ``joints`` are the names in the order of the V axis, ``edges`` the bones as pairs of joint indices, ``centre`` the
    joints that count as the centre of the body (the thorax, or both shoulders where a format has none).
    ``vertex_order`` is the order in which the network lays the joints out: vertices 2i and 2i+1, which graph
    down-sampling merges, are at most two bones apart.
    ``image_axes`` gives, for image x (right) and image y (down), the coordinate axis and its sign.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    centre: tuple[int, ...]
    coordinates: int
    vertex_order: tuple[int, ...]
    image_axes: tuple[tuple[int, int], tuple[int, int]] = ((0, 1), (1, 1))

    @property
    def joint_count(self) -> int:
        return len(self.joints)

    @property
    def padding(self) -> int:
        """Isolated vertices that the network appends after ``vertex_order``."""
        return -self.joint_count % VERTEX_MULTIPLE

    @property
    def vertex_count(self) -> int:
        """Joints and padding: a multiple of four."""
        return self.joint_count + self.padding

    @property
    def channel_counts(self) -> tuple[int, ...]:
        """The values that C may take."""
        return (2, 3) if self.coordinates == 2 else (self.coordinates,)


MPII_16: Final = JointLayout(
    name="mpii-16",
    joints=(
        *("right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle"),
        *("pelvis", "thorax", "upper neck", "head top"),
        *("right wrist", "right elbow", "right shoulder", "left shoulder", "left elbow", "left wrist"),
    ),
    edges=(
        *((0, 1), (1, 2), (2, 6), (5, 4), (4, 3), (3, 6), (6, 7), (7, 8), (8, 9)),
        *((7, 12), (12, 11), (11, 10), (7, 13), (13, 14), (14, 15)),
    ),
    centre=(7,),
    coordinates=2,
    vertex_order=tuple(range(16)),
)

COCO_17: Final = JointLayout(
    name="coco-17",
    joints=(
        *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
        *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
        *("left knee", "right knee", "left ankle", "right ankle"),
    ),
    edges=(
        *((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
        *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
    ),
    centre=(5, 6),
    coordinates=2,
    vertex_order=(1, 3, 2, 4, 5, 11, 7, 9, 6, 12, 8, 10, 13, 15, 14, 16, 0),
)

OPENPOSE_18: Final = JointLayout(
    name="openpose-18",
    joints=(
        *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
        *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("right eye", "left eye", "right ear", "left ear"),
    ),
    edges=(
        *((4, 3), (3, 2), (2, 1), (7, 6), (6, 5), (5, 1), (0, 1), (14, 0), (16, 14), (15, 0), (17, 15)),
        *((10, 9), (9, 8), (8, 2), (13, 12), (12, 11), (11, 5)),
    ),
    centre=(1,),
    coordinates=2,
    vertex_order=(14, 16, 15, 17, 2, 8, 3, 4, 5, 11, 6, 7, 9, 10, 12, 13, 0, 1),
)

# Motion capture, y up, assumed right-handed. The format does not name joints: sides follow from the feet (toes 11 and
# 20 lie before the ankles, so joint 7 is the right hip), which also puts the raised hand of the waltzes on the man's
# left. The bone list has no bone to the hands; each hangs on the arm joint that it is nearest to in recordings (22 on
# 6, 21 on 14).
DANCE_23: Final = JointLayout(
    name="dance-23",
    joints=(
        *("head side a", "head side b", "waist", "right shoulder", "right elbow", "right forearm", "right wrist"),
        *("right hip", "right knee", "right ankle", "right heel", "right toe"),
        *("left shoulder", "left elbow", "left forearm", "left wrist"),
        *("left hip", "left knee", "left ankle", "left heel", "left toe", "left hand", "right hand"),
    ),
    edges=(
        *((0, 1), (0, 3), (0, 12), (1, 3), (1, 12), (3, 12), (2, 3), (2, 12)),
        *((3, 4), (4, 5), (5, 6), (6, 22), (12, 13), (13, 14), (14, 15), (14, 21)),
        *(
            (2, 7),
            (7, 8),
            (8, 9),
            (9, 10),
            (9, 11),
            (10, 11),
            (2, 16),
            (16, 17),
            (17, 18),
            (18, 19),
            (18, 20),
            (19, 20),
        ),
    ),
    centre=(3, 12),
    coordinates=3,
    vertex_order=(0, 1, 3, 12, 4, 5, 6, 22, 13, 14, 15, 21, 8, 9, 10, 11, 17, 18, 19, 20, 2, 7, 16),
    image_axes=((0, 1), (1, -1)),
)

# Kinect v2 camera space: x grows to the sensor's left, y up, z away from it. Negating x gives the unmirrored picture.
KINECT_25: Final = JointLayout(
    name="kinect-25",
    joints=(
        *("spine base", "spine mid", "neck", "head", "left shoulder", "left elbow", "left wrist", "left hand"),
        *("right shoulder", "right elbow", "right wrist", "right hand", "left hip", "left knee", "left ankle"),
        *("left foot", "right hip", "right knee", "right ankle", "right foot", "spine shoulder"),
        *("left hand tip", "left thumb", "right hand tip", "right thumb"),
    ),
    edges=(
        *((0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10)),
        *((12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18)),
        *((21, 22), (22, 7), (23, 24), (24, 11)),
    ),
    centre=(20,),
    coordinates=3,
    vertex_order=(2, 3, 20, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 0),
    image_axes=((0, -1), (1, -1)),
)

LAYOUTS: Final[dict[str, JointLayout]] = {
    layout.name: layout for layout in (MPII_16, COCO_17, OPENPOSE_18, DANCE_23, KINECT_25)
}

# Per source layout: the joints that are averaged into each of the sixteen MPII joints, in MPII order. Weights are
# convex, so a confidence stays a confidence; a format without the top of the head gives the highest joints that it has.
_AVERAGED: Final[dict[str, tuple[tuple[int, ...], ...]]] = {
    "coco-17": (
        *((16,), (14,), (12,), (11,), (13,), (15,), (11, 12), (5, 6), (3, 4, 5, 6), (1, 2)),
        *((10,), (8,), (6,), (5,), (7,), (9,)),
    ),
    "openpose-18": (
        *((10,), (9,), (8,), (11,), (12,), (13,), (8, 11), (1,), (2, 5, 16, 17), (14, 15)),
        *((4,), (3,), (2,), (5,), (6,), (7,)),
    ),
    "dance-23": (
        *((9,), (8,), (7,), (16,), (17,), (18,), (7, 16), (3, 12), (0, 1, 3, 12), (0, 1)),
        *((6,), (4,), (3,), (12,), (13,), (15,)),
    ),
    "kinect-25": (
        *((18,), (17,), (16,), (12,), (13,), (14,), (0,), (20,), (2,), (3,)),
        *((10,), (9,), (8,), (4,), (5,), (6,)),
    ),
}


def _weights(layout: JointLayout, rows: tuple[tuple[int, ...], ...]) -> NDArray[np.float32]:
    weights = np.zeros((len(rows), layout.joint_count), np.float32)
    for row, joints in enumerate(rows):
        weights[row, list(joints)] = 1.0 / len(joints)
    weights.setflags(write=False)
    return weights


CONVERSIONS: Final[dict[str, NDArray[np.float32]]] = {
    name: _weights(LAYOUTS[name], rows) for name, rows in _AVERAGED.items()
}
"""By source layout: the (16, V) weights that give the MPII joints. Each row sums to one."""


def layout_named(name: str) -> JointLayout:
    """The layout called ``name``; ``ConfigurationError`` listing the known ones if there is none."""
    try:
        return LAYOUTS[name]
    except KeyError:
        known = ", ".join(LAYOUTS)
        raise ConfigurationError(
            f"no joint layout is called {name!r}; known are {known}", field="joint_layout"
        ) from None


def convert(frames: NDArray[np.floating], source: JointLayout, target: JointLayout) -> NDArray[np.floating]:
    """Convert a pose sequence from one layout to another: (..., V, C) to (..., V', C'), in the input's dtype.

    The same array if the layouts are equal. Otherwise the target must be ``mpii-16``: joints are averaged as
    ``CONVERSIONS`` says and coordinates become image coordinates (x right, y down); a confidence channel is averaged
    with the same weights.
    Raises ``FeatureShapeInvalid`` for frames that do not fit ``source`` and for a conversion that does not exist.
    """
    if frames.ndim < 2 or frames.shape[-2] != source.joint_count or frames.shape[-1] not in source.channel_counts:
        channels = " or ".join(map(str, source.channel_counts))
        raise FeatureShapeInvalid(
            f"frames of shape {frames.shape} are not poses of {source.name}: "
            f"expected (..., {source.joint_count}, {channels})",
            field="skeletal",
        )
    if source.name == target.name:
        return frames
    if target.name != CONVERSION_TARGET:
        raise FeatureShapeInvalid(
            f"{source.name} cannot be read as {target.name}; upload {target.name}, or serve a bundle of {source.name} "
            f"or {CONVERSION_TARGET}",
            field="skeletal",
        )
    (x_axis, x_sign), (y_axis, y_sign) = source.image_axes
    confidence = list(range(source.coordinates, frames.shape[-1]))
    picked = frames[..., [x_axis, y_axis, *confidence]].astype(np.float32)
    picked *= np.array([x_sign, y_sign, *(1 for _ in confidence)], np.float32)
    return (CONVERSIONS[source.name] @ picked).astype(frames.dtype)


def convert_missing(missing: NDArray[np.bool_], source: JointLayout, target: JointLayout) -> NDArray[np.bool_]:
    """Likewise for which joints are missing, (T, V) to (T, V'): a joint is, if one that it is averaged from is."""
    if source.name == target.name:
        return missing
    return np.asarray(missing @ (CONVERSIONS[source.name] > 0).T)


def mean_absolute_deviation(positions: NDArray[np.floating], layout: JointLayout) -> float:
    """Of a clip's joints (T, V, coordinates) from the mean position of the body's centre: the clip's body size, by
    which the networks divide it. In the unit of the coordinates.
    """
    wide = positions.astype(np.float64)
    centre = wide[:, list(layout.centre)].mean(axis=(0, 1))
    return float(np.abs(wide - centre).mean())

"""The skeletal stream: BlazePose's points as poses of the layout ``mpii-16``, with confidences.

Legend: T frames.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from extraction.frames import FRAME_RATE_HZ, Frame, VideoProperties
from extraction.streams import ExtractedStream, NotExtracted, Person
from schemas.errors import FeatureValueInvalid
from schemas.joints import MPII_16
from schemas.missing_joints import fill_missing, missing_joints
from schemas.ports import Float32

LEAST_PRESENCE: Final = 0.5
"""A joint with less is beyond the edge of the picture: its position was not seen but guessed, and counts as missing."""
NECK: Final = 0.5
"""Where the upper neck is on the way from the thorax to the middle of the ears."""
HEAD: Final = 1.25
"""From the middle of the ears to the top of the head, as a multiple of the head's width. On four videos the edge of the
person's mask is at 1.16 (hair), 1.22, 1.37 and 1.53 (a cap), by medians."""

# MPII joint → the BlazePose points whose middle it is, in MPII order but for the upper neck and the head's top.
_POINTS: Final = (
    *((28,), (26,), (24,), (23,), (25,), (27,), (23, 24), (11, 12), (), ()),
    *((16,), (14,), (12,), (11,), (13,), (15,)),
)
_THORAX, _UPPER_NECK, _HEAD_TOP = 7, 8, 9
_SHOULDERS, _NOSE, _EARS = (11, 12), 0, (7, 8)


def mpii_pose(landmarks: Float32) -> Float32:
    """(16, 3): x, y and confidence of the MPII joints, of BlazePose's ``landmarks`` (33, 4), in their pixels. See
    ``mpii_poses``.
    """
    pose: Float32 = mpii_poses(landmarks[None])[0]
    return pose


def mpii_poses(landmarks: Float32) -> Float32:
    """(T, 16, 3): x, y and confidence of the MPII joints, of BlazePose's ``landmarks`` (T, 33, 4), in their pixels.

    A confidence is the visibility of the point; of several, the least. It is 0, with x and y, where the point is beyond
    the edge of the picture. Pelvis and thorax are the middles of hips and shoulders. BlazePose has no points at the
    neck and on the top of the head. They are *estimates*: half way from the thorax to the middle of the ears, and on
    the same line beyond the ears by ``HEAD`` times the head's width. The width is the hypotenuse of the distances from
    ear to ear and from their middle to the nose, one of which is long from whichever side the head is seen.
    """
    poses = np.zeros((len(landmarks), MPII_16.joint_count, 3), np.float32)
    for joint, points in enumerate(_POINTS):
        if points:
            poses[:, joint, :2] = landmarks[:, list(points), :2].mean(axis=1)
            poses[:, joint, 2] = _confidences(landmarks, points)
    ears = landmarks[:, list(_EARS), :2].mean(axis=1)
    neck = ears - poses[:, _THORAX, :2]
    length = np.maximum(_lengths(neck), np.float32(1e-6))
    left, right = landmarks[:, _EARS[0], :2], landmarks[:, _EARS[1], :2]
    width = np.hypot(_lengths(left - right), _lengths(landmarks[:, _NOSE, :2] - ears))
    poses[:, _UPPER_NECK, :2] = poses[:, _THORAX, :2] + NECK * neck
    poses[:, _HEAD_TOP, :2] = ears + (HEAD * width / length)[:, None] * neck
    poses[:, _UPPER_NECK, 2] = _confidences(landmarks, (*_SHOULDERS, *_EARS))
    poses[:, _HEAD_TOP, 2] = _confidences(landmarks, (*_SHOULDERS, *_EARS, _NOSE))
    poses[poses[..., 2] == 0] = 0
    return poses


def _lengths(vectors: Float32) -> Float32:
    """(T,) of (T, 2)."""
    lengths: Float32 = np.sqrt(np.square(vectors).sum(axis=1))
    return lengths


def _confidences(landmarks: Float32, points: Sequence[int]) -> Float32:
    """(T,) of some points of (T, 33, 4)."""
    least = landmarks[:, list(points), 2:].min(axis=1)
    return np.where(least[:, 1] >= LEAST_PRESENCE, least[:, 0], np.float32(0))


class SkeletalExtractor:
    """``StreamExtractor`` of the skeletal stream: (T, 16, 3) x and y in pixels of the upright source, and confidence.

    Joints that were not detected stay marked by a confidence of 0, as ``schemas.missing_joints`` reads them; who loads
    the features fills the short gaps. A pose with gaps that cannot be filled is no stream.
    """

    def __init__(self, video: VideoProperties, extractor: str) -> None:
        self._scale, self._extractor = video.scale, extractor
        self._landmarks: list[Float32 | None] = []

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        """Take the dancer of the next frames."""
        self._landmarks += [
            None if person is None else person.landmarks for _, person in zip(frames, people, strict=True)
        ]

    def finish(self) -> ExtractedStream | NotExtracted:
        """The stream, or why the pose failed."""
        seen = [number for number, landmarks in enumerate(self._landmarks) if landmarks is not None]
        poses = np.zeros((len(self._landmarks), MPII_16.joint_count, 3), np.float32)
        if not seen:
            return NotExtracted(f"no person was found in {len(poses)} frames")
        poses[seen] = mpii_poses(np.stack([each for each in self._landmarks if each is not None]))
        poses[..., :2] /= self._scale
        try:
            fill_missing(poses, missing_joints(poses, MPII_16), MPII_16.joints, FRAME_RATE_HZ)
        except FeatureValueInvalid as error:
            return NotExtracted(f"a person was found in {len(seen)} of {len(poses)} frames; {error}")
        return ExtractedStream(poses, self._extractor)

"""Sums of joints' magnitudes over the clips of a challenge: pure arithmetic on whole numbers, hence exact.

Floats do not add associatively: what a clip added could not be taken out again. So a magnitude is rounded once, to a
multiple of 2⁻⁵², when a clip comes, and to the same number when it goes. Legend: B bins, V joints.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.events import (
    GUIDANCE_BIN_S,
    ClipScored,
    ClipScoredV3,
    JointGuidance,
    outside_training,
    training_distance,
)
from schemas.joints import LAYOUTS

MOST_BINS: Final = 122
"""A minute, which is as long as clips are, and what a rate may round it up by."""
GREATEST: Final = 2.0**10
"""What a clip's greatest magnitude counts as at most, in score per mean absolute deviation: one clip whose network
overflowed must not be all that a mean shows.
"""

UNIT_BITS: Final = 52
_F16_BITS: Final = 24  # each float16 from 0 to 1 is a multiple of 2⁻²⁴
_PARTS_OF_A_FRAME: Final = 1024
_LOW_BITS: Final = 31
_LOW: Final = (1 << _LOW_BITS) - 1
_PER_SUM: Final = 8 + 4
_SIZE: Final = struct.Struct("<II")

Int64 = NDArray[np.int64]


class GuidedClip(NamedTuple):
    """What the database keeps of a clip's guidance, in the order of its columns."""

    generation: str
    clip_id: str
    joint_layout: str
    rate_hz: float
    frames: int
    scale: float
    magnitudes: bytes


def guided(clip: ClipScored) -> GuidedClip | None:
    """The guidance of a clip that counts for tips: of one that the model can judge, in a joint layout and bins that
    this release knows.
    """
    found = clip.guidance if isinstance(clip, ClipScoredV3) else None
    if found is None or outside_training(training_distance(clip)) or not _is_known(found):
        return None
    # 0 for -0, which PostgreSQL would keep and SQLite would not.
    numbers = (found.rate_hz, found.frames, found.scale + 0.0, found.magnitudes)
    return GuidedClip(clip.generation, clip.clip_id, found.joint_layout, *numbers)


def _is_known(found: JointGuidance) -> bool:
    layout = LAYOUTS.get(found.joint_layout)
    if layout is None or found.bin_s != GUIDANCE_BIN_S or found.bins > MOST_BINS:
        return False
    return len(found.magnitudes) == 2 * found.bins * layout.joint_count


class Sums(NamedTuple):
    """Over ``clips`` clips. ``reach`` (B,): how many of them last until each bin. ``temporal`` (B, V, 2) and
    ``overall`` (V, 2): sums of magnitudes in units of 2⁻⁵², as high part and low 31 bits.
    """

    clips: int
    reach: Int64
    temporal: Int64
    overall: Int64

    @classmethod
    def none(cls, joints: int) -> "Sums":
        return cls(0, np.zeros(0, np.int64), np.zeros((0, joints, 2), np.int64), np.zeros((joints, 2), np.int64))

    def changed(self, clips: Sequence[tuple[GuidedClip, int]]) -> "Sums":
        """With each clip added (sign 1) or taken out (-1)."""
        bins = max([len(self.reach), *(_bins_of(clip, len(self.overall)) for clip, _ in clips)])
        reach = np.zeros(bins, np.int64)
        temporal = np.zeros((bins, *self.overall.shape), np.int64)
        reach[: len(self.reach)] = self.reach
        temporal[: len(self.reach)] = self.temporal
        overall = self.overall.copy()
        for clip, sign in clips:
            of_bins, of_clip = _magnitudes(clip, len(self.overall))
            reach[: len(of_bins)] += sign
            temporal[: len(of_bins)] += sign * _split(of_bins)
            overall += sign * _split(of_clip)
        held = int(np.flatnonzero(reach)[-1]) + 1 if reach.any() else 0
        total = self.clips + sum(sign for _, sign in clips)
        return Sums(total, reach[:held], _carried(temporal[:held]), _carried(overall))

    def means(self) -> tuple[list[list[float]], list[float]]:
        """Eq. (8) by bin, over the clips that reach it, and Eq. (9); each rounded once. There must be clips."""
        temporal = [
            [_mean(pair, clips) for pair in of_bin]
            for of_bin, clips in zip(self.temporal.tolist(), self.reach.tolist(), strict=True)
        ]
        return temporal, [_mean(pair, self.clips) for pair in self.overall.tolist()]

    def encoded(self) -> tuple[int, bytes, bytes]:
        """The number of clips, the overall sums, and the temporal ones."""
        head = _SIZE.pack(*self.temporal.shape[:2])
        return self.clips, _bytes(self.overall), head + self.reach.astype("<i8").tobytes() + _bytes(self.temporal)

    @classmethod
    def decoded(cls, clips: int, overall: bytes, temporal: bytes) -> "Sums":
        bins, joints = _SIZE.unpack_from(temporal)
        reach = np.frombuffer(temporal, "<i8", bins, _SIZE.size).astype(np.int64)
        rest = temporal[_SIZE.size + 8 * bins :]
        return cls(clips, reach, _numbers(rest).reshape(bins, joints, 2), _numbers(overall))


def means_of_overall(clips: int, overall: bytes) -> list[float]:
    """Eq. (9) of sums of which only the overall ones were read."""
    return [_mean(pair, clips) for pair in _numbers(overall).tolist()]


def _bins_of(clip: GuidedClip, joints: int) -> int:
    return len(clip.magnitudes) // (2 * joints)


def _magnitudes(clip: GuidedClip, joints: int) -> tuple[Int64, Int64]:
    """By bin (B, V) and over the clip (V,), in units of 2⁻⁵²."""
    multiples = np.frombuffer(clip.magnitudes, "<f2").astype(np.float64).reshape(-1, joints) * 2.0**_F16_BITS
    unit = min(clip.scale, GREATEST) * 2.0 ** (UNIT_BITS - _F16_BITS)
    edges = np.minimum(np.arange(len(multiples) + 1) * (GUIDANCE_BIN_S * clip.rate_hz), clip.frames)
    # Whole numbers whose sums stay below 2⁵³, so that these are exact in any order.
    parts_of_frames = np.diff(np.rint(edges * _PARTS_OF_A_FRAME))
    over_clip = parts_of_frames @ multiples / parts_of_frames.sum()
    return np.rint(multiples * unit).astype(np.int64), np.rint(over_clip * unit).astype(np.int64)


def _split(numbers: Int64) -> Int64:
    return np.stack([numbers >> _LOW_BITS, numbers & _LOW], axis=-1)


def _carried(sums: Int64) -> Int64:
    """The same numbers with low parts of 31 bits: one form for each number."""
    return np.stack([sums[..., 0] + (sums[..., 1] >> _LOW_BITS), sums[..., 1] & _LOW], axis=-1)


def _mean(pair: Sequence[int], clips: int) -> float:
    high, low = pair
    return ((high << _LOW_BITS) + low) / (clips << UNIT_BITS)


def _bytes(sums: Int64) -> bytes:
    return sums[..., 0].astype("<i8").tobytes() + sums[..., 1].astype("<u4").tobytes()


def _numbers(content: bytes) -> Int64:
    count = len(content) // _PER_SUM
    high = np.frombuffer(content, "<i8", count).astype(np.int64)
    return np.stack([high, np.frombuffer(content, "<u4", count, 8 * count).astype(np.int64)], axis=-1)

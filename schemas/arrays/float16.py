"""Features as float32, converted faster than by NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.features import Frames

Float32 = npt.NDArray[np.float32]


def widen(frames: Frames, out: Float32) -> None:
    """Write finite ``frames``, float16 or float32, into contiguous ``out`` of the same shape, exactly."""
    if frames.dtype != np.float16:
        out[...] = frames
        return
    from schemas.arrays.kernels import widen_bits

    widen_bits(np.ascontiguousarray(frames).view(np.uint16).reshape(-1), out.reshape(-1))


def widened_spaced(frames: Frames, stride: int) -> Float32:
    """Every ``stride``-th channel of finite ``frames`` (T, C) as contiguous float32."""
    if frames.dtype != np.float16 or not frames.flags.c_contiguous:
        return np.ascontiguousarray(frames[:, ::stride], np.float32)
    from schemas.arrays.kernels import widen_spaced_bits

    out = np.empty((len(frames), -(-frames.shape[1] // stride)), np.float32)
    widen_spaced_bits(frames.view(np.uint16), stride, out)
    return out


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

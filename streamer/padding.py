"""Pads clips of several lengths into one array, with few passes over memory.

Legend: N clips, T time steps of the longest clip, C channels (and joints) of a step.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from schemas.arrays.float16 import widen
from schemas.features import Frames
from schemas.ports import Int64


class PaddedBuffer:
    """Memory for one padded array at a time. It grows to the size of the largest and is reused."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def fill(
        self, clips: Sequence[Frames], look: Callable[[Frames], object] | None = None, *, half: bool = False
    ) -> tuple[Frames, Int64]:
        """The clips (T_n, …) as frames (N, T, …), zero beyond each length, and lengths (N,).

        The frames are float32, or float16 if ``half`` says that they may be and all clips are. ``look`` is called with
        each clip's frames, in order, as soon as they are written and while they are in the processor's cache. The
        frames are valid until the next call.
        """
        lengths = np.array([len(frames) for frames in clips], np.int64)
        shape = (len(clips), int(lengths.max()), *clips[0].shape[1:])
        narrow = half and all(frames.dtype == np.float16 for frames in clips)
        dtype = np.dtype(np.float16 if narrow else np.float32)
        size = math.prod(shape) * dtype.itemsize
        if size > self._memory.size:
            self._memory = np.empty(size, np.uint8)
        padded: Frames = self._memory[:size].view(dtype).reshape(shape)
        for row, frames in zip(padded, clips, strict=True):
            if narrow:
                row[: len(frames)] = frames
            else:
                widen(frames, row[: len(frames)])
            if look is not None:
                look(row[: len(frames)])
            row[len(frames) :] = 0.0
        return padded, lengths

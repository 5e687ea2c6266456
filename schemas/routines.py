"""Routines: how the features of ACTION-NET's two rates lie in one tensor of the modality ``routine``.

Of each second, a step holds the static feature of its frame and the dynamic feature of the segment that it begins in.
Segment i, 16 frames at 5 Hz, covers the seconds 3.2 i to 3.2 (i + 1). Legend: T seconds, S segments.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

STATIC_CHANNELS: Final = 2048
DYNAMIC_CHANNELS: Final = 1024
PARTS: Final = ("dynamic", "static")
"""Of the temporal attention of a routine, in order."""

SEGMENT_FRAMES: Final = 16
FRAMES_HZ: Final = 5
SEGMENT_S: Final = SEGMENT_FRAMES / FRAMES_HZ

Floats = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]


def segments_of(seconds: Any) -> Any:
    """S of T seconds: the segments in which a second begins; element by element for arrays and tensors."""
    return (FRAMES_HZ * seconds + SEGMENT_FRAMES - FRAMES_HZ) // SEGMENT_FRAMES


def first_second(segment: Any) -> Any:
    """The first second that begins in segment i, ceil(16 i / 5); element by element for arrays and tensors."""
    return (SEGMENT_FRAMES * segment + FRAMES_HZ - 1) // FRAMES_HZ


def segment_at(second: Any) -> Any:
    """The segment that a second begins in, floor(5 t / 16); element by element for arrays and tensors."""
    return FRAMES_HZ * second // SEGMENT_FRAMES


def packed(dynamic: Floats, static: Floats) -> Float32:
    """(T, 3072) of ``static`` (T, 2048) and ``dynamic`` (S, 1024). Raises ``ValueError`` if S is not that of T."""
    if len(dynamic) != segments_of(len(static)):
        raise ValueError(f"{len(static)} s have {segments_of(len(static))} segments, not {len(dynamic)}")
    of_second = dynamic[segment_at(np.arange(len(static)))]
    return np.concatenate((static, of_second), axis=1, dtype=np.float32, casting="same_kind")


def unpacked(frames: Floats) -> tuple[Float32, Float32]:
    """``dynamic`` (S, 1024) and ``static`` (T, 2048) of (T, 3072)."""
    at = first_second(np.arange(segments_of(len(frames))))
    dynamic = np.ascontiguousarray(frames[at, STATIC_CHANNELS:], np.float32)
    return dynamic, np.ascontiguousarray(frames[:, :STATIC_CHANNELS], np.float32)

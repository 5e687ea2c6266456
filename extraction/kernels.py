"""Passes over the pixels of a picture that NumPy would take in many calls, compiled.

Importing this module takes Numba's 0.3 s, and seconds the first time on a machine. For ViBe (``match``, ``learn``,
``initialise``) a colour is one word of 32 bits, a byte for each channel, so that it is read and written at once.
Legend: N samples, P pixels in raster order, K of them; H, W height and width.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.arrays.compiled import compiled

Colours = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

MOST_ROWS: Final = 257
"""Whose bytes 16 bits hold the sums of."""

_BYTE: Final = np.uint32(0xFF)
_GREEN_AT: Final = np.uint32(8)
_BLUE_AT: Final = np.uint32(16)

_NEIGHBOUR: Final = np.uint64(7)
_SIXTEEN: Final = np.uint64(0xFFFF)
_SPREADS_AT: Final = np.uint64(4)
_NEIGHBOUR_AT: Final = np.uint64(8)
_OWN_AT: Final = np.uint64(16)
_OTHERS_AT: Final = np.uint64(32)


@compiled("void(uint32[:, ::1], uint32[::1], boolean[::1], float32, int64, uint8[::1], boolean[::1])")
def match(
    samples: Colours,
    colours: Colours,
    compared: Flags,
    radius: float,
    fewest: int,
    counts: Bytes,
    matching: Flags,
) -> None:
    """Which of the pixels that are ``compared`` (P,), with ``colours`` (P,), have ``fewest`` or more of the ``samples``
    (N, P) within ``radius`` goes to ``matching`` (P,). ``counts`` (P,) are overwritten.

    Floats hold the squares exactly, and vectors of them need the fewest instructions.
    """
    square = radius * radius
    counts[:] = 0
    for n in range(fewest):  # which decide about most pixels, for all of them at once
        for p in range(counts.size):
            sample, colour = samples[n, p], colours[p]
            red = np.float32(sample & _BYTE) - np.float32(colour & _BYTE)
            green = np.float32(sample >> _GREEN_AT & _BYTE) - np.float32(colour >> _GREEN_AT & _BYTE)
            blue = np.float32(sample >> _BLUE_AT & _BYTE) - np.float32(colour >> _BLUE_AT & _BYTE)
            counts[p] += np.uint8(red * red + green * green + blue * blue <= square)
    for p in range(counts.size):
        matching[p] = compared[p]
        if compared[p] and counts[p] < fewest:
            colour = colours[p]
            count, n = np.int64(counts[p]), fewest
            while count < fewest and n < samples.shape[0]:
                sample = samples[n, p]
                red = np.float32(sample & _BYTE) - np.float32(colour & _BYTE)
                green = np.float32(sample >> _GREEN_AT & _BYTE) - np.float32(colour >> _GREEN_AT & _BYTE)
                blue = np.float32(sample >> _BLUE_AT & _BYTE) - np.float32(colour >> _BLUE_AT & _BYTE)
                count += red * red + green * green + blue * blue <= square
                n += 1
            matching[p] = count >= fewest


@compiled(
    "void(uint32[:, ::1], uint32[::1], uint32[::1], boolean[::1], boolean[::1], uint64[::1], int64, int32[:, ::1], "
    "int32[::1])"
)
def learn(
    samples: Colours,
    colours: Colours,
    latest: Colours,
    learned: Flags,
    known: Flags,
    words: Words,
    subsampling: int,
    neighbours: Indices,
    spread: Indices,
) -> None:
    """The ``colours`` (P,) of the pixels that are ``learned`` (P,) become their ``latest`` (P,), and replace
    ``samples`` (N, P) of themselves and of ``neighbours`` (8, P) that are ``known`` (P,), as ``words`` (P,) decide,
    one in ``subsampling`` of each, a power of 2 up to 16. ``spread`` (P,) is overwritten.
    """
    low, count = np.uint64(subsampling - 1), np.uint64(samples.shape[0])
    spreads = 0
    for p in range(learned.size):
        latest[p] = colours[p] if learned[p] else latest[p]
    for p in range(learned.size):
        word = words[p]
        if learned[p] and not word & low:
            samples[((word >> _OWN_AT) & _SIXTEEN) * count >> _OWN_AT, p] = colours[p]
        spread[spreads] = p  # overwritten by the next one, if it does not count
        spreads += learned[p] and not (word >> _SPREADS_AT) & low
    for p in spread[:spreads]:
        word = words[p]
        at = neighbours[(word >> _NEIGHBOUR_AT) & _NEIGHBOUR, p]
        if known[at]:
            samples[((word >> _OTHERS_AT) & _SIXTEEN) * count >> _OWN_AT, at] = colours[p]


@compiled(
    "void(uint32[:, ::1], uint32[::1], uint32[::1], boolean[::1], boolean[::1], int64[::1], uint64[::1], int32[:, ::1])"
)
def initialise(
    samples: Colours,
    colours: Colours,
    latest: Colours,
    allowed: Flags,
    known: Flags,
    pixels: Indices,
    words: Words,
    neighbours: Indices,
) -> None:
    """The ``samples`` (N, P) of ``pixels`` (K,) become the ``colours`` (P,) of the ``neighbours`` (8, P) that ``words``
    (K,) number, or their own where these are not ``allowed`` (P,). They are ``known`` then.
    """
    for k in range(pixels.size):
        p = pixels[k]
        for n in range(samples.shape[0]):
            at = neighbours[(words[k] >> np.uint64(3 * n)) & _NEIGHBOUR, p]
            samples[n, p] = colours[at] if allowed[at] else colours[p]
        known[p] = True
        latest[p] = colours[p]


@compiled("void(Array(uint8, 2, 'C', readonly=True), int64, uint16[::1], uint8[:, ::1])")
def average_squares(rows: Bytes, times: int, sums: npt.NDArray[np.uint16], means: Bytes) -> None:
    """``means`` (H, 3 W) of squares of ``times`` × ``times`` pixels of ``rows``, whose three colours alternate;
    ``times`` is at most ``MOST_ROWS``. ``sums`` (3 W · ``times``,) are overwritten.

    Sums are exact, and rounded as OpenCV's ``INTER_AREA`` rounds them, which adds one pixel after the other.
    """
    share = np.float32(1) / np.float32(times * times)
    for row in range(means.shape[0]):
        for x in range(sums.size):
            sums[x] = rows[row * times, x]
        for y in range(row * times + 1, (row + 1) * times):
            for x in range(sums.size):
                sums[x] += rows[y, x]
        for first in range(0, means.shape[1], 3):
            red, green, blue = np.int32(0), np.int32(0), np.int32(0)
            for at in range(first * times, (first + 3) * times, 3):
                red += sums[at]
                green += sums[at + 1]
                blue += sums[at + 2]
            means[row, first] = np.uint8(np.rint(np.float32(red) * share))
            means[row, first + 1] = np.uint8(np.rint(np.float32(green) * share))
            means[row, first + 2] = np.uint8(np.rint(np.float32(blue) * share))


@compiled("void(float32[:, :, ::1], float32[:, ::1], float32[:, :, ::1])")
def weigh(values: Float32, weights: Float32, weighted: Float32) -> None:
    """``weighted`` becomes complex ``values`` (H, W, 2) times real ``weights`` (H, W)."""
    for y in range(weights.shape[0]):
        for x in range(weights.shape[1]):
            weighted[y, x, 0] = values[y, x, 0] * weights[y, x]
            weighted[y, x, 1] = values[y, x, 1] * weights[y, x]


@compiled("void(float32[:, :, ::1], int64, int64, float32[:, ::1])")
def average_magnitudes(values: Float32, border: int, length: int, means: Float32) -> None:
    """``means`` of the magnitudes of complex ``values`` (H, W, 2) in squares of ``length`` × ``length``; a ``border``
    does not count.
    """
    for part_row in range(means.shape[0]):
        for part in range(means.shape[1]):
            top, left = border + part_row * length, border + part * length
            total = np.float32(0)
            for y in range(top, top + length):
                for x in range(left, left + length):
                    total += np.sqrt(values[y, x, 0] * values[y, x, 0] + values[y, x, 1] * values[y, x, 1])
            means[part_row, part] = total / np.float32(length * length)


__all__ = ["MOST_ROWS", "average_magnitudes", "average_squares", "initialise", "learn", "match", "weigh"]

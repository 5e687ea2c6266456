"""Medians of many small pictures, pixel by pixel, by sorting networks: a few hundred minima and maxima of whole
pictures instead of one short sort for each of a hundred thousand pixels.

Legend: N pictures.
"""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@cache
def comparators(count: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge sort (Knuth 5.2.2, Algorithm M): pairs (i, j), i < j, to exchange in this order where
    the value at i is the greater.
    """
    pairs = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(pairs)


def median_of_allowed(pictures: Sequence[Image], allowed: Sequence[Mask]) -> tuple[Image, Mask]:
    """The lower median of the pictures that are allowed at each pixel, and (H, W), where there is one; else it is 255.

    ``pictures``: N of (H, W, 3); ``allowed``: N of (H, W).
    """
    values = [
        np.where(mask[..., None], picture, np.uint8(255)) for picture, mask in zip(pictures, allowed, strict=True)
    ]
    _exchange(values, comparators(len(values)))
    count = np.sum(np.stack(allowed), axis=0, dtype=np.intp)
    places = np.maximum(count - 1, 0) // 2
    chosen: Image = np.take_along_axis(np.stack(values), places[None, ..., None], axis=0)[0]
    return chosen, np.asarray(count > 0)


def _exchange(values: list[Image], pairs: Sequence[tuple[int, int]]) -> None:
    for i, j in pairs:
        low, high = cv2.min(values[i], values[j]), cv2.max(values[i], values[j])
        values[i], values[j] = np.asarray(low, np.uint8), np.asarray(high, np.uint8)


__all__ = ["comparators", "median_of_allowed"]

"""Vectors at unit length. Legend: B vectors, D width."""

import numpy as np
import numpy.typing as npt

from schemas.ports import Float32


def unit(vector: npt.ArrayLike) -> Float32 | None:
    """A vector (D,) at unit length, or ``None`` if it has no direction because it is zero."""
    return units(np.asarray(vector)[None])[0]


def units(vectors: npt.NDArray[np.floating]) -> list[Float32 | None]:
    """``unit`` of each of the vectors (B, D); the same, whatever others there are."""
    wide = vectors.astype(np.float64)
    # Scaling by the largest value first keeps the squares of very large or small values in range.
    largest = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    scaled = np.divide(wide, largest, out=wide, where=largest > 0)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    directions = np.divide(scaled, lengths, out=scaled, where=lengths > 0).astype(np.float32)
    return [each if length else None for each, length in zip(directions, lengths[:, 0].tolist(), strict=True)]

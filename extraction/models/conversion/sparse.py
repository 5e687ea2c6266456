"""Sparse weights of TensorFlow Lite, made dense: the reverse of its ``FormatConverter``.

The format is that of TACO (Kjolstad et al. 2017): dimensions are traversed in an order; a dense one has all its
indices, a compressed (CSR) one lists them by segment. Blocks, if any, are further dimensions behind the tensor's own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Dimension(NamedTuple):
    """One level: ``size`` if it is dense, otherwise the ``segments`` of its ``indices``."""

    size: int
    segments: npt.NDArray[np.int64] | None = None
    indices: npt.NDArray[np.int64] | None = None


def densify(
    values: npt.NDArray[Any],
    shape: Sequence[int],
    order: Sequence[int],
    blocks: Sequence[int],
    dimensions: Sequence[Dimension],
) -> npt.NDArray[Any]:
    """The dense tensor of ``shape``.

    ``order``: the dimension of each level, where those from ``len(shape)`` on are blocks; ``blocks``: the dimension
    that each block divides. Raises ``ValueError`` if the parts do not fit each other.
    """
    rank = len(shape)
    block_size = {rank + number: dimensions[order.index(rank + number)].size for number in range(len(blocks))}
    positions = np.zeros(1, np.int64)  # where each entry of the level above lies among all of them
    coordinates = np.zeros((1, len(order)), np.int64)
    for level, dimension in enumerate(dimensions):
        if dimension.segments is None or dimension.indices is None:
            inner = np.tile(np.arange(dimension.size), len(positions))
            outer = np.repeat(np.arange(len(positions)), dimension.size)
            positions = np.repeat(positions * dimension.size, dimension.size) + inner
        else:
            starts, ends = dimension.segments[positions], dimension.segments[positions + 1]
            outer = np.repeat(np.arange(len(positions)), ends - starts)
            positions = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
            inner = dimension.indices[positions]
        coordinates = coordinates[outer]
        coordinates[:, order[level]] = inner
    if len(positions) > len(values):
        raise ValueError(f"its {len(values)} values do not suffice for {len(positions)} entries")
    placed = coordinates[:, :rank].copy()
    for number, dimension_divided in enumerate(blocks):
        placed[:, dimension_divided] *= block_size[rank + number]
        placed[:, dimension_divided] += coordinates[:, rank + number]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(placed.T)] = values[positions]
    return dense

"""Graph down-sampling: the *sample* operation on an adjacency matrix, in two readings (paper, Eq. 6).

Both readings are sample(A) = S A Sᵀ with S of shape (V/2, V), so a learnable A keeps its gradient.

``printed``
    The equation as it stands: row i of S weighs vertices 2i and 2(i+1) by (i+2)/2 and -i/2, joints counted from zero.
    The weights grow with the joint's index, and the last row reaches past the last joint; that index is clamped.
``bounded``
    The mean over the 2 x 2 neighbourhood A[2i:2i+2, 2j:2j+2]: weights of one half on the two vertices that are merged.
"""

import torch
from torch import Tensor

from networks.model_config import SampleReading


def sampling_matrix(vertices: int, reading: SampleReading) -> Tensor:
    """S (V/2, V) for an even number of vertices V."""
    matrix = torch.zeros(vertices // 2, vertices)
    for i in range(vertices // 2):
        if reading == "bounded":
            matrix[i, 2 * i : 2 * i + 2] = 0.5
        else:
            matrix[i, 2 * i] += (i + 2) / 2
            matrix[i, min(2 * (i + 1), vertices - 1)] += -i / 2
    return matrix


def sample(adjacency: Tensor, matrix: Tensor) -> Tensor:
    """S A Sᵀ: (..., V, V) adjacency to (..., V/2, V/2)."""
    return matrix @ adjacency @ matrix.transpose(0, 1)

"""Eq. (6) against literal loops over its entries."""

import numpy as np
import pytest
import torch

from networks.model_config import SampleReading
from networks.sampling import sample, sampling_matrix


def printed(adjacency: np.ndarray) -> np.ndarray:
    """Eq. (6) entry by entry, the index past the last joint clamped to it."""
    half, last = len(adjacency) // 2, len(adjacency) - 1
    sampled = np.zeros((half, half))
    for i in range(half):
        for j in range(half):
            rows, columns = (2 * i, min(2 * (i + 1), last)), (2 * j, min(2 * (j + 1), last))
            block = np.array([[adjacency[row, column] for column in columns] for row in rows])
            sampled[i, j] = np.array([i + 2, -i]) @ block @ np.array([j + 2, -j]) / 4
    return sampled


def bounded(adjacency: np.ndarray) -> np.ndarray:
    half = len(adjacency) // 2
    sampled = np.zeros((half, half))
    for i in range(half):
        for j in range(half):
            sampled[i, j] = adjacency[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean()
    return sampled


@pytest.mark.parametrize("vertices", [2, 8, 16, 24])
@pytest.mark.parametrize(("reading", "literal"), [("printed", printed), ("bounded", bounded)])
def test_a_reading_equals_its_loops(reading: SampleReading, literal, vertices: int) -> None:
    adjacency = torch.randn(3, vertices, vertices, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sampled = sample(adjacency, sampling_matrix(vertices, reading).double())
    expected = np.stack([literal(subset) for subset in adjacency.numpy()])
    np.testing.assert_allclose(sampled.numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reading", ["printed", "bounded"])
def test_sampling_passes_the_gradient_to_the_connectivity(reading: SampleReading) -> None:
    adjacency = torch.zeros(3, 8, 8, requires_grad=True)
    sample(adjacency, sampling_matrix(8, reading)).square().add(1).sum().backward()
    sample(adjacency, sampling_matrix(8, reading)).sum().backward()
    assert adjacency.grad is not None
    assert adjacency.grad.abs().sum() > 0


def test_the_bounded_reading_gives_every_vertex_the_same_weight() -> None:
    assert (sampling_matrix(16, "bounded").sum(0) == 0.5).all()

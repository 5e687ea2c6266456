"""Adjacency: partitioning, normalisation, padding."""

import numpy as np
import pytest
import torch

from networks.graph import normalised_adjacency, partitioned_adjacency, vertex_mask
from schemas.joints import LAYOUTS, JointLayout

MPII = LAYOUTS["mpii-16"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)


@every_layout
def test_the_subsets_hold_every_bone_in_both_directions_and_every_loop_once(layout: JointLayout) -> None:
    adjacency = partitioned_adjacency(layout)
    vertex_of = {joint: vertex for vertex, joint in enumerate(layout.vertex_order)}
    expected = np.zeros((layout.vertex_count, layout.vertex_count))
    for joint in range(layout.joint_count):
        expected[vertex_of[joint], vertex_of[joint]] = 1
    for a, b in layout.edges:
        expected[vertex_of[a], vertex_of[b]] = expected[vertex_of[b], vertex_of[a]] = 1
    np.testing.assert_array_equal(adjacency.sum(0).numpy(), expected)


def test_neighbours_of_the_right_shoulder_are_divided_by_their_distance_to_the_thorax() -> None:
    root, closer, farther = (subset[12].nonzero().flatten().tolist() for subset in partitioned_adjacency(MPII))
    assert root == [12]
    assert closer == [MPII.joints.index("thorax")]
    assert farther == [MPII.joints.index("right elbow")]


def test_neighbours_as_far_from_the_centre_belong_to_the_root_subset() -> None:
    coco = LAYOUTS["coco-17"]
    left, right = (coco.vertex_order.index(joint) for joint in coco.centre)
    assert partitioned_adjacency(coco)[0, left, right] == 1


@every_layout
def test_normalisation_loses_no_edge(layout: JointLayout) -> None:
    assert torch.equal(normalised_adjacency(layout) > 0, partitioned_adjacency(layout) > 0)


@every_layout
def test_normalisation_is_symmetric_in_the_degrees_of_equation_4(layout: JointLayout) -> None:
    adjacency = partitioned_adjacency(layout).numpy()
    expected = np.zeros_like(adjacency)
    for k, subset in enumerate(adjacency):
        degree = [max(float(row.sum()), 1.0) for row in subset]
        for i in range(len(subset)):
            for j in range(len(subset)):
                expected[k, i, j] = subset[i, j] / np.sqrt(degree[i] * degree[j])
    np.testing.assert_allclose(normalised_adjacency(layout).numpy(), expected, rtol=1e-6)


@every_layout
def test_padded_vertices_are_isolated(layout: JointLayout) -> None:
    padded = ~vertex_mask(layout)
    assert int(padded.sum()) == layout.padding
    adjacency = partitioned_adjacency(layout)
    assert not adjacency[:, padded].any()
    assert not adjacency[:, :, padded].any()

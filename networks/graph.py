"""The skeleton graph: adjacency in three subsets around the body's centre, normalised (paper, Section 4.1, Eq. 4)."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.joints import JointLayout

SUBSETS: Final = 3
"""K of the paper: the joint itself (and neighbours as far from the centre), closer neighbours, farther neighbours."""


def partitioned_adjacency(layout: JointLayout) -> Tensor:
    """Binary adjacency (K, V, V) of a layout in network vertex order, V with padding.

    Row i of subset k marks the neighbours j of vertex i that lie in k: spatial partitioning of ST-GCN (Yan et al.
    2018), distance counted in bones to the nearest centre joint. Self loops are in the root subset. Padded vertices are
    isolated: they have no entry at all, not even a loop, as there is nothing to pass on.
    """
    joints, distance = layout.joint_count, _bones_to_centre(layout)
    adjacency = np.zeros((SUBSETS, layout.vertex_count, layout.vertex_count), np.float32)
    vertex_of = {joint: vertex for vertex, joint in enumerate(layout.vertex_order)}
    for joint in range(joints):
        adjacency[0, vertex_of[joint], vertex_of[joint]] = 1
    for bone in layout.edges:
        for i, j in (bone, bone[::-1]):
            subset = 0 if distance[i] == distance[j] else 1 if distance[j] < distance[i] else 2
            adjacency[subset, vertex_of[i], vertex_of[j]] = 1
    return torch.from_numpy(adjacency)


def normalised_adjacency(layout: JointLayout) -> Tensor:
    """Λ_k^-½ A_k Λ_k^-½ of Eq. (4), (K, V, V), with Λ_k^ii = Σ_j A_k^ij as printed.

    An empty row counts as degree one. The equation leaves 0^-½ open: the centre has no closer neighbour and no leaf has
    a farther one, so with 0^-½ = 0 every edge from the centre in the closer subset and every edge to a leaf in the
    farther subset would vanish.
    """
    adjacency = partitioned_adjacency(layout)
    degree = adjacency.sum(dim=2)
    inverse_root = torch.where(degree > 0, degree, 1.0).rsqrt()
    return inverse_root.unsqueeze(2) * adjacency * inverse_root.unsqueeze(1)


def vertex_mask(layout: JointLayout) -> Tensor:
    """(V,) booleans in network order: true at joints, false at padding."""
    return torch.arange(layout.vertex_count) < layout.joint_count


def _bones_to_centre(layout: JointLayout) -> NDArray[np.float64]:
    distance = np.full(layout.joint_count, np.inf)
    distance[list(layout.centre)] = 0
    for _ in range(layout.joint_count):
        for a, b in layout.edges:
            distance[a] = min(distance[a], distance[b] + 1)
            distance[b] = min(distance[b], distance[a] + 1)
    return distance

"""The body at the three scales of DMGNN: joints, ten parts and five limbs (Li et al., CVPR 2020, public code).

Legend: V nodes of a scale, K = 2 subsets.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.baselines.stgcn import column_normalised
from schemas.errors import ConfigurationError
from schemas.joints import LAYOUTS, JointLayout

_UPPER_LEG, _LOWER_LEG = ("hip", "knee"), ("ankle", "heel", "toe", "foot")
_UPPER_ARM, _LOWER_ARM = ("shoulder", "elbow"), ("forearm", "wrist", "hand", "hand tip", "thumb")
_TORSO = ("pelvis", "waist", "spine base", "spine mid", "spine shoulder", "thorax", "neck")
_HEAD = (
    *("upper neck", "head", "head top", "head side a", "head side b", "nose"),
    *("left eye", "right eye", "left ear", "right ear"),
)


def _sided(side: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{side} {name}" for name in names)


PARTS: Final = (
    *(_sided("left", _UPPER_LEG), _sided("left", _LOWER_LEG), _sided("right", _UPPER_LEG), _sided("right", _LOWER_LEG)),
    *(_TORSO, _HEAD),
    *(_sided("left", _UPPER_ARM), _sided("left", _LOWER_ARM), _sided("right", _UPPER_ARM), _sided("right", _LOWER_ARM)),
)
"""The names of the joints of each part, in the public code's order of parts."""

PART_EDGES: Final = ((0, 1), (2, 3), (0, 4), (2, 4), (4, 5), (4, 6), (6, 7), (4, 8), (8, 9))

LIMB_OF_PART: Final = (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
"""Left leg, right leg, torso with head, left arm, right arm."""

LIMB_EDGES: Final = ((0, 2), (1, 2), (2, 3), (2, 4))


class Scale(NamedTuple):
    """One scale: ``adjacency`` (K, V, V), and ``node_of_joint`` (joints,), the node that each joint belongs to."""

    adjacency: Tensor
    node_of_joint: Tensor

    def averaging(self) -> Tensor:
        """(joints, V): column v holds the weights of the joints of node v, equal and of sum one."""
        members = torch.nn.functional.one_hot(self.node_of_joint, self.adjacency.shape[1]).float()
        return members / members.sum(0)


def body_scales(layout: JointLayout) -> tuple[Scale, Scale, Scale]:
    """Joints, parts and limbs of ``layout``.

    Raises ``ConfigurationError`` for a layout that lacks a part altogether, naming those that lack none.
    """
    part_of_joint = _part_of_joint(layout)
    if set(part_of_joint) != set(range(len(PARTS))):
        whole = [name for name, other in LAYOUTS.items() if set(_part_of_joint(other)) == set(range(len(PARTS)))]
        raise ConfigurationError(
            f"DMGNN needs a joint in each of ten parts of the body, which {layout.name} does not have; "
            f"use {', '.join(whole)}",
            field="joint_layout",
        )
    parts = torch.tensor(part_of_joint)
    return (
        Scale(_by_distance(layout.joint_count, layout.edges), torch.arange(layout.joint_count)),
        Scale(_by_distance(len(PARTS), PART_EDGES), parts),
        Scale(_by_distance(max(LIMB_OF_PART) + 1, LIMB_EDGES), torch.tensor(LIMB_OF_PART)[parts]),
    )


def _part_of_joint(layout: JointLayout) -> list[int]:
    """The part of each joint, -1 for a joint whose name is in none."""
    return [next((part for part, names in enumerate(PARTS) if joint in names), -1) for joint in layout.joints]


def _by_distance(nodes: int, edges: tuple[tuple[int, int], ...]) -> Tensor:
    """A D⁻¹ (K, V, V) in two subsets: the node itself, its neighbours."""
    linked: NDArray[np.float64] = np.eye(nodes)
    for a, b in edges:
        linked[a, b] = linked[b, a] = 1
    weights = column_normalised(linked)
    itself = np.eye(nodes, dtype=bool)
    return torch.from_numpy(np.stack([np.where(itself, weights, 0.0), np.where(itself, 0.0, weights)])).float()

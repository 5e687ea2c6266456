"""The DMGNN encoder: scales of the body, exchange between them, differences of the motion."""

import itertools

import pytest
import torch
from torch import nn

from networks.baselines.body_scales import LIMB_OF_PART, PART_EDGES, PARTS, body_scales
from networks.baselines.dmgnn import DMGNN, CrossScale, NodeEmbedding, differences
from schemas.errors import ConfigurationError
from schemas.joints import LAYOUTS

MPII = LAYOUTS["mpii-16"]


def test_it_has_the_layers_of_the_public_encoders() -> None:
    def convolution(width_in: int, width: int, kernel: int = 1) -> int:
        return width_in * width * kernel + width

    def block(width_in: int, width: int, nodes: int, *, residual: bool, projected: bool) -> int:
        edges = 2 * 2 * nodes * nodes  # two subsets, factors and summands
        layers = convolution(width_in, 2 * width) + convolution(width, width, 5) + 2 * 2 * width
        return edges + layers + (convolution(width_in, width) + 2 * width if residual and projected else 0)

    def perceptron(width_in: int) -> int:
        return convolution(width_in, 256) + convolution(width_in + 256, 256) + 2 * 256

    def embedding(channels: int, flat: int) -> int:
        return convolution(channels, channels, 5) + 2 * channels + perceptron(flat) + 2 * perceptron(512)

    def encoder(channels: int) -> int:
        widths = (channels, 32, 64, 128, 256)
        levels = sum(
            block(before, after, nodes, residual=before != channels, projected=True)
            for nodes in (16, 10, 5)
            for before, after in itertools.pairwise(widths)
        )
        fusions = 8 * (embedding(32, 800) + embedding(64, 832))
        return levels + fusions + block(256, 256, 16, residual=True, projected=False)

    expected = 3 * encoder(2) + convolution(768, 256) + convolution(256, 1)
    assert sum(parameter.numel() for parameter in DMGNN(MPII, 2).parameters()) == expected


def test_mpii_joints_are_grouped_in_ten_parts_and_five_limbs() -> None:
    joints, parts, limbs = body_scales(MPII)
    grouped = [
        [MPII.joints[joint] for joint in (parts.node_of_joint == part).nonzero().flatten().tolist()]
        for part in range(len(PARTS))
    ]
    assert grouped == [
        ["left hip", "left knee"],
        ["left ankle"],
        ["right knee", "right hip"],
        ["right ankle"],
        ["pelvis", "thorax"],
        ["upper neck", "head top"],
        ["left shoulder", "left elbow"],
        ["left wrist"],
        ["right elbow", "right shoulder"],
        ["right wrist"],
    ]
    assert joints.node_of_joint.tolist() == list(range(16))
    assert limbs.node_of_joint.bincount().tolist() == [3, 3, 4, 3, 3]


def test_parts_connect_within_a_limb_or_to_the_torso() -> None:
    torso = 4
    for a, b in PART_EDGES:
        assert torso in (a, b) or LIMB_OF_PART[a] == LIMB_OF_PART[b]


def test_every_joint_of_the_supported_layouts_belongs_to_a_part() -> None:
    for name in ("mpii-16", "openpose-18", "dance-23", "kinect-25"):
        for scale in body_scales(LAYOUTS[name]):
            assert scale.node_of_joint.min() == 0
            torch.testing.assert_close(scale.averaging().sum(0), torch.ones(scale.adjacency.shape[1]))
            torch.testing.assert_close(scale.adjacency.sum((0, 1)), torch.ones(scale.adjacency.shape[1]))


def test_a_layout_without_a_torso_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ConfigurationError, match=r"coco-17 does not have; use mpii-16, openpose-18, dance-23, kinect"):
        DMGNN(LAYOUTS["coco-17"])


def test_a_node_receives_the_messages_of_all_others() -> None:
    torch.manual_seed(0)
    network = NodeEmbedding(2, 3, 4).eval()
    node = torch.randn(2, 5, 4)
    found = network.messages(node)
    for clip, receiver in itertools.product(range(2), range(5)):
        total = torch.zeros(4)
        for sender in range(5):
            if sender != receiver:
                difference = node[clip, receiver] - node[clip, sender]
                total += network.edge(torch.cat((node[clip, receiver], difference))[None, None])[0, 0]
        torch.testing.assert_close(found[clip, receiver], total / 5, rtol=1e-4, atol=1e-5)


def test_a_target_node_gets_a_mean_of_the_source_nodes_weighted_by_compatibility() -> None:
    torch.manual_seed(0)
    network = CrossScale(2, 3, 4).eval()
    source, target, lengths = torch.randn(1, 2, 6, 5), torch.randn(1, 2, 6, 3), torch.tensor([6])
    found = network(source, target, lengths)
    keys, queries = network.source(source, lengths)[0], network.target(target, lengths)[0]
    for node in range(3):
        weights = torch.stack([queries[node] @ key for key in keys]).softmax(0)
        expected = torch.stack([weights[v] * source[0, :, :, v] for v in range(5)]).sum(0)
        torch.testing.assert_close(found[0, :, :, node], expected, rtol=1e-4, atol=1e-5)


def test_the_exchange_sees_the_motion_of_each_node_in_order_of_time() -> None:
    """49 frames leave 25 steps, which fill the 25 bins one to one."""
    network = NodeEmbedding(2, 25, 4).eval()
    nn.init.dirac_(network.temporal.weight)
    nn.init.zeros_(network.temporal.bias)
    seen = []
    network.node.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 2, 49, 3)
    network(x, torch.tensor([49]))
    expected = x[:, :, ::2].permute(0, 3, 2, 1).flatten(2) / (1 + network.norm.eps) ** 0.5
    torch.testing.assert_close(seen[0], expected)


def test_differences_end_where_the_clip_ends() -> None:
    position = torch.tensor([0.0, 1.0, 4.0, 9.0, 0.0, 0.0]).view(1, 6, 1, 1).expand(2, 6, 1, 1).clone()
    position[1, 1:] = 0.0
    velocity, acceleration = differences(position, torch.tensor([4, 1]))
    assert velocity[..., 0, 0].tolist() == [[0, 1, 3, 5, 0, 0], [0] * 6]
    assert acceleration[..., 0, 0].tolist() == [[1, 2, 2, 0, 0, 0], [0] * 6]

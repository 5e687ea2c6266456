"""ST-GCN: the structure of the public code, checked against plain, unmasked computations."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from networks.baselines.stgcn import (
    BLOCK_CHANNELS,
    STGCN,
    STRIDED_BLOCKS,
    SpatialGraphConvolution,
    SpatialTemporalBlock,
    spatial_partition,
)
from networks.normalisation import MaskedBatchNorm
from schemas.joints import LAYOUTS, JointLayout

OPENPOSE = LAYOUTS["openpose-18"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)


def test_it_has_as_many_parameters_as_the_public_code() -> None:
    assert sum(parameter.numel() for parameter in STGCN(OPENPOSE, 2).parameters()) == 3_074_369


@every_layout
def test_a_joint_takes_the_mean_of_itself_and_its_neighbours(layout: JointLayout) -> None:
    weights = spatial_partition(layout).sum(0)
    for joint in range(layout.joint_count):
        neighbours = {joint, *(b for a, b in layout.edges if a == joint), *(a for a, b in layout.edges if b == joint)}
        expected = torch.zeros(layout.joint_count)
        expected[list(neighbours)] = 1 / len(neighbours)
        torch.testing.assert_close(weights[:, joint], expected)


@every_layout
def test_the_partition_counts_distances_up_to_one_bone(layout: JointLayout) -> None:
    adjacent = {frozenset(bone) for bone in layout.edges}

    def from_centre(joint: int) -> float:
        if joint in layout.centre:
            return 0.0
        return 1.0 if any(frozenset((joint, centre)) in adjacent for centre in layout.centre) else float("inf")

    subsets = spatial_partition(layout) > 0
    for j, i in itertools.product(range(layout.joint_count), repeat=2):
        if j == i:
            expected = [True, False, False]
        elif frozenset((j, i)) in adjacent:
            outwards = from_centre(j) < from_centre(i)
            expected = [False, not outwards, outwards]
        else:
            expected = [False, False, False]
        assert subsets[:, j, i].tolist() == expected, (layout.joints[j], layout.joints[i])


def test_the_graph_convolution_is_the_weighted_sum_over_subsets_and_joints() -> None:
    torch.manual_seed(0)
    convolution = SpatialGraphConvolution(3, 4, 2)
    x, adjacency = torch.randn(2, 3, 5, 6), torch.randn(2, 6, 6)
    weight, bias = convolution.kernels.weight.view(2, 4, 3), convolution.kernels.bias.view(2, 4)
    expected = torch.zeros(2, 4, 5, 6)
    for n, c, t, w in itertools.product(range(2), range(4), range(5), range(6)):
        for k, v in itertools.product(range(2), range(6)):
            transformed = bias[k, c] + sum(weight[k, c, d] * x[n, d, t, v] for d in range(3))
            expected[n, c, t, w] += (transformed * adjacency[k, v, w]).detach()
    torch.testing.assert_close(convolution(x, adjacency), expected, rtol=1e-5, atol=1e-5)


def public_forward(network: STGCN, frames: Tensor, *, training: bool) -> Tensor:
    """Scores of unpadded clips by ordinary batch normalisation, one joint of the graph at a time, no mask anywhere."""

    def normalised(norm: MaskedBatchNorm, x: Tensor) -> Tensor:
        mean, variance = norm.running_mean.clone(), norm.running_var.clone()
        return functional.batch_norm(x, mean, variance, norm.weight, norm.bias, training=training)

    def block_forward(block: SpatialTemporalBlock, x: Tensor, adjacency: Tensor) -> Tensor:
        subsets = block.graph.kernels(x).chunk(3, dim=1)
        mixed = torch.stack(
            [
                sum(
                    (adjacency[k, v, w] * subsets[k][..., v] for k in range(3) for v in range(x.shape[3])),
                    torch.zeros(()),
                )
                for w in range(x.shape[3])
            ],
            dim=3,
        )
        hidden = torch.relu(normalised(block.graph_norm, mixed))
        temporal = block.temporal
        hidden = functional.conv2d(hidden, temporal.weight, temporal.bias, (block.stride, 1), (4, 0))
        hidden = normalised(block.temporal_norm, hidden)
        if block.projection is not None:
            x = normalised(block.projection_norm, block.projection(x))
        return torch.relu(hidden + x if block.residual else hidden)

    clips, steps, joints, channels = frames.shape
    poses = network.normalise(frames, torch.ones(clips, steps, 1, 1, dtype=torch.bool))
    flat = poses.permute(0, 2, 3, 1).reshape(clips, joints * channels, steps)
    x = normalised(network.input_norm, flat).view(clips, joints, channels, steps).permute(0, 2, 3, 1)
    for block, importance in zip(network.blocks, network.importance, strict=True):
        assert isinstance(block, SpatialTemporalBlock)
        x = block_forward(block, x, network.adjacency * importance)
    pooled = functional.avg_pool2d(x, x.shape[2:])
    return functional.conv2d(pooled, network.score.weight[:, :, None, None], network.score.bias).flatten()


@pytest.mark.parametrize("training", [False, True])
def test_unpadded_clips_score_as_in_the_public_structure(training: bool) -> None:
    torch.manual_seed(0)
    network = STGCN(OPENPOSE, width=1 / 16, dropout=0.0).train(training)
    for parameter in network.importance:
        torch.nn.init.normal_(parameter, 1.0, 0.3)
    frames = torch.randn(3, 21, 18, 2)
    with torch.no_grad():
        expected = public_forward(network, frames, training=training)
        found = network(frames, torch.full((3,), 21)).score
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_first_block_has_neither_residual_nor_dropout_and_two_blocks_halve_the_length() -> None:
    blocks = list(STGCN(OPENPOSE).blocks)
    assert [block.residual for block in blocks] == [False, *[True] * 9]
    assert [block.dropout.p for block in blocks] == [0.0, *[0.5] * 9]
    assert [index for index, block in enumerate(blocks) if block.stride == 2] == list(STRIDED_BLOCKS)
    assert [block.temporal.out_channels for block in blocks] == list(BLOCK_CHANNELS)

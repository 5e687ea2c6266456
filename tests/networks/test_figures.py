"""What the paper's figures show of a network, against loops and the network's own parts."""

import numpy as np
import pytest
import torch

from networks.baselines.lstm import LSTM
from networks.baselines.stgcn import STGCN
from networks.errors import UnusableSamples
from networks.figures import adjacency_of_layers, attention_from_centre, first_and_last, vertex_names
from networks.psgcn import PSGCN
from networks.rtcn import RTCN
from schemas.joints import COCO_17, MPII_16

NAN = float("nan")


def test_the_graphs_of_a_pyramid_are_what_its_layers_mix_vertices_by() -> None:
    torch.manual_seed(0)
    network = PSGCN(MPII_16, width=1 / 16).eval()
    for block in network.blocks:
        torch.nn.init.normal_(block.learned, std=0.1)
    found = adjacency_of_layers(network)
    assert {layer: matrix.shape for layer, matrix in found.items()} == {2: (16, 16), 5: (8, 8), 8: (4, 4)}
    block = network.blocks[1].requires_grad_(False)
    for i in range(16):
        for j in range(16):
            entry = sum(float(block.adjacency[k, i, j] + block.learned[k, i, j]) for k in range(3))
            assert found[2][i, j] == pytest.approx(entry, abs=1e-6)


def test_the_first_graphs_join_the_bones_of_the_body_alone() -> None:
    bones = {frozenset(bone) for bone in MPII_16.edges}
    st_gcn = adjacency_of_layers(STGCN(MPII_16, width=1 / 16))
    assert {layer: matrix.shape for layer, matrix in st_gcn.items()} == dict.fromkeys((2, 5, 8), (16, 16))
    for matrix in (adjacency_of_layers(PSGCN(MPII_16, width=1 / 16))[2], st_gcn[2], st_gcn[8]):
        linked = {frozenset(pair) for pair in np.argwhere(matrix > 0).tolist() if pair[0] != pair[1]}
        assert linked == bones
    degree = np.array([1 + sum(joint in bone for bone in bones) for joint in range(16)])
    for row, column in np.argwhere(st_gcn[2] > 0):
        assert st_gcn[2][row, column] in (pytest.approx(1 / degree[row]), pytest.approx(1 / degree[column]))


def test_padding_is_left_out_of_graphs() -> None:
    found = adjacency_of_layers(PSGCN(COCO_17, width=1 / 16))
    assert [found[layer].shape for layer in (2, 5, 8)] == [(17, 17), (9, 9), (5, 5)]
    names = vertex_names(COCO_17.joints, COCO_17.vertex_order, found)
    assert names[2][:2] == ["left eye", "left ear"]
    assert names[5][0] == "left eye … left ear"
    assert [len(names[layer]) for layer in (2, 5, 8)] == [17, 9, 5]


def test_attention_is_that_of_the_step_in_the_centre_of_the_first_pooling() -> None:
    torch.manual_seed(0)
    network = RTCN(12, width=1 / 32).eval()
    frames = np.random.default_rng(0).normal(size=(21, 12)).astype(np.float32)
    found = attention_from_centre(network, frames)
    assert found.shape == (4, 11)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    with torch.inference_mode():
        mask = torch.ones(1, 1, 21, dtype=torch.bool)
        x = torch.nn.functional.linear(
            torch.from_numpy(frames)[None], network.reduction.weight.squeeze(2), network.reduction.bias
        ).transpose(1, 2)
        for block in network.blocks[:2]:
            x = block(x, mask)
        pooled = torch.stack([x[0, :, at : at + 2].amax(1) for at in range(0, 21, 2)])
        attention = network.poolings["1"].attention
        query, key = (layer(pooled).reshape(11, 4, -1) for layer in (attention.query, attention.key))
        for head in range(4):
            logits = key[:, head] @ query[5, head] / query.shape[2] ** 0.5
            np.testing.assert_allclose(found[head], logits.softmax(0).numpy(), rtol=1e-4)


def test_looking_at_the_attention_leaves_the_network_as_it_was() -> None:
    network = RTCN(6, width=1 / 32).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attention_from_centre(network, np.ones((7, 6), np.float32))
    assert network.training
    assert not network.poolings["1"].attention._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_networks_without_graphs_or_attention_say_what_has_them() -> None:
    with pytest.raises(UnusableSamples, match="LSTM has no graph convolutions; give a model of psgcn or st-gcn"):
        adjacency_of_layers(LSTM(6, width=1 / 32))
    with pytest.raises(UnusableSamples, match="layers 2, 10 are not all from 1 to 9"):
        adjacency_of_layers(PSGCN(MPII_16, width=1 / 16), (2, 10))
    for network in (LSTM(6, width=1 / 32), RTCN(6, width=1 / 32, relational_pooling=False)):
        with pytest.raises(UnusableSamples, match="without relational pooling has no attention over time"):
            attention_from_centre(network, np.ones((7, 6), np.float32))


@pytest.mark.parametrize(
    ("scores", "first", "last"),
    [
        ([], [], []),
        ([0.5], [0], []),
        ([NAN, NAN], [], []),
        ([0.1, NAN, 0.9, 0.5, 0.5, 0.2], [2, 3], [5, 0]),
        ([0.1, 0.9, 0.5], [1, 2], [0]),
    ],
)
def test_first_and_last_clips_are_those_at_the_ends_of_the_order(
    scores: list[float], first: list[int], last: list[int]
) -> None:
    assert first_and_last(np.array(scores), 2) == (first, last)

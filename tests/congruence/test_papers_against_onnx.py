"""ACTION-NET and the style networks: torch against ONNX Runtime, padding, and batch mates."""

import numpy as np
import onnx
import pytest
import torch
from torch.export import Dim

from exporters.onnx.graphs import traced_graph
from exporters.onnx.parity import session
from exporters.onnx.routine_graphs import routine_graph
from exporters.onnx.style_graphs import PROBABILITY, check_style, style_graph
from networks.action_net import ActionNet
from networks.action_net.context import GraphContext
from networks.styles.frames import PoseCNN
from networks.styles.network import StyleNetwork
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM, StyleTCN
from schemas.bundle import FRAMES, LENGTHS
from schemas.errors import BundleError

CLIPS = ((1,), (5, 60, 2))


@torch.inference_mode()
def test_the_printed_adjacency_can_be_exported_too() -> None:
    context = GraphContext(6, adjacency="features", scale=2.0)
    x, mask = torch.rand(2, 5, 6), torch.arange(5) < torch.tensor([[5], [3]])
    clips, steps = Dim("clips"), Dim("steps")
    graph = traced_graph(context, (x, mask), ("x", "mask"), ("context",), ({0: clips, 1: steps}, {0: clips, 1: steps}))
    found = session(graph).run(None, {"x": x.numpy()[:, :4], "mask": mask.numpy()[:, :4]})[0]
    np.testing.assert_allclose(found, context(x[:, :4], mask[:, :4]), atol=1e-6)


def test_ablations_that_cannot_be_exported_say_so() -> None:
    for network in (ActionNet(streams=["static"]), ActionNet(aggregation="bi-lstm")):
        with pytest.raises(BundleError, match="both streams and without recurrent context"):
            routine_graph(network)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: StyleLSTM(7, 3, hidden=5), (7,)),
        (lambda: AttentiveStyleLSTM(7, 3, hidden=5), (7,)),
        (lambda: StyleTCN(7, 3, layers=2, width=6), (7,)),
        (lambda: PoseCNN(3), (20, 17, 2)),
    ],
    ids=["lstm", "attentive-lstm", "tcn", "poses"],
)
def test_a_style_is_told_by_the_graph_as_by_torch_alone_and_in_a_batch(make, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network: StyleNetwork = make()
    graph = style_graph(network, shape)
    onnx.checker.check_model(onnx.load_from_string(graph))
    assert check_style(network, graph, shape, CLIPS) <= 1e-5
    if isinstance(network, StyleLSTM):
        with torch.no_grad():
            network.head.bias[0] += 1e-2
        with pytest.raises(BundleError, match=r"differ by .* in a probability"):
            check_style(network, graph, shape, CLIPS)


def test_probabilities_of_styles_sum_to_one_and_a_length_below_one_counts_as_one() -> None:
    run = session(style_graph(AttentiveStyleLSTM(7, 3, hidden=5), (7,)))
    frames = np.random.default_rng(0).normal(0, 1, (2, 4, 7)).astype(np.float32)
    found = [run.run([PROBABILITY], {FRAMES: frames, LENGTHS: np.array([4, length])})[0] for length in (0, 1)]
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[0].sum(1), 1, atol=1e-6)

"""Style networks as ONNX graphs, and their parity with torch.

The LSTMs are put together from ONNX's own operator, which takes the lengths of a batch; torch's exporter writes out
every step of a fixed number instead. All others are traced.

Legend: N clips, T time steps, C channels, H hidden width, D features, K styles.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.graphs import OPSET, TRACED_CLIPS, TRACED_STEPS, traced_graph
from exporters.onnx.parity import SCORE_TOLERANCE, padded, session
from networks.styles.network import FeatureNetwork, StyleNetwork
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM
from schemas.bundle import FRAMES, LENGTHS
from schemas.errors import BundleError

PROBABILITY: Final = "probability"
FEATURES: Final = "features"
BATCHES: Final[tuple[tuple[int, ...], ...]] = ((1,), (2,), (1, 1), (5, 10, 60, 1), (75, 3, 76), (150,))
"""Lengths T of the clips of each batch that is compared."""

IR_VERSION: Final = 10
"""The version of the format that goes with the opset, so that older runtimes read the graph."""


class _Probability(nn.Module):
    def __init__(self, network: StyleNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.network(frames, lengths)
        return logits.softmax(1)


class _Features(nn.Module):
    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return self.network.features(frames, lengths)


def style_graph(network: StyleNetwork, frame_shape: Sequence[int]) -> bytes:
    """``frames`` (N, T, *``frame_shape``) and ``lengths`` (N,) to ``probability`` (N, K), the softmax of the logits."""
    if isinstance(network, StyleLSTM):
        return _lstm_graph(network, PROBABILITY, network.head.out_features)
    return frames_graph(_Probability(network.eval()), frame_shape, (PROBABILITY,))


def feature_graph(network: FeatureNetwork, frame_shape: Sequence[int]) -> bytes:
    """``frames`` (N, T, *``frame_shape``) and ``lengths`` (N,) to ``features`` (N, D)."""
    if isinstance(network, StyleLSTM):
        return _lstm_graph(network, FEATURES, network.recurrent.hidden_size)
    return frames_graph(_Features(network.eval()), frame_shape, (FEATURES,))


def frames_graph(network: nn.Module, frame_shape: Sequence[int], outputs: Sequence[str]) -> bytes:
    """``network`` traced on ``frames`` (N, T, *``frame_shape``) and ``lengths`` (N,)."""
    frames = torch.rand(TRACED_CLIPS, TRACED_STEPS, *frame_shape)
    lengths = torch.tensor([TRACED_STEPS, TRACED_STEPS // 2])
    clips = Dim("clips")
    axes: tuple[dict[int, Any], ...] = ({0: clips, 1: Dim("steps")}, {0: clips})
    return traced_graph(network, (frames, lengths), (FRAMES, LENGTHS), outputs, axes)


def check_style(
    network: StyleNetwork, graph: bytes, frame_shape: Sequence[int], batches: Sequence[Sequence[int]] = BATCHES
) -> float:
    """The largest difference of a probability between ``network`` and its ``graph``, and between a clip alone and in
    its batch.

    Padding is filled with NaN. Raises ``BundleError`` naming the batch and the difference.
    """
    run = session(graph)
    generator = np.random.default_rng(0)
    largest = 0.0
    for batch in batches:
        clips = [generator.normal(0, 1, (length, *frame_shape)).astype(np.float32) for length in batch]
        frames, lengths = padded(clips), np.array(batch, np.int64)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(frames), torch.from_numpy(lengths)).softmax(1).numpy()
        found = run.run([PROBABILITY], {FRAMES: frames, LENGTHS: lengths})[0]
        alone = [
            run.run([PROBABILITY], {FRAMES: clip[None], LENGTHS: lengths[row : row + 1]})[0]
            for row, clip in enumerate(clips)
        ]
        for what, other in (("torch", expected), ("the clip alone", np.concatenate(alone))):
            difference = float(np.nan_to_num(np.abs(found - other), nan=math.inf).max())
            if not difference <= SCORE_TOLERANCE:
                raise BundleError(
                    f"the graph and {what} differ by {difference:.2e} in a probability (limit {SCORE_TOLERANCE:.0e}), "
                    f"in a batch of lengths {', '.join(map(str, batch))}; the graph is not fit to serve"
                )
            largest = max(largest, difference)
    return largest


def _lstm_graph(network: StyleLSTM, output: str, width: int) -> bytes:
    """To ``output`` (N, ``width``): ``FEATURES`` or ``PROBABILITY``."""
    channels, hidden = network.recurrent.input_size, network.recurrent.hidden_size
    constants = _lstm_weights(network) | {
        "one": np.array(1, np.int64),
        "zero": np.array(0.0, np.float32),
        "first": np.array(0, np.int64),
        "axis_0": np.array([0], np.int64),
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Shape", [FRAMES], ["steps_1"], start=1, end=2),
        helper.make_node("Squeeze", ["steps_1", "axis_0"], ["steps"]),
        helper.make_node("Range", ["first", "steps", "one"], ["at"]),
        helper.make_node("Max", [LENGTHS, "one"], ["real"]),
        helper.make_node("Unsqueeze", ["real", "axis_1"], ["real_column"]),
        helper.make_node("Less", ["at", "real_column"], ["mask"]),
        helper.make_node("Unsqueeze", ["mask", "axis_2"], ["frame_mask"]),
        helper.make_node("Where", ["frame_mask", FRAMES, "zero"], ["cleared"]),
        helper.make_node("Transpose", ["cleared"], ["by_step"], perm=[1, 0, 2]),
        helper.make_node("Cast", ["real"], ["real_32"], to=TensorProto.INT32),
        helper.make_node("LSTM", ["by_step", "W", "R", "B", "real_32"], ["all", "last", "cell"], hidden_size=hidden),
    ]
    if isinstance(network, AttentiveStyleLSTM):
        constants |= {"root": np.array(math.sqrt(hidden), np.float32), "lowest": np.array(-math.inf, np.float32)}
        nodes += [
            helper.make_node("Squeeze", ["all", "axis_1"], ["outputs_by_step"]),
            helper.make_node("Transpose", ["outputs_by_step"], ["outputs"], perm=[1, 0, 2]),
            helper.make_node("Transpose", ["cell"], ["cell_row"], perm=[1, 0, 2]),
            helper.make_node("Mul", ["outputs", "cell_row"], ["products"]),
            helper.make_node("ReduceSum", ["products", "axis_2"], ["dots"], keepdims=0),
            helper.make_node("Div", ["dots", "root"], ["scaled"]),
            helper.make_node("Where", ["mask", "scaled", "lowest"], ["compatibility"]),
            helper.make_node("Softmax", ["compatibility"], ["weights"], axis=1),
            helper.make_node("Unsqueeze", ["weights", "axis_1"], ["weight_row"]),
            helper.make_node("MatMul", ["weight_row", "outputs"], ["gathered"]),
            helper.make_node("Squeeze", ["gathered", "axis_1"], [FEATURES]),
        ]
    else:
        nodes.append(helper.make_node("Squeeze", ["last", "axis_0"], [FEATURES]))
    if output == PROBABILITY:
        constants |= {
            "head": network.head.weight.detach().numpy(),
            "head_bias": network.head.bias.detach().numpy(),
        }
        nodes += [
            helper.make_node("Gemm", [FEATURES, "head", "head_bias"], ["logits"], transB=1),
            helper.make_node("Softmax", ["logits"], [PROBABILITY], axis=1),
        ]
    graph = helper.make_graph(
        nodes,
        type(network).__name__,
        [
            helper.make_tensor_value_info(FRAMES, TensorProto.FLOAT, ["clips", "steps", channels]),
            helper.make_tensor_value_info(LENGTHS, TensorProto.INT64, ["clips"]),
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["clips", width])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _lstm_weights(network: StyleLSTM) -> dict[str, Any]:
    """The weights in ONNX's order of gates: input, output, forget, cell; torch's is input, forget, cell, output."""
    weights = {name: value.detach().numpy() for name, value in network.recurrent.named_parameters()}

    def ordered(name: str) -> Any:
        entering, keeping, new, leaving = np.split(weights[name], 4)
        return np.concatenate([entering, leaving, keeping, new])

    return {
        "W": ordered("weight_ih_l0")[None],
        "R": ordered("weight_hh_l0")[None],
        "B": np.concatenate([ordered("bias_ih_l0"), ordered("bias_hh_l0")])[None],
    }

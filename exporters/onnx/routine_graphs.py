"""ACTION-NET as one ONNX graph, and its parity with torch.

Legend: N routines, S segments, F frames.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.graphs import traced_graph
from exporters.onnx.parity import SCORE_TOLERANCE, padded, session
from networks.action_net import ActionNet
from networks.action_net.context import RecurrentContext
from schemas.errors import BundleError

INPUTS: Final = ("dynamic", "static", "dynamic_mask", "static_mask")
OUTPUTS: Final = ("score", "features", "dynamic_attention", "static_attention")
FEATURE_TOLERANCE: Final = 1e-4
"""Largest difference of a feature, relative to the largest of that routine."""

BATCHES: Final[tuple[tuple[tuple[int, int], ...], ...]] = (
    *(((1, 1),), ((26, 80),), ((48, 150),), ((1, 80), (26, 2)), ((26, 80), (9, 31), (30, 96), (2, 1))),
)
"""Numbers of segments and frames of the routines of each batch that is compared."""


class _Assessing(nn.Module):
    def __init__(self, network: ActionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, dynamic: Tensor, static: Tensor, dynamic_mask: Tensor, static_mask: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.assess(dynamic, static, dynamic_mask, static_mask))


class RoutineAgreement(NamedTuple):
    """Largest differences between torch and ONNX Runtime: of scores and attention, and relative of features."""

    score: float
    features: float


def routine_graph(network: ActionNet) -> bytes:
    """``dynamic`` (N, S, 1024), ``static`` (N, F, 2048) and their masks to ``score`` (N,), ``features`` (N, sum of
    widths) and both attentions (N, S) and (N, F).

    Raises ``BundleError`` for the ablations that are not exported: one stream, and recurrent context.
    """
    recurrent = any(isinstance(module, RecurrentContext) for module in network.modules())
    if recurrent or len(network.streams) == 1:
        raise BundleError("ACTION-NET is exported with both streams and without recurrent context; build it so")
    dynamic, static = torch.rand(2, 5, 1024), torch.rand(2, 7, 2048)
    masks = (torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 7, dtype=torch.bool))
    clips, segments, frames = Dim("routines"), Dim("segments"), Dim("frames")
    axes = tuple({0: clips, 1: steps} for steps in (segments, frames, segments, frames))
    return traced_graph(_Assessing(network.eval()), (dynamic, static, *masks), INPUTS, OUTPUTS, axes)


def check_routine(
    network: ActionNet, graph: bytes, batches: Sequence[Sequence[tuple[int, int]]] = BATCHES
) -> RoutineAgreement:
    """Compare ``network`` with its ``graph`` on batches of routines, and each routine in its batch with itself alone.

    Padding is filled with NaN. Raises ``BundleError`` naming batch, output and difference.
    """
    run = session(graph)
    generator = np.random.default_rng(0)
    reached = [0.0, 0.0]
    for batch in batches:
        routines = [
            [
                generator.exponential(0.5, (length, width)).astype(np.float32)
                for length, width in zip(lengths, (1024, 2048), strict=True)
            ]
            for lengths in batch
        ]
        inputs = _inputs(routines)
        with torch.inference_mode():
            expected = [tensor.numpy() for tensor in network.assess(*(torch.from_numpy(each) for each in inputs))]
        found = run.run(list(OUTPUTS), dict(zip(INPUTS, inputs, strict=True)))
        alone = [run.run(list(OUTPUTS), dict(zip(INPUTS, _inputs([one]), strict=True))) for one in routines]
        for place, name in enumerate(OUTPUTS):
            rows = [one[place][0] for one in alone]
            reference = padded(rows, filling=0.0) if name.endswith("attention") else np.stack(rows)
            for what, other in (("torch", expected[place]), ("the routine alone", reference)):
                difference = _difference(name, found[place], other)
                limit = FEATURE_TOLERANCE if name == "features" else SCORE_TOLERANCE
                if not difference <= limit:
                    raise BundleError(
                        f"the graph and {what} differ by {difference:.2e} in {name} (limit {limit:.0e}), in a batch of "
                        f"segments and frames {batch}; the graph is not fit to serve"
                    )
                reached[name == "features"] = max(reached[name == "features"], difference)
    return RoutineAgreement(*reached)


def _inputs(routines: Sequence[Sequence[Any]]) -> list[Any]:
    streams = [padded([routine[stream] for routine in routines]) for stream in range(2)]
    masks = [np.isfinite(stream[:, :, 0]) for stream in streams]
    return [*streams, *masks]


def _difference(name: str, found: Any, other: Any) -> float:
    size = np.abs(other).max(axis=1, keepdims=True) if name == "features" else 1.0
    difference = np.abs(found - other) / size
    return float("inf") if np.isnan(difference).any() else float(difference.max())

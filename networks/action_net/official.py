"""Weights of ACTION-NET's public code (github.com/qinghuannn/ACTION-NET) under the names that it gives them."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from networks.action_net.context import GraphContext
from networks.action_net.network import ActionNet, RoutineStream
from networks.errors import UnfitWeights
from networks.official_weights import load_renamed

_SOURCE: Final = "ACTION-NET's public code"
_THEIRS: Final = {
    "streams.dynamic.": "d_ct.",
    "streams.static.": "s_ct.",
    "head.": "fc.",
    "context.layers.0.": "gcn1.",
    "context.layers.1.": "gcn2.",
    "attention.layers.": "att.",
}
_ADJACENCIES: Final = {"adj1": "dynamic", "adj2": "static"}
_COUNTERS: Final = ("total_ops", "total_params")
"""Buffers that the profiler of the public training leaves in a network."""

_TOLERANCE: Final = 1e-4


def load_official(network: ActionNet, state_dict: Mapping[str, Any]) -> None:
    """Load weights of the public ``ACTION_NET`` into ``network``, which then gives the same scores.

    ``state_dict`` maps its names to tensors or arrays. Its two constant adjacency matrices may be left out; where they
    are given, they have to be those that ``network`` computes for its ``segments`` and ``frames``. Raises
    ``UnfitWeights`` for other names, shapes or matrices, and for a network of another structure.
    """
    names = {ours: _theirs(ours) for ours in network.state_dict()}
    weights = {name.removeprefix("module."): value for name, value in state_dict.items()}
    ignored = [name for name in weights if name in _ADJACENCIES or name.rpartition(".")[2] in _COUNTERS]
    for name, stream in _ADJACENCIES.items():
        context = _context(network, stream)
        if name in weights:
            _check_adjacency(network, context, name, torch.as_tensor(weights[name]))
    load_renamed(network, weights, names, source=_SOURCE, ignored=ignored)


def _theirs(name: str) -> str:
    for ours, theirs in _THEIRS.items():
        name = name.replace(ours, theirs)
    return name


def _context(network: ActionNet, stream: str) -> GraphContext:
    """The stream's TCG-U, if it is the public code's."""
    module = dict(network.streams.named_children()).get(stream)
    context = module.context if isinstance(module, RoutineStream) else None
    if not isinstance(context, GraphContext) or context.reading != "temporal":
        raise UnfitWeights(
            f"{_SOURCE} has both streams, context-aware attention and the adjacency in time; build the network with "
            "adjacency='temporal' and without ablations"
        )
    return context


def _check_adjacency(network: ActionNet, context: GraphContext, name: str, given: Tensor) -> None:
    field = "segments" if _ADJACENCIES[name] == "dynamic" else "frames"
    instances = network.segments if field == "segments" else network.frames
    if given.shape != (instances, instances):
        raise UnfitWeights(
            f"{name} has shape {tuple(given.shape)}; build the network with that number of {field}, not {instances}",
            field=name,
        )
    computed = context.adjacency(torch.zeros(1, instances, 1), torch.ones(1, instances, dtype=torch.bool))[0]
    if not torch.allclose(given.to(computed), computed, rtol=0, atol=_TOLERANCE):
        raise UnfitWeights(f"{name} is not exp(-|i - j| / {context.scale:g}) normalised; set scale", field=name)

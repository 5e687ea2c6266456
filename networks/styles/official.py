"""Weights of TCN's public code (github.com/locuslab/TCN) under the names that it gives them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from networks.official_weights import load_renamed
from networks.styles.sequential import StyleTCN

_SOURCE: Final = "TCN's public code"
_THEIRS: Final = (
    (r"^network\.blocks\.", "tcn.network."),
    (r"\.convolutions\.0\.", ".conv1."),
    (r"\.convolutions\.1\.", ".conv2."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"\.projection\.", ".downsample."),
    (r"^network\.head\.", "linear."),
)
_SECOND_NAMES: Final = re.compile(r"\.net\.[04]\.")
"""The public block holds its convolutions twice: by name, and in the sequence that it runs."""


def load_official_tcn(network: StyleTCN, state_dict: Mapping[str, Any]) -> None:
    """Load weights of the public ``TCN`` (``tcn`` and ``linear``) into ``network``, which then gives the same logits.

    ``state_dict`` maps its names to tensors or arrays; those of either weight normalisation of PyTorch are understood.
    The public models end in a log-softmax, which is left to the caller. Raises ``UnfitWeights`` for other names or
    shapes.
    """
    weights = {_with_first_normalisation(name.removeprefix("module.")): value for name, value in state_dict.items()}
    ignored = [name for name in weights if _SECOND_NAMES.search(name)]
    names = {ours: _theirs(ours) for ours in network.state_dict()}
    load_renamed(network, weights, names, source=_SOURCE, ignored=ignored)


def _theirs(name: str) -> str:
    for ours, theirs in _THEIRS:
        name = re.sub(ours, theirs, name)
    return name


def _with_first_normalisation(name: str) -> str:
    name = re.sub(r"\.parametrizations\.weight\.original0$", ".weight_g", name)
    return re.sub(r"\.parametrizations\.weight\.original1$", ".weight_v", name)

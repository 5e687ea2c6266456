"""Weights of public implementations, loaded under the names that those give them."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from networks.errors import UnfitWeights

MOST_NAMED: Final = 5


def load_renamed(
    network: nn.Module, weights: Mapping[str, Any], names: Mapping[str, str], *, source: str, ignored: Collection[str]
) -> None:
    """Copy the tensors or arrays of ``weights`` into ``network``.

    ``names`` gives for each name of the network's ``state_dict`` that of the other implementation, ``ignored`` are
    names of theirs that hold no weights, and ``source`` is who they are, for messages. Raises ``UnfitWeights`` if a
    weight is missing, unknown, of another shape or not finite; the network is then as it was.
    """
    unknown = sorted(set(weights) - set(names.values()) - set(ignored))
    if unknown:
        raise UnfitWeights(f"{source} has no weights called {_listed(unknown)}; give the weights of that network alone")
    missing = sorted(set(names.values()) - set(weights))
    if missing:
        raise UnfitWeights(f"the weights {_listed(missing)} of {source} are missing; give its whole state_dict")
    expected = network.state_dict()
    network.load_state_dict(
        {ours: _fitting(theirs, weights[theirs], expected[ours], source) for ours, theirs in names.items()}
    )


def _fitting(name: str, value: object, expected: Tensor, source: str) -> Tensor:
    tensor = torch.as_tensor(value)
    if tensor.shape != expected.shape:
        raise UnfitWeights(
            f"{name} has shape {tuple(tensor.shape)}, here it is {tuple(expected.shape)}; build the network with the "
            f"sizes that {source} was trained with",
            field=name,
        )
    if not tensor.isfinite().all():
        raise UnfitWeights(f"{name} holds values that are not finite; fetch the weights again", field=name)
    return tensor.to(expected.dtype)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more

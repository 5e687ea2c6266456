"""The weights of a checkpoint, under the names that torchvision and timm give them.

A checkpoint is data: safetensors, or a file of torch that is read with ``weights_only``, which runs no code.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from schemas.errors import CheckpointError
from schemas.escaping import shortened
from schemas.local_files import check_is_file

_WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net")
"""Keys below which training programs keep the weights."""
_PREFIXES: Final = ("module.", "model.", "backbone.", "base_model.", "encoder.", "net.")
_OPENMMLAB: Final = (
    (re.compile(r"\b(conv\d*)\.conv\."), r"\1."),
    (re.compile(r"\bconv(\d*)\.bn\."), r"bn\1."),
    (re.compile(r"\bdownsample\.conv\."), "downsample.0."),
    (re.compile(r"\bdownsample\.bn\."), "downsample.1."),
)
"""MMAction2's names, of TSN for instance, and torchvision's of the same tensors."""
_MAX_NAMED: Final = 4


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name → tensor. Raises ``CheckpointError`` for a file that is neither format, or holds anything but tensors."""
    try:
        check_is_file(path)
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or shortened(str(error))
        raise CheckpointError(f"{path}: no readable checkpoint ({reason})") from error
    except Exception as error:  # torch raises pickle's errors, RuntimeError and EOFError
        raise CheckpointError(
            f"{path}: cannot be read as weights alone ({shortened(str(error))}); save its state dict, or convert it to "
            "safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    weights = {} if not isinstance(loaded, Mapping) else {str(name): each for name, each in loaded.items()}
    tensors = {name: each for name, each in weights.items() if isinstance(each, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors; save the state dict of the network")
    return tensors


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Give ``network``, whose classifier is gone, its tensors of ``weights``; those of a classifier are left out.

    Raises ``CheckpointError`` naming tensors that are missing or of another shape.
    """
    wanted: dict[str, Any] = network.state_dict()
    found = _named_alike(weights, wanted)
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} of {len(wanted)} tensors are missing, for example {_some(missing)}; it is another "
            f"architecture. It has {_some([*weights])}"
        )
    other = [name for name, tensor in found.items() if tensor.shape != wanted[name].shape]
    if other:
        shapes = f"{tuple(found[other[0]].shape)} instead of {tuple(wanted[other[0]].shape)}"
        raise CheckpointError(f"{path}: {_some(other)} has another shape, {shapes}; it is another architecture")
    network.load_state_dict({**wanted, **found})


def _named_alike(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names that are ``wanted``, behind the prefix that finds most of them."""
    candidates = []
    for prefix in ("", *_PREFIXES, *(f"{outer}{inner}" for outer in _PREFIXES for inner in _PREFIXES)):
        named = {_as_torchvision(name.removeprefix(prefix)): each for name, each in weights.items()}
        candidates.append({name: each for name, each in named.items() if name in wanted})
    return max(candidates, key=len)


def _as_torchvision(name: str) -> str:
    for pattern, replacement in _OPENMMLAB:
        name = pattern.sub(replacement, name)
    return name


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")

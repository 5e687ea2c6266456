"""What training needs to resume after an epoch with the same result as without the interruption."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import msgspec
import torch
from torch import Tensor

from networks.atomic import replacing
from networks.training.history import EpochRow
from schemas.errors import CheckpointError

FORMAT: Final = "dancerank-training/1"

_WEIGHTS_KEY: Final = "framework"
"""Where the file holds the model's parameters and buffers; part of the format."""


class Best(msgspec.Struct, frozen=True):
    """The epoch with the highest validation correlation so far; -1 before there is one."""

    epoch: int = -1
    validation: float = float("-inf")


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """After ``epochs_done`` epochs: parameters and buffers, the state of both optimisers and of the loss scaling.

    ``stopped`` says that patience ran out.
    """

    epochs_done: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    gradnorm: Mapping[str, Any]
    history: tuple[EpochRow, ...]
    best: Best
    stopped: bool


def save_state(state: TrainingState, path: Path) -> None:
    """Write ``state`` to ``path`` in one move; an older file stays until then."""
    fields = {name: getattr(state, name) for name in state.__struct_fields__}
    fields[_WEIGHTS_KEY] = fields.pop("model")
    fields["history"] = msgspec.to_builtins(state.history)
    fields["best"] = msgspec.to_builtins(state.best)
    with replacing(path) as draft:
        torch.save({"format": FORMAT, **fields}, draft)


def load_state(path: Path) -> TrainingState:
    """The state saved at ``path``, on the CPU. Raises ``CheckpointError`` naming the file if it cannot be read."""
    try:
        fields = torch.load(path, map_location="cpu", weights_only=True)
        if fields.pop("format") != FORMAT:
            raise CheckpointError(f"{path}: saved by another release; start again with a new folder")
        history = msgspec.convert(fields.pop("history"), tuple[EpochRow, ...])
        best = msgspec.convert(fields.pop("best"), Best)
        return TrainingState(model=fields.pop(_WEIGHTS_KEY), **fields, history=history, best=best)
    except (OSError, RuntimeError, BadZipFile, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a readable training state ({error}); start the run again") from error
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{path}: not a readable training state ({error}); start the run again") from error

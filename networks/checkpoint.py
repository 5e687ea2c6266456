"""Trained frameworks on disk: one safetensors file, with the configuration and training notes in its metadata."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from networks.framework import Framework, FrameworkConfig
from schemas.errors import CheckpointError, ConfigurationError

FORMAT: Final = "dancerank-framework/1"


def save_checkpoint(framework: Framework, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write parameters, configuration and ``notes`` (free text by name: data, seed, metrics) to ``path``."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in framework.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "config": msgspec.json.encode(framework.config).decode(),
        "notes": msgspec.json.encode(dict(notes or {})).decode(),
    }
    save_file(tensors, path, metadata)


def load_checkpoint(path: Path) -> tuple[Framework, dict[str, str]]:
    """The framework saved at ``path``, on the CPU and in evaluation mode, and its notes.

    Raises ``CheckpointError`` naming the file if it is absent, truncated, of another format, or does not fit its
    config.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: no readable checkpoint ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a {FORMAT} file but {metadata.get('format')!r}; train it with this release")
    try:
        framework = Framework(msgspec.json.decode(metadata["config"], type=FrameworkConfig))
        framework.load_state_dict(tensors)
        notes = msgspec.json.decode(metadata["notes"], type=dict[str, str])
    except (KeyError, msgspec.DecodeError, ConfigurationError, RuntimeError) as error:
        raise CheckpointError(f"{path}: content and configuration do not fit ({error}); train it again") from error
    return framework.eval(), notes

"""Trained models on disk: one safetensors file, with the configuration and training notes in its metadata."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from networks.checkpoint_file import FORMAT, TARGET, read_metadata
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.errors import CheckpointError, ConfigurationError
from schemas.virality_target import EQ1, FittedTarget


def save_checkpoint(
    model: ViralityModel,
    path: Path,
    notes: Mapping[str, str] | None = None,
    *,
    clip_ids: Iterable[str] = (),
    target: FittedTarget = EQ1,
) -> None:
    """Write parameters, configuration, the ``target`` that was learned, and ``notes`` (free text by name: data, seed,
    metrics) to ``path``.

    Of ``clip_ids``, the training clips, only hashes are written: a model is passed on more freely than a list of clips.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # A note may name a folder that is not UTF-8.
    texts = {name: text.encode(errors="backslashreplace").decode() for name, text in (notes or {}).items()}
    metadata = {
        "format": FORMAT,
        "config": msgspec.json.encode(model.config).decode(),
        "notes": msgspec.json.encode(texts).decode(),
        "training_clips": " ".join(sorted(map(_clip_hash, clip_ids))),
    }
    if target != EQ1:
        metadata[TARGET] = target.to_json()
    path.write_bytes(save(tensors, metadata))  # save_file would make a file that only its owner can read


def load_checkpoint(path: Path) -> tuple[ViralityModel, dict[str, str]]:
    """The model saved at ``path``, on the CPU and in evaluation mode, and its notes.

    Raises ``CheckpointError`` naming the file if it is absent, truncated, of another format, or does not fit its
    config.
    """
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: torch.from_numpy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: no readable checkpoint ({error})") from error
    try:
        model = ViralityModel(msgspec.json.decode(metadata["config"], type=ViralityModelConfig))
        model.load_state_dict(tensors)
        notes = msgspec.json.decode(metadata["notes"], type=dict[str, str])
    except (KeyError, msgspec.DecodeError, ConfigurationError, RuntimeError) as error:
        raise CheckpointError(f"{path}: content and configuration do not fit ({error}); train it again") from error
    return model.eval(), notes


def trained_on(path: Path, clip_ids: Iterable[str]) -> list[str]:
    """Those of ``clip_ids`` that the checkpoint at ``path``, which ``load_checkpoint`` has accepted, was trained on."""
    with safe_open(path, framework="np") as file:
        trained = set((file.metadata() or {}).get("training_clips", "").split())
    return [clip_id for clip_id in clip_ids if _clip_hash(clip_id) in trained]


def _clip_hash(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode()).hexdigest()[:16]

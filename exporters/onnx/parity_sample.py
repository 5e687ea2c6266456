"""The parity sample of a bundle: a few short clips, and what the network makes of them in float32."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from exporters.onnx.parity import differences, padded, random_clip
from exporters.onnx.running import Run
from networks.virality_model import ViralityModel
from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE, sha256_hex
from schemas.export_profiles import ParitySample
from schemas.modalities import Modality

SAMPLE_FILE: Final = "sample.safetensors"
SAMPLE_S: Final = (1.0, 0.5)
"""Lengths of the clips in seconds."""
_SLACK: Final = 4.0
"""Another processor or provider may differ by so much more than the one that exports."""
_LEAST: Final = {"score": 1e-4, "embedding": 1e-3}
"""Differences that are always allowed: ten times those of the parity check."""


def parity_sample(
    model: ViralityModel, runs: Mapping[Modality, Run], clips: Mapping[Modality, NDArray[np.floating[Any]]]
) -> tuple[bytes, ParitySample]:
    """The sample for streams that run as ``runs`` says: the beginnings of ``clips``, or of random clips."""
    generator, tensors = np.random.default_rng(0), dict[str, NDArray[Any]]()
    allowed: dict[str, dict[Modality, float]] = {"score": {}, "embedding": {}}
    for modality, run in runs.items():
        steps = [max(1, round(seconds * modality.rate_hz)) for seconds in SAMPLE_S]
        clip = clips.get(modality)
        chosen = [
            random_clip(model, modality, length, generator) if clip is None else clip[:length] for length in steps
        ]
        frames = padded([frames.astype(np.float16) for frames in chosen], filling=0)
        lengths = np.array([len(frames) for frames in chosen])
        with torch.inference_mode():
            expected = model.stream(modality)(torch.from_numpy(frames.astype(np.float32)), torch.from_numpy(lengths))
        reference = (expected.embedding.numpy(), expected.score.numpy())
        for name, difference in differences(reference, run(frames, lengths)).items():
            allowed[name][modality] = float(f"{max(_LEAST[name], _SLACK * float(difference.max())):.1e}")
        named = {FRAMES: frames, LENGTHS: lengths, EMBEDDING: reference[0], SCORE: reference[1]}
        tensors |= {f"{modality}.{name}": np.ascontiguousarray(tensor) for name, tensor in named.items()}
    content = safetensors.numpy.save(tensors)
    return content, ParitySample(SAMPLE_FILE, sha256_hex(content), allowed["score"], allowed["embedding"])

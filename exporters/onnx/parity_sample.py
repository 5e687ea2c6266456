"""The parity sample of a bundle: a few short clips, and what the network makes of them in float32."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from exporters.onnx.parity import differences, padded, random_clip
from exporters.onnx.running import Run
from networks.virality_model import ViralityModel
from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE, TEMPORAL_ATTENTION, sha256_hex
from schemas.export_profiles import ParitySample
from schemas.modalities import Modality

SAMPLE_FILE: Final = "sample.safetensors"
SAMPLE_S: Final = (1.0, 0.5)
"""Lengths of the clips in seconds."""
_SLACK: Final = 4.0
"""Another processor or provider may differ by so much more than the one that exports."""
_LEAST: Final = {"score": 1e-4, "embedding": 1e-3}
"""Differences that are always allowed: ten times those of the parity check."""

Tensors = dict[str, NDArray[Any]]


def parity_sample(
    model: ViralityModel, runs: Mapping[Modality, Run], clips: Mapping[Modality, NDArray[np.floating[Any]]]
) -> tuple[bytes, ParitySample]:
    """The sample for streams that run as ``runs`` says: the beginnings of ``clips``, or of random clips."""
    generator, tensors = np.random.default_rng(0), Tensors()
    allowed: dict[str, dict[Modality, float]] = {"score": {}, "embedding": {}}
    for modality, run in runs.items():
        steps = [max(1, round(seconds * modality.rate_hz)) for seconds in SAMPLE_S]
        clip = clips.get(modality)
        chosen = [
            random_clip(model, modality, length, generator) if clip is None else clip[:length] for length in steps
        ]
        of_stream, limits = stream_sample(modality, model.stream(modality), run, chosen)
        tensors |= of_stream
        for name, limit in limits.items():
            allowed[name][modality] = limit
    content = safetensors.numpy.save(tensors)
    return content, ParitySample(SAMPLE_FILE, sha256_hex(content), allowed["score"], allowed["embedding"])


def stream_sample(
    modality: Modality, network: nn.Module, run: Run, clips: Sequence[NDArray[np.floating[Any]]]
) -> tuple[Tensors, dict[str, float]]:
    """The tensors of one stream, and the differences of ``score`` and ``embedding`` that it may show: what ``network``
    makes of ``clips`` in float32, with the attention over time if it gives that, and how far ``run`` is from it."""
    frames = padded([clip.astype(np.float16) for clip in clips], filling=0)
    lengths = np.array([len(clip) for clip in clips])
    with torch.inference_mode():
        expected = network(torch.from_numpy(frames.astype(np.float32)), torch.from_numpy(lengths))
    reference = (expected.embedding.numpy(), expected.score.numpy())
    allowed = {
        name: float(f"{max(_LEAST[name], _SLACK * float(difference.max())):.1e}")
        for name, difference in differences(reference, run(frames, lengths)).items()
    }
    named = {FRAMES: frames, LENGTHS: lengths, EMBEDDING: reference[0], SCORE: reference[1]}
    if hasattr(expected, TEMPORAL_ATTENTION):
        named[TEMPORAL_ATTENTION] = expected.temporal_attention.numpy()
    return {f"{modality}.{name}": np.ascontiguousarray(tensor) for name, tensor in named.items()}, allowed

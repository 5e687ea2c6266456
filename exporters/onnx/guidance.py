"""Gradient graphs of a network, compared with torch's automatic differentiation.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M modalities.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from exporters.onnx.gradient_graphs import accepted, gradient_graphs
from exporters.onnx.parity import padded, random_clip, session
from networks.virality_model import ViralityModel
from schemas.bundle import (
    EMBEDDING_SEED,
    EMBEDDINGS,
    EMBEDDINGS_GRADIENT,
    FRAMES,
    FRAMES_GRADIENT,
    FUSED_SEED,
    LENGTHS,
    PRESENT,
    SCORE_SEED,
    SCORES,
    SCORES_GRADIENT,
    GuidanceGraphs,
)
from schemas.modalities import Modality

BATCHES: Final = ((1,), (2, 1), (16, 15, 9), (40, 39, 20))
"""Lengths T of the clips of each batch that is compared."""
_CLIPS_FUSED: Final = 8
_TORCH: Final = "torch's"


def guidance_graphs(
    model: ViralityModel, streams: Mapping[Modality, bytes], fusion: bytes
) -> tuple[dict[str, bytes], GuidanceGraphs | None]:
    """Files of the gradient graphs by name, and what the manifest says of them; nothing for a model without joints.

    ``streams`` are the streams' graphs in float32. Raises ``BundleError`` if an operator of a graph has no gradient, or
    if a gradient differs from torch's.
    """
    with_joints = [modality for modality in streams if modality.has_joints]
    if not with_joints:
        return {}, None
    graphs = gradient_graphs(with_joints[0], streams[with_joints[0]], fusion)
    reached = max(_check_stream(model, graphs.modality, graphs.stream), _check_fusion(model, graphs.fusion))
    return graphs.files(), graphs.described(reached)


def _check_stream(model: ViralityModel, modality: Modality, graph: bytes) -> float:
    run, network, generator = session(graph), model.stream(modality), np.random.default_rng(0)
    reached: list[float] = []
    for batch in BATCHES:
        frames = padded([random_clip(model, modality, length, generator) for length in batch], filling=0)
        lengths = np.array(batch, np.int64)
        score_seed = generator.normal(size=len(batch)).astype(np.float32)
        embedding_seed = generator.normal(size=(len(batch), network.embedding_dim)).astype(np.float32)
        given = torch.from_numpy(frames).requires_grad_()
        output = network(given, torch.from_numpy(lengths))
        total = (output.score * torch.from_numpy(score_seed)).sum()
        total = total + (output.embedding * torch.from_numpy(embedding_seed)).sum()
        (expected,) = torch.autograd.grad(total, given)
        inputs = {FRAMES: frames, LENGTHS: lengths, SCORE_SEED: score_seed, EMBEDDING_SEED: embedding_seed}
        (found,) = run.run([FRAMES_GRADIENT], inputs)
        reached += _differences(found, expected.numpy())
    return accepted(f"the gradient of the {modality} stream", _TORCH, reached)


def _check_fusion(model: ViralityModel, graph: bytes) -> float:
    generator, modalities = np.random.default_rng(0), len(model.config.modalities)
    embeddings = generator.normal(size=(_CLIPS_FUSED, sum(model.embedding_dims))).astype(np.float32)
    scores = generator.normal(size=(_CLIPS_FUSED, modalities)).astype(np.float32)
    present = generator.random((_CLIPS_FUSED, modalities)) < 0.7
    present[:, 0] = True
    given = tuple(torch.from_numpy(each).requires_grad_() for each in (embeddings, scores))
    fused = model.fusion(*given, torch.from_numpy(present)).fused_score
    found_by_torch = torch.autograd.grad(fused.sum(), given, allow_unused=True)
    expected = [
        np.zeros_like(each.detach().numpy()) if gradient is None else gradient.numpy()
        for each, gradient in zip(given, found_by_torch, strict=True)
    ]
    inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present, FUSED_SEED: np.ones(_CLIPS_FUSED, np.float32)}
    found = session(graph).run([EMBEDDINGS_GRADIENT, SCORES_GRADIENT], inputs)
    reached = [each for pair in zip(found, expected, strict=True) for each in _differences(*pair)]
    return accepted("the gradient of the fusion", _TORCH, reached)


def _differences(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> list[float]:
    """Of each clip: the largest difference over the largest entry; zero where both are zero."""
    axes = tuple(range(1, expected.ndim))
    largest = np.abs(expected).max(axis=axes).clip(min=np.finfo(np.float32).tiny)
    relative: list[float] = (np.abs(found - expected).max(axis=axes) / largest).tolist()
    return relative

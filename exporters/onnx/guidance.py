"""Gradient graphs of a bundle: how its score changes with each joint of a clip (Eq. 7), without torch.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M modalities.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch

from exporters.onnx.gradients import with_gradients
from exporters.onnx.parity import padded, random_clip, session
from networks.virality_model import ViralityModel
from schemas.bundle import (
    EMBEDDING,
    EMBEDDING_SEED,
    EMBEDDINGS,
    EMBEDDINGS_GRADIENT,
    FRAMES,
    FRAMES_GRADIENT,
    FUSED_SCORE,
    FUSED_SEED,
    LENGTHS,
    PRESENT,
    SCORE,
    SCORE_SEED,
    SCORES,
    SCORES_GRADIENT,
    GraphFile,
    GuidanceGraphs,
    sha256_hex,
)
from schemas.errors import BundleError
from schemas.modalities import Modality

TOLERANCE: Final = 1e-4
"""Largest difference of a gradient's entry from torch's, relative to the largest entry of the clip's gradient."""
BATCHES: Final = ((1,), (2, 1), (16, 15, 9), (40, 39, 20))
"""Lengths T of the clips of each batch that is compared."""
_FEW_KINKS: Final = 0.1
"""Share of the clips that may differ by more: where the input of a ReLU is zero within rounding, either of its two
derivatives is as good as the other."""


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
    modality = with_joints[0]
    of_stream = with_gradients(
        streams[modality], {SCORE: SCORE_SEED, EMBEDDING: EMBEDDING_SEED}, {FRAMES: FRAMES_GRADIENT}
    )
    of_fusion = with_gradients(
        fusion, {FUSED_SCORE: FUSED_SEED}, {EMBEDDINGS: EMBEDDINGS_GRADIENT, SCORES: SCORES_GRADIENT}
    )
    reached = max(_check_stream(model, modality, of_stream), _check_fusion(model, of_fusion))
    files = {f"{modality}-guidance.onnx": of_stream, "fusion-guidance.onnx": of_fusion}
    described = (GraphFile(name, sha256_hex(content)) for name, content in files.items())
    return files, GuidanceGraphs(modality, *described, agreement=float(f"{reached:.1e}"))


def _check_stream(model: ViralityModel, modality: Modality, graph: bytes) -> float:
    """The largest relative difference, of all clips but those near a kink."""
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
    return _accepted(f"the gradient of the {modality} stream", reached)


def _check_fusion(model: ViralityModel, graph: bytes) -> float:
    generator, modalities = np.random.default_rng(0), len(model.config.modalities)
    clips = 8
    embeddings = generator.normal(size=(clips, sum(model.embedding_dims))).astype(np.float32)
    scores = generator.normal(size=(clips, modalities)).astype(np.float32)
    present = generator.random((clips, modalities)) < 0.7
    present[:, 0] = True
    given = tuple(torch.from_numpy(each).requires_grad_() for each in (embeddings, scores))
    fused = model.fusion(*given, torch.from_numpy(present)).fused_score
    expected = torch.autograd.grad(fused.sum(), given)
    inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present, FUSED_SEED: np.ones(clips, np.float32)}
    found = session(graph).run([EMBEDDINGS_GRADIENT, SCORES_GRADIENT], inputs)
    reached = [each for pair in zip(found, expected, strict=True) for each in _differences(pair[0], pair[1].numpy())]
    return _accepted("the gradient of the fusion", reached)


def _differences(found: np.ndarray, expected: np.ndarray) -> list[float]:  # type: ignore[type-arg]
    axes = tuple(range(1, expected.ndim))
    largest = np.abs(expected).max(axis=axes).clip(min=np.finfo(np.float32).tiny)
    return (np.abs(found - expected).max(axis=axes) / largest).tolist()


def _accepted(what: str, differences: list[float]) -> float:
    ordered = sorted(differences)
    counted = ordered[: len(ordered) - int(_FEW_KINKS * len(ordered))]
    if not counted[-1] <= TOLERANCE:
        raise BundleError(f"{what} differs from torch's by {counted[-1]:.1e} of its largest entry; at most {TOLERANCE:g} passes")
    return counted[-1]

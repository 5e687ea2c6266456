"""Parity checks on random clips: torch against ONNX Runtime, and a clip alone against the same clip in a batch.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M modalities.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from networks.virality_model import ViralityModel
from schemas.bundle import ATTENTION, EMBEDDING, EMBEDDINGS, FRAMES, FUSED_SCORE, LENGTHS, PRESENT, SCORE, SCORES
from schemas.errors import BundleError
from schemas.joints import JointLayout, layout_named
from schemas.modalities import Modality

SCORE_TOLERANCE: Final = 1e-5
"""Largest absolute difference of a score or an attention weight."""

EMBEDDING_TOLERANCE: Final = 1e-4
"""Largest difference of an embedding's entry, relative to the largest entry of that embedding."""

BATCHES: Final[tuple[tuple[int, ...], ...]] = (
    *((1,), (2,), (3,), (1, 1), (1, 2, 3, 4, 5), (7, 1, 30), (16, 75, 9, 128), (250, 3, 251), (375,)),
)
"""Lengths T of the clips of each batch that is compared."""


class Agreement(NamedTuple):
    """Largest differences between torch and ONNX Runtime, in the units of the tolerances."""

    score: float
    embedding: float


def check_stream(
    model: ViralityModel, modality: Modality, graph: bytes, batches: Sequence[Sequence[int]] = BATCHES
) -> Agreement:
    """Compare the stream of ``modality`` with its ONNX ``graph`` on batches of clips of the given lengths.

    Padding is filled with NaN, which must not reach the outputs. Raises ``BundleError`` naming modality, length and
    difference.
    """
    reached: list[Agreement] = []
    run = session(graph)
    network = model.stream(modality)
    generator = np.random.default_rng(0)
    for batch in batches:
        frames = padded([random_clip(model, modality, length, generator) for length in batch])
        lengths = np.array(batch, np.int64)
        with torch.inference_mode():
            expected = network(torch.from_numpy(frames), torch.from_numpy(lengths))
        embeddings, scores = run.run([EMBEDDING, SCORE], {FRAMES: frames, LENGTHS: lengths})
        torch_result = (expected.embedding.numpy(), expected.score.numpy())
        reached.append(_compare("torch and ONNX", modality, batch, torch_result, (embeddings, scores)))
        alone = [
            run.run([EMBEDDING, SCORE], {FRAMES: frames[row : row + 1, :length], LENGTHS: lengths[row : row + 1]})
            for row, length in enumerate(batch)
        ]
        rows = tuple(np.concatenate(parts) for parts in zip(*alone, strict=True))
        _compare("a clip alone and in its batch", modality, batch, (rows[0], rows[1]), (embeddings, scores))
    return Agreement(max(one.score for one in reached), max(one.embedding for one in reached))


def check_fusion(model: ViralityModel, graph: bytes) -> None:
    """Compare the fusion with its ONNX ``graph`` on every combination of present modalities, none included.

    Raises ``BundleError`` naming the combination and the difference.
    """
    run = session(graph)
    generator = np.random.default_rng(0)
    present = np.array(list(product([False, True], repeat=len(model.config.modalities))))
    kept = np.repeat(present, model.embedding_dims, axis=1)
    embeddings = np.where(kept, generator.normal(size=kept.shape), 0).astype(np.float32)
    scores = np.where(present, generator.normal(size=present.shape), 0).astype(np.float32)
    with torch.inference_mode():
        expected = model.fusion(*(torch.from_numpy(array) for array in (embeddings, scores, present)))
    inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
    attention, fused = run.run([ATTENTION, FUSED_SCORE], inputs)
    alone = [
        run.run([ATTENTION, FUSED_SCORE], {name: array[row : row + 1] for name, array in inputs.items()})
        for row in range(len(present))
    ]
    for what, (attention_b, fused_b) in (
        ("torch and ONNX", (expected.attention.numpy(), expected.fused_score.numpy())),
        ("a clip alone and in its batch", tuple(np.concatenate(parts) for parts in zip(*alone, strict=True))),
    ):
        difference = np.maximum(_largest(attention, attention_b), np.abs(fused - fused_b))
        worst = int(_nan_as_infinity(difference).argmax())
        if not difference[worst] <= SCORE_TOLERANCE:
            names = [str(m) for m, here in zip(model.config.modalities, present[worst], strict=True) if here]
            raise BundleError(
                f"fusion: {what} differ by {difference[worst]:.2e} (limit {SCORE_TOLERANCE:.0e}) for a clip with "
                f"{', '.join(names) or 'no modality'}; the bundle is not fit to serve"
            )


def _compare(
    what: str,
    modality: Modality,
    batch: Sequence[int],
    first: tuple[NDArray[np.float32], NDArray[np.float32]],
    second: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Agreement:
    found = differences(first, second)
    largest = []
    for name, difference, limit in (
        ("score", found["score"], SCORE_TOLERANCE),
        ("embedding (relative)", found["embedding"], EMBEDDING_TOLERANCE),
    ):
        worst = int(_nan_as_infinity(difference).argmax())
        if not difference[worst] <= limit:
            raise BundleError(
                f"{modality}: {what} differ by {difference[worst]:.2e} in the {name} (limit {limit:.0e}) at length "
                f"{batch[worst]}, in a batch of lengths {', '.join(map(str, batch))}; the bundle is not fit to serve"
            )
        largest.append(float(difference[worst]))
    return Agreement(*largest)


def differences(
    first: tuple[NDArray[np.float32], NDArray[np.float32]], second: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Of each clip, between two pairs of embeddings and scores: ``score`` (N,), and ``embedding`` (N,) relative to the
    largest entry of the first."""
    size = np.abs(first[0]).max(axis=1).clip(min=np.finfo(np.float32).tiny)
    return {"score": np.abs(first[1] - second[1]), "embedding": _largest(first[0], second[0]) / size}


def _largest(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    largest: NDArray[np.float32] = np.abs(first - second).max(axis=1)
    return largest


def _nan_as_infinity(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Differences with NaN replaced by infinity."""
    return np.where(np.isnan(difference), np.inf, difference)


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """``graph`` on the CPU."""
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def padded(clips: Sequence[NDArray[Any]], *, filling: float = math.nan) -> NDArray[Any]:
    """A batch of ``clips``, the shorter ones filled up."""
    frames = np.full((len(clips), max(map(len, clips)), *clips[0].shape[1:]), filling, clips[0].dtype)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)] = clip
    return frames


def random_clip(
    model: ViralityModel, modality: Modality, length: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """(T, V, C) pixel coordinates of a moving pose, or (T, C) features as they leave a ReLU."""
    shape = model.config.frame_shape(modality)
    if modality.has_joints:
        return random_pose(shape, layout_named(model.config.joint_layout), length, generator)
    return generator.normal(0.2, 0.5, (length, *shape)).clip(min=0).astype(np.float32)


def random_pose(
    shape: tuple[int, ...], layout: JointLayout, length: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """(T, V, C) pixel coordinates of a moving pose; ``shape``: (V, C), with a confidence beyond the coordinates."""
    pose = generator.normal((640, *([360] * (shape[1] - 1))), 150, shape)
    frames: NDArray[np.float64] = pose + generator.normal(0, 8, (length, *shape)).cumsum(axis=0)
    if shape[1] > layout.coordinates:
        frames[..., -1] = generator.random((length, shape[0]))
    return frames.astype(np.float32)

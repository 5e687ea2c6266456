"""The scores of one clip as functions of its joints' positions, and directions to move them in, for benchmarks.

Legend: N variations of a clip, T time steps, V joints.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.bundle import Bundle
from schemas.features import ClipFeatures
from schemas.joints import JointLayout, layout_named
from schemas.modalities import Modality
from streamer.guidance.smoothing import Float
from streamer.runtimes.gradients import OnnxGradients
from streamer.runtimes.onnx_runtime import OnnxRuntime

SKELETAL: Final = "skeletal"
FUSED: Final = "fused"
_AT_ONCE: Final = 4
"""Clips in a batch: more need more memory than a core's caches hold, and take longer each."""


class Networks:
    """A bundle, ready to score and to differentiate."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.runtime = OnnxRuntime(bundle, threads=threads)
        self.gradients = OnnxGradients(bundle, threads=threads)

    @property
    def layout(self) -> JointLayout:
        return layout_named(self.runtime.manifest.joint_layout)


class Critic:
    """What ``networks`` say of one clip while only its joints move; ``of`` the skeletal score or the fused one."""

    def __init__(self, networks: Networks, features: ClipFeatures, of: str) -> None:
        self._networks, self._fused = networks, of == FUSED
        self._dims = [stream.embedding_dim for stream in networks.runtime.manifest.fused_streams]
        self._order = networks.runtime.manifest.fused_modalities
        self._rest: dict[Modality, tuple[Float, float]] = {}
        if self._fused:
            for modality in features.modalities:
                if not modality.has_joints:
                    frames = features.frames[modality].astype(np.float32)[None]
                    found = networks.runtime.run_stream(modality, frames, np.array([frames.shape[1]]))
                    self._rest[modality] = (found.embeddings[0], float(found.scores[0]))

    def scores(self, positions: Float) -> Float:
        """(N, T, V, 2) to (N,)."""
        return np.concatenate([self._scores(part) for part in _parts(positions)])

    def gradient(self, positions: Float) -> Float:
        """(N, T, V, 2) to the derivative of each variation's score by its own positions, of the same shape."""
        return np.concatenate([self._gradient(part) for part in _parts(positions)])

    def _scores(self, positions: Float) -> Float:
        embeddings, scores = self._run(positions)
        if not self._fused:
            return scores
        return self._networks.runtime.run_fusion(*self._joined(embeddings, scores)).scores

    def _gradient(self, positions: Float) -> Float:
        clips, width = len(positions), self._dims[self._order.index(Modality.SKELETAL)]
        score_seed, embedding_seed = np.ones(clips, np.float32), np.zeros((clips, width), np.float32)
        if self._fused:
            found = self._networks.gradients.fusion_gradient(*self._joined(*self._run(positions)))
            at = self._order.index(Modality.SKELETAL)
            before = sum(self._dims[:at])
            score_seed, embedding_seed = found.scores[:, at], found.embeddings[:, before : before + width]
        frames = positions.astype(np.float32)
        lengths = np.full(clips, frames.shape[1], np.int64)
        return self._networks.gradients.stream_gradient(frames, lengths, score_seed, embedding_seed)

    def _run(self, positions: Float) -> tuple[Any, Any]:
        frames = positions.astype(np.float32)
        lengths = np.full(len(frames), frames.shape[1], np.int64)
        result = self._networks.runtime.run_stream(Modality.SKELETAL, frames, lengths)
        return result.embeddings, result.scores

    def _joined(self, embeddings: Any, scores: Any) -> tuple[Any, Any, Any]:
        """Embeddings, scores and presence of all modalities, as the fusion takes them."""
        clips = len(scores)
        columns, every = [], np.zeros((clips, len(self._order)), np.float32)
        present = np.zeros((clips, len(self._order)), bool)
        for index, (modality, width) in enumerate(zip(self._order, self._dims, strict=True)):
            if modality is Modality.SKELETAL:
                column, every[:, index], present[:, index] = embeddings, scores, True
            elif modality in self._rest:
                one, every[:, index] = self._rest[modality]
                column, present[:, index] = np.repeat(one[None], clips, axis=0), True
            else:
                column = np.zeros((clips, width), np.float32)
            columns.append(column)
        return np.concatenate(columns, axis=1), every, present


def _parts(positions: Float) -> list[Float]:
    return [positions[at : at + _AT_ONCE] for at in range(0, len(positions), _AT_ONCE)]


def every_joint(direction: Float) -> Float:
    """``direction`` (T, V, 2) with length 1 at each joint and frame, zero where it is zero."""
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.where(length > 0, direction / np.where(length > 0, length, 1), 0)


def in_proportion(direction: Float) -> Float:
    """``direction`` (T, V, 2) with length 1 in the root mean square over joints and frames."""
    mean = np.sqrt((direction**2).sum(axis=-1).mean())
    return direction / mean if mean > 0 else direction


def cosine(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Of two arrays of one shape; zero if one of them is zero."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / lengths if lengths else 0.0

"""Runs the gradient graphs of a bundle in ONNX Runtime.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M streams of the bundle.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

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
    Bundle,
)
from schemas.errors import GuidanceUnavailable
from schemas.ports import Bool, Float32, FusionGradient, Int64
from streamer.runtimes.graph_signatures import check_signature, fusion_gradient_signature, stream_gradient_signature
from streamer.runtimes.onnx_runtime import choose_providers, open_session, run_session, without_cuda_graphs

Arrays = dict[str, npt.NDArray[Any]]
_ON_A_GPU: Final = ("tensorrt", "cuda-graphs", "cuda")


def gradient_providers(providers: Sequence[str]) -> tuple[str, ...]:
    """Providers of gradient graphs where the streams' are ``providers``: CUDA for any that runs on a GPU by it, for
    TensorRT would build an engine for each shape; the CPU for those of another runtime.
    """
    found = ["cuda"] if any(name in _ON_A_GPU for name in providers) else []
    if "cpu" in providers or not found:
        found.append("cpu")
    return tuple(found)


class OnnxGradients:
    """``GradientRuntime`` with a session for each gradient graph; on a GPU as on the CPU, in float32.

    Providers as of ``OnnxRuntime``; batches come in every shape, so none is captured as a CUDA graph. Raises
    ``GuidanceUnavailable`` for a bundle without gradient graphs, and what ``RuntimeFactory`` says.
    """

    def __init__(self, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0) -> None:
        manifest = self.manifest = bundle.manifest
        graphs = manifest.guidance
        if isinstance(graphs, msgspec.UnsetType):
            raise GuidanceUnavailable(
                f"bundle {manifest.generation} has no gradient graphs; run `dancerank add-guidance` on its folder, or "
                "export the checkpoint again with this release"
            )
        chosen = without_cuda_graphs(choose_providers(providers))
        self._stream, found = open_session(bundle, graphs.stream.file, chosen, threads)
        check_signature(graphs.stream.file, found, stream_gradient_signature(manifest, graphs.modality))
        self._fusion, found = open_session(bundle, graphs.fusion.file, chosen, threads)
        check_signature(graphs.fusion.file, found, fusion_gradient_signature(manifest))

    @property
    def providers(self) -> tuple[str, str]:
        """Execution providers that really run the stream's and the fusion's graph."""
        return self._stream.get_providers()[0], self._fusion.get_providers()[0]

    def stream_gradient(self, frames: Float32, lengths: Int64, score_seed: Float32, embedding_seed: Float32) -> Float32:
        inputs: Arrays = {FRAMES: frames, LENGTHS: lengths, SCORE_SEED: score_seed, EMBEDDING_SEED: embedding_seed}
        (gradient,) = run_session(self._stream, (FRAMES_GRADIENT,), inputs, "the gradient of the skeletal stream")
        return np.asarray(gradient)

    def fusion_gradient(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionGradient:
        seed = np.ones(len(embeddings), np.float32)
        inputs: dict[str, npt.NDArray[Any]] = {
            EMBEDDINGS: embeddings,
            SCORES: scores,
            PRESENT: present,
            FUSED_SEED: seed,
        }
        outputs = (EMBEDDINGS_GRADIENT, SCORES_GRADIENT)
        return FusionGradient(*run_session(self._fusion, outputs, inputs, "the gradient of the fusion"))

    def close(self) -> None:
        self._stream = self._fusion = None

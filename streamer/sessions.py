"""The bundle's graphs in ONNX Runtime: the only module of the streamer that knows it.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M streams of the bundle.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime

from schemas.bundle import (
    ATTENTION,
    EMBEDDING,
    EMBEDDINGS,
    FRAMES,
    FUSED_SCORE,
    LENGTHS,
    PRESENT,
    SCORE,
    SCORES,
    Bundle,
    BundleManifest,
)
from schemas.errors import BundleError, ConfigurationError, InferenceFailed
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Float32, Int64
from streamer.graphs import FREE, Port, Signature, check_opset, check_signature, fusion_signature, stream_signature

_PROVIDERS: Final = {
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_OPTIONS: Final[dict[str, dict[str, object]]] = {
    # Lengths vary from batch to batch: searching the best convolution for every new shape would cost more than it
    # saves, and doubling arenas would keep twice the largest batch. TF32 has ten bits of mantissa, too few for a
    # parity of 1e-5.
    "cuda": {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested", "use_tf32": 0},
    "cpu": {},
}
_ERRORS_ONLY: Final = 3


class StreamResult(NamedTuple):
    """``embeddings`` (N, D) and ``scores`` (N,), float32."""

    embeddings: Float32
    scores: Float32


class FusionResult(NamedTuple):
    """``attention`` (N, M), 0 where a modality is absent, and ``scores`` (N,), float32."""

    attention: Float32
    scores: Float32


class BundleSessions:
    """One session per graph of a bundle, on the first of ``providers`` that this machine has.

    ``providers`` are short names (``cuda``, ``cpu``), best first; ``threads`` run one operator (0: one per core).
    Raises ``ConfigurationError`` for a provider that is unknown or if none is there, and ``BundleError`` naming the
    file whose graph cannot be loaded or does not fit the manifest.
    """

    def __init__(
        self, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0, observer: Observer | None = None
    ) -> None:
        self.manifest: BundleManifest = bundle.manifest
        chosen = _choose(providers)
        manifest = bundle.manifest
        self._streams = {
            stream.modality: _open(
                bundle, stream.file, stream_signature(stream, manifest.joint_layout), chosen, threads
            )
            for stream in manifest.streams
        }
        self._fusion = _open(bundle, manifest.fusion.file, fusion_signature(manifest), chosen, threads)
        self.providers: Mapping[Modality | None, str] = {
            modality: session.get_providers()[0] for modality, session in (*self._streams.items(), (None, self._fusion))
        }
        """The execution provider that really runs each stream (``None``: the fusion)."""
        if "cpu" not in providers and (fallen := set(self.providers.values()) & {_PROVIDERS["cpu"]}):
            raise ConfigurationError(
                f"{', '.join(providers)} could not be started and ONNX Runtime fell back to {', '.join(fallen)}; "
                "check the driver and its libraries, or allow cpu",
                field="providers",
            )
        for modality, provider in self.providers.items():
            (observer or Observer()).provider_in_use(modality, provider)

    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        """Embed and score clips of one modality: ``frames`` (N, T, [V,] C), ``lengths`` (N,). Raises
        ``InferenceFailed``.
        """
        outputs = _run(
            self._streams[modality], (EMBEDDING, SCORE), {FRAMES: frames, LENGTHS: lengths}, f"{modality} stream"
        )
        return StreamResult(*outputs)

    def run_fusion(self, embeddings: Float32, scores: Float32, present: npt.NDArray[np.bool_]) -> FusionResult:
        """Fuse ``embeddings`` (N, sum of D), ``scores`` (N, M) under ``present`` (N, M). Raises ``InferenceFailed``."""
        inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
        return FusionResult(*_run(self._fusion, (ATTENTION, FUSED_SCORE), inputs, "fusion"))


def _run(session: Any, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]], what: str) -> list[Any]:
    try:
        results: list[Any] = session.run(list(outputs), inputs)
    except Exception as error:
        # ONNX Runtime's exceptions share no base class below Exception.
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        raise InferenceFailed(f"{what} failed on {shapes}: {error}") from error
    return results


def _choose(providers: Sequence[str]) -> list[tuple[str, dict[str, object]]]:
    unknown = [name for name in providers if name not in _PROVIDERS]
    if unknown or not providers:
        raise ConfigurationError(
            f"providers {', '.join(unknown) or '(none)'} not known; choose from {', '.join(_PROVIDERS)}",
            field="providers",
        )
    available = onnxruntime.get_available_providers()
    chosen = [(_PROVIDERS[name], _OPTIONS[name]) for name in providers if _PROVIDERS[name] in available]
    if not chosen:
        raise ConfigurationError(
            f"none of {', '.join(providers)} is available here; this ONNX Runtime has {', '.join(available)}. "
            "Install the gpu extra for cuda, or allow cpu",
            field="providers",
        )
    if any(name == _PROVIDERS["cuda"] for name, _ in chosen):
        onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed
    return chosen


def _open(
    bundle: Bundle, file: str, expected: Signature, providers: list[tuple[str, dict[str, object]]], threads: int
) -> Any:
    graph = bundle.graphs[file]
    check_opset(file, graph, bundle.manifest.opset)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = False  # a pattern is planned per input shape, and almost every batch has its own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the loaders need the cores meanwhile
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:
        raise BundleError(f"{file}: ONNX Runtime cannot load this graph: {error}") from error
    check_signature(file, Signature(_ports(session.get_inputs()), _ports(session.get_outputs())), expected)
    return session


def _ports(nodes: Sequence[Any]) -> dict[str, Port]:
    return {
        node.name: Port(node.type, tuple(axis if isinstance(axis, int) else FREE for axis in node.shape))
        for node in nodes
    }

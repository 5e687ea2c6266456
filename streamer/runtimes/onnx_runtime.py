"""Runs the bundle's graphs in ONNX Runtime; of the streamer, only ``picture_networks`` imports it as well.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M streams of the bundle.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
)
from schemas.errors import BundleError, ConfigurationError, InferenceFailed
from schemas.escaping import shortened
from schemas.export_profiles import Precision
from schemas.modalities import Modality
from schemas.ports import Bool, Float32, FusionResult, Int64, StreamResult
from streamer.runtimes.graph_signatures import (
    FREE,
    Signature,
    Tensor,
    check_signature,
    fusion_signature,
    stream_signature,
)
from streamer.runtimes.limits import check_precisions, check_steps

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
_MAX_QUOTED: Final = 1024
_ERRORS_ONLY: Final = 3


class OnnxRuntime:
    """``ModelRuntime`` with one session for each graph of a bundle.

    Its providers are ``cuda`` and ``cpu``. Raises what ``RuntimeFactory`` says, also ``ConfigurationError`` if CUDA is
    the only provider that is allowed and cannot be started.
    """

    def __init__(self, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0) -> None:
        manifest = self.manifest = bundle.manifest
        chosen = choose_providers(providers)
        check_precisions(
            bundle,
            (Precision.FLOAT32,),
            "ONNX Runtime",
            'set streamer.runtime = "openvino" where that is installed, or export the checkpoint with --profile fast',
        )
        self._streams = {
            stream.modality: _open(bundle, stream.file, stream_signature(manifest, stream.modality), chosen, threads)
            for stream in manifest.streams
        }
        self._fusion = _open(bundle, manifest.fusion.file, fusion_signature(manifest), chosen, threads)
        self.providers: Mapping[Modality | None, str] = {
            modality: session.get_providers()[0] for modality, session in (*self._streams.items(), (None, self._fusion))
        }
        if "cpu" not in providers and (fallen := set(self.providers.values()) & {_PROVIDERS["cpu"]}):
            raise ConfigurationError(
                f"{', '.join(providers)} could not be started and ONNX Runtime fell back to {', '.join(fallen)}; "
                "check the driver and its libraries, or allow cpu",
                field="providers",
            )

    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        check_steps(self.manifest, modality, lengths)
        outputs = _run(
            self._streams[modality], (EMBEDDING, SCORE), {FRAMES: frames, LENGTHS: lengths}, f"{modality} stream"
        )
        return StreamResult(*outputs)

    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
        return FusionResult(*_run(self._fusion, (ATTENTION, FUSED_SCORE), inputs, "fusion"))

    def close(self) -> None:
        self._streams.clear()
        self._fusion = None


def _run(session: Any, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]], what: str) -> list[Any]:
    try:
        results: list[Any] = session.run(list(outputs), inputs)
    except Exception as error:
        # ONNX Runtime's exceptions have no common base class but Exception.
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        raise InferenceFailed(f"{what} failed on {shapes}: {error}") from error
    return results


def choose_providers(providers: Sequence[str]) -> list[tuple[str, dict[str, object]]]:
    """Those of ``providers`` (``cuda``, ``cpu``) that this machine has, as ONNX Runtime takes them.

    Raises ``ConfigurationError`` for a name that is not known, and if none is available.
    """
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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = False  # a pattern is planned per input shape, and almost every batch has its own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the loaders need the cores meanwhile
    try:
        # It prints when it tries another provider; with one there is no other.
        falls_back = int(len(providers) > 1)
        session = onnxruntime.InferenceSession(
            bundle.graphs[file], options, providers=providers, enable_fallback=falls_back
        )
        found = Signature(_tensors(session.get_inputs()), _tensors(session.get_outputs()))  # names may not be UTF-8
    except Exception as error:
        raise BundleError(
            f"{file}: ONNX Runtime cannot load this graph: {shortened(str(error), _MAX_QUOTED)}"
        ) from error
    check_signature(file, found, expected)
    return session


def _tensors(nodes: Sequence[Any]) -> dict[str, Tensor]:
    return {
        node.name: Tensor(node.type, tuple(axis if isinstance(axis, int) else FREE for axis in node.shape))
        for node in nodes
    }

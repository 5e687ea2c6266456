"""Runs the bundle's graphs in ONNX Runtime, whose sessions other modules of this package open and run by it.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M streams of the bundle.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    TEMPORAL_ATTENTION,
    Bundle,
)
from schemas.errors import BundleError, ConfigurationError, InferenceFailed
from schemas.escaping import shortened
from schemas.export_profiles import Precision
from schemas.features import Frames
from schemas.modalities import Modality
from schemas.ports import Bool, Float32, FusionResult, Int64, StreamResult
from streamer.runtimes.device_streams import DeviceStream
from streamer.runtimes.graph_signatures import (
    FREE,
    Signature,
    Tensor,
    check_signature,
    fusion_signature,
    reads_half,
    stream_signature,
)
from streamer.runtimes.limits import check_precisions, check_steps
from streamer.runtimes.session_memory import forget_file

Provider = tuple[str, dict[str, object]]
"""As ONNX Runtime takes it: its name and options."""

_PROVIDERS: Final = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda-graphs": "CUDAExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# Lengths vary from batch to batch: searching the best convolution for every new shape would cost more than it saves,
# and doubling arenas would keep twice the largest batch. TF32 has ten bits of mantissa, too few for a parity of 1e-5.
_CUDA: Final[dict[str, object]] = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
    "use_tf32": 0,
}
_OPTIONS: Final[dict[str, dict[str, object]]] = {
    "tensorrt": {},
    "cuda-graphs": {**_CUDA, "enable_cuda_graph": "1"},
    "cuda": _CUDA,
    "cpu": {},
}
_ON_A_GPU: Final = (_PROVIDERS["tensorrt"], _PROVIDERS["cuda"])
_MAX_QUOTED: Final = 1024
_ERRORS_ONLY: Final = 3


class OnnxRuntime:
    """``ModelRuntime`` with one session for each graph of a bundle.

    Its providers are ``tensorrt``, ``cuda-graphs``, ``cuda`` and ``cpu``; on a GPU streams run as ``DeviceStream``
    says, with ``cuda-graphs`` captured by shape. Raises what ``RuntimeFactory`` says, also ``ConfigurationError`` if
    the CPU is not allowed and nothing else can be started.
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
        self._streams: dict[Modality, Any] = {}
        self._halves: dict[Modality, bool] = {}
        for stream in manifest.streams:
            modality = stream.modality
            self._streams[modality], found = open_session(bundle, stream.file, chosen, threads)
            self._halves[modality] = reads_half(found)
            check_signature(stream.file, found, stream_signature(manifest, modality, half=self._halves[modality]))
        self._fusion, found = open_session(bundle, manifest.fusion.file, without_cuda_graphs(chosen), threads)
        check_signature(manifest.fusion.file, found, fusion_signature(manifest))
        self.providers: Mapping[Modality | None, str] = {
            modality: session.get_providers()[0] for modality, session in (*self._streams.items(), (None, self._fusion))
        }
        if "cpu" not in providers and (fallen := set(self.providers.values()) & {_PROVIDERS["cpu"]}):
            raise ConfigurationError(
                f"{', '.join(providers)} could not be started and ONNX Runtime fell back to {', '.join(fallen)}; "
                "check the driver and its libraries, or allow cpu",
                field="providers",
            )

        self._bound = self._bound_to(_device_of(self._streams, chosen), chosen)
        self.reads_half = frozenset(self._bound) | {modality for modality, half in self._halves.items() if half}

    def _bound_to(self, devices: Mapping[Modality, str], chosen: Sequence[Provider]) -> dict[Modality, DeviceStream]:
        """The streams that run on a device other than the CPU."""
        return {
            modality: DeviceStream(
                self._streams[modality],
                device=device,
                providers=without_cuda_graphs(chosen),
                half=self._halves[modality],
                width=self.manifest.stream(modality).embedding_dim,
                parts=len(self.manifest.stream(modality).attention),
                graphs=any("enable_cuda_graph" in options for _, options in chosen),
            )
            for modality, device in devices.items()
        }

    def run_stream(self, modality: Modality, frames: Frames, lengths: Int64) -> StreamResult:
        check_steps(self.manifest, modality, lengths)
        if modality in self._bound:
            try:
                return self._bound[modality].run(frames, lengths)
            except Exception as error:
                raise _failed(f"{modality} stream", {FRAMES: frames, LENGTHS: lengths}, error) from error
        inputs = {FRAMES: frames.astype(np.float16) if self._halves[modality] else frames, LENGTHS: lengths}
        outputs = [EMBEDDING, SCORE, TEMPORAL_ATTENTION][: 3 if self.manifest.stream(modality).attention else 2]
        return StreamResult(*run_session(self._streams[modality], outputs, inputs, f"{modality} stream"))

    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
        return FusionResult(*run_session(self._fusion, (ATTENTION, FUSED_SCORE), inputs, "fusion"))

    def close(self) -> None:
        self._streams.clear()
        self._bound.clear()
        self._fusion = None


def run_session(session: Any, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]], what: str) -> list[Any]:
    """The ``outputs`` for ``inputs``. Raises ``InferenceFailed`` naming ``what`` and the shapes."""
    try:
        results: list[Any] = session.run(list(outputs), inputs)
    except Exception as error:
        # ONNX Runtime's exceptions have no common base class but Exception.
        raise _failed(what, inputs, error) from error
    return results


def _failed(what: str, inputs: Mapping[str, npt.NDArray[Any]], error: Exception) -> InferenceFailed:
    shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
    return InferenceFailed(f"{what} failed on {shapes}: {error}")


def _device_of(streams: Mapping[Modality, Any], chosen: Sequence[Provider]) -> dict[Modality, str]:
    """The device of each stream that runs on one of ``chosen`` other than the CPU."""
    gpus = {name for name, _ in chosen if name in _ON_A_GPU}
    return {modality: "cuda" for modality, session in streams.items() if session.get_providers()[0] in gpus}


def without_cuda_graphs(chosen: Sequence[Provider]) -> list[Provider]:
    """Providers for graphs whose inputs are not bound, which cannot be captured."""
    return [(name, {key: value for key, value in each.items() if key != "enable_cuda_graph"}) for name, each in chosen]


def choose_providers(providers: Sequence[str]) -> list[Provider]:
    """Those of ``providers`` (``tensorrt``, ``cuda-graphs``, ``cuda``, ``cpu``) that this machine has, as ONNX Runtime
    takes them.

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
    if any(name in _ON_A_GPU for name, _ in chosen):
        onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed
    return chosen


def open_session(bundle: Bundle, file: str, providers: Sequence[Provider], threads: int) -> tuple[Any, Signature]:
    """The session of a graph, and its inputs and outputs."""
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
        if not falls_back:
            forget_file(session)
        found = Signature(_tensors(session.get_inputs()), _tensors(session.get_outputs()))  # names may not be UTF-8
    except Exception as error:
        raise BundleError(
            f"{file}: ONNX Runtime cannot load this graph: {shortened(str(error), _MAX_QUOTED)}"
        ) from error
    return session, found


def _tensors(nodes: Sequence[Any]) -> dict[str, Tensor]:
    return {
        node.name: Tensor(node.type, tuple(axis if isinstance(axis, int) else FREE for axis in node.shape))
        for node in nodes
    }

"""Runs the bundle's graphs in OpenVINO on the CPU, in float32 or bfloat16; no other module of the streamer imports it.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M streams of the bundle.
"""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino

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
from streamer.runtimes.shape_grid import STEPS_WARMED_S, clips_together, step_buckets, steps_rounded

_DEVICE: Final = "CPU"
_KNOWN: Final = ("cpu", "cuda")
"""Names of providers; cuda, which the settings name by default, is never here."""
_HINTS: Final = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}
_ELEMENT_TYPES: Final = {
    "f32": "tensor(float)",
    "f16": "tensor(float16)",
    "i64": "tensor(int64)",
    "boolean": "tensor(bool)",
}
_MAX_QUOTED: Final = 1024


class OpenVinoRuntime:
    """``ModelRuntime`` with one compiled model for each graph of a bundle.

    Kernels are made for each shape that is new, in 10 to 200 ms, so shapes are rounded to a grid: a batch runs as
    groups of 4, 2 and 1 clips, in steps that are rounded up. Its one provider is ``cpu``; ``cuda`` is passed over.
    Raises what ``RuntimeFactory`` says, also ``BundleError`` for a bundle in bfloat16 on a processor without it.
    """

    def __init__(self, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0) -> None:
        _check_providers(providers)
        manifest = self.manifest = bundle.manifest
        core = openvino.Core()
        self.precisions = [Precision.FLOAT32]
        if "BF16" in _capabilities(core):
            self.precisions.append(Precision.BFLOAT16)
        check_precisions(
            bundle,
            self.precisions,
            "OpenVINO on this processor",
            "run it on one with bfloat16 (avx512_bf16 or AMX), or export the checkpoint with --profile fast",
        )
        self._streams: dict[Modality, _Stream] = {}
        for stream in manifest.streams:
            model, found = _read(core, bundle, stream.file)
            half = reads_half(found)
            check_signature(stream.file, found, stream_signature(manifest, stream.modality, half=half))
            compiled = _compiled(core, model, stream.file, stream.precision, threads)
            self._streams[stream.modality] = _Stream(compiled, stream.embedding_dim, len(stream.attention), half)
        self.reads_half = frozenset(modality for modality, stream in self._streams.items() if stream.half)
        fusion, found = _read(core, bundle, manifest.fusion.file)
        check_signature(manifest.fusion.file, found, fusion_signature(manifest))
        self._fusion_lock = Lock()
        fused = _compiled(core, fusion, manifest.fusion.file, Precision.FLOAT32, threads)
        self._fusion: Any = fused.create_infer_request()
        self.providers: Mapping[Modality | None, str] = {
            **{stream.modality: f"OpenVINO {_DEVICE} {stream.precision}" for stream in manifest.streams},
            None: f"OpenVINO {_DEVICE} float32",
        }

    def shape_buckets(self, modality: Modality) -> list[tuple[int, int]]:
        """The shapes (clips, steps) that clips of up to ``STEPS_WARMED_S`` run in."""
        longest = min(round(STEPS_WARMED_S * modality.rate_hz), self.manifest.profile.longest.get(modality, 1 << 31))
        return [(clips, min(steps, longest)) for steps in step_buckets(longest) for clips in clips_together(7)]

    def run_stream(self, modality: Modality, frames: Frames, lengths: Int64) -> StreamResult:
        check_steps(self.manifest, modality, lengths)
        try:
            return self._streams[modality].run(frames, lengths)
        except Exception as error:
            raise InferenceFailed(
                f"{modality} stream failed on {FRAMES} {frames.shape}, {LENGTHS} {lengths.shape}: {error}"
            ) from error

    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        try:
            inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
            with self._fusion_lock:
                found = self._fusion.infer(inputs, share_inputs=True)
                return FusionResult(np.array(found[ATTENTION]), np.array(found[FUSED_SCORE]))
        except Exception as error:
            raise InferenceFailed(f"fusion failed on {EMBEDDINGS} {embeddings.shape}: {error}") from error

    def close(self) -> None:
        self._streams.clear()
        self._fusion = None


class _Stream:
    def __init__(self, compiled: Any, width: int, parts: int, half: bool) -> None:
        self.half = half
        self._request = compiled.create_infer_request()
        self._width, self._parts = width, parts
        self._lock = Lock()
        self._memory: npt.NDArray[Any] = np.empty(0, np.float32)

    def run(self, frames: Frames, lengths: Int64) -> StreamResult:
        count = len(lengths)
        if self.half and frames.dtype != np.float16:
            frames = frames.astype(np.float16)
        if len(frames) != count:
            raise ValueError(f"{len(frames)} clips and {count} lengths")
        embeddings, scores = np.empty((count, self._width), np.float32), np.empty(count, np.float32)
        steps = frames.shape[1]
        attention = np.empty((count, self._parts, steps), np.float32) if self._parts else None
        start = 0
        with self._lock:
            for clips in clips_together(count):
                rows = slice(start, start + clips)
                inputs = {FRAMES: self._on_the_grid(frames[rows]), LENGTHS: lengths[rows]}
                found = self._request.infer(inputs, share_inputs=True)
                embeddings[rows], scores[rows] = found[EMBEDDING], found[SCORE]
                if attention is not None:
                    attention[rows] = found[TEMPORAL_ATTENTION][:, :, :steps]
                start += clips
        return StreamResult(embeddings, scores, attention)

    def _on_the_grid(self, frames: Frames) -> npt.NDArray[Any]:
        """``frames`` (N, T, ...) with more steps of padding, zero, if they are between two buckets."""
        clips, steps, *shape = frames.shape
        rounded = steps_rounded(steps)
        if rounded == steps:
            return np.ascontiguousarray(frames)
        size = clips * rounded * int(np.prod(shape))
        if self._memory.size < size or self._memory.dtype != frames.dtype:
            self._memory = np.empty(size, frames.dtype)
        padded = self._memory[:size].reshape(clips, rounded, *shape)
        padded[:, :steps], padded[:, steps:] = frames, 0
        return padded


def _check_providers(providers: Sequence[str]) -> None:
    unknown = [name for name in providers if name not in _KNOWN]
    if unknown or not providers:
        raise ConfigurationError(
            f"providers {', '.join(unknown) or '(none)'} not known to OpenVINO here; choose cpu", field="providers"
        )
    if "cpu" not in providers:
        raise ConfigurationError(
            f"none of {', '.join(providers)} is available in OpenVINO; allow cpu, or set streamer.runtime to "
            "onnxruntime",
            field="providers",
        )


def _read(core: Any, bundle: Bundle, file: str) -> tuple[Any, Signature]:
    """The model of a graph, and its inputs and outputs."""
    try:
        model = core.read_model(bundle.graphs[file])
        return model, Signature(_tensors(model.inputs), _tensors(model.outputs))
    except Exception as error:
        raise BundleError(f"{file}: OpenVINO cannot load this graph: {shortened(str(error), _MAX_QUOTED)}") from error


def _compiled(core: Any, model: Any, file: str, precision: Precision, threads: int) -> Any:
    options = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # processes that share a machine would all take its first cores
    }
    try:
        compiled = core.compile_model(model, _DEVICE, options)
        chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    except Exception as error:
        raise BundleError(
            f"{file}: OpenVINO cannot compile this graph: {shortened(str(error), _MAX_QUOTED)}"
        ) from error
    if chosen != _HINTS[precision]:
        raise BundleError(f"{file}: OpenVINO computes in {chosen}, and the bundle says {precision}")
    return compiled


def _tensors(ports: Sequence[Any]) -> dict[str, Tensor]:
    found = {}
    for port in ports:
        kind = port.get_element_type().get_type_name()
        axes = tuple(FREE if axis.is_dynamic else axis.get_length() for axis in port.get_partial_shape())
        found[port.get_any_name()] = Tensor(_ELEMENT_TYPES.get(kind, kind), axes)
    return found


def _capabilities(core: Any) -> Sequence[str]:
    found: Sequence[str] = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    return found

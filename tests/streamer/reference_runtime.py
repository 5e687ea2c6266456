"""A third-party runtime: ONNX's reference implementation, in NumPy and slow."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator

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

ELEMENT_TYPES = {
    onnx.TensorProto.FLOAT: "tensor(float)",
    onnx.TensorProto.INT64: "tensor(int64)",
    onnx.TensorProto.BOOL: "tensor(bool)",
}


class ReferenceRuntime:
    """``ModelRuntime`` on the one provider ``numpy``; ``cpu`` means the same."""

    def __init__(self, bundle: Bundle, *, providers: Sequence[str] = ("numpy",), threads: int = 0) -> None:
        if unknown := set(providers) - {"numpy", "cpu"}:
            raise ConfigurationError(f"providers {', '.join(unknown)} not known; choose numpy", field="providers")
        manifest = self.manifest = bundle.manifest
        self.providers: Mapping[Modality | None, str] = dict.fromkeys((*manifest.modalities, None), "numpy")
        self._graphs = {
            stream.modality: load(bundle, stream.file, stream_signature(manifest, stream.modality))
            for stream in manifest.streams
        }
        self._fusion = load(bundle, manifest.fusion.file, fusion_signature(manifest))

    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        outputs = (EMBEDDING, SCORE, TEMPORAL_ATTENTION)[: 3 if self.manifest.stream(modality).attention else 2]
        return StreamResult(*run(self._graphs[modality], outputs, {FRAMES: frames, LENGTHS: lengths}))

    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        inputs = {EMBEDDINGS: embeddings, SCORES: scores, PRESENT: present}
        return FusionResult(*run(self._fusion, (ATTENTION, FUSED_SCORE), inputs))

    def close(self) -> None:
        self._graphs.clear()


def load(bundle: Bundle, file: str, expected: Signature) -> ReferenceEvaluator:
    try:
        model = onnx.load_from_string(bundle.graphs[file])
        onnx.checker.check_model(model)
    except Exception as error:
        raise BundleError(f"{file}: not an ONNX model: {error}") from error
    check_signature(file, Signature(tensors(model.graph.input), tensors(model.graph.output)), expected)
    return ReferenceEvaluator(model)


def tensors(values: Sequence[onnx.ValueInfoProto]) -> dict[str, Tensor]:
    types = {value.name: value.type.tensor_type for value in values}
    return {
        name: Tensor(
            ELEMENT_TYPES[found.elem_type],
            tuple(axis.dim_value if axis.HasField("dim_value") else FREE for axis in found.shape.dim),
        )
        for name, found in types.items()
    }


def run(graph: ReferenceEvaluator, outputs: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
    try:
        return graph.run(list(outputs), dict(inputs))
    except Exception as error:
        raise InferenceFailed(f"the reference implementation failed: {error}") from error

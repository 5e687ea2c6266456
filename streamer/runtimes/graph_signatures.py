"""Checks that a graph has the inputs and outputs that the bundle's manifest says, without running it.

Element types are written as ONNX Runtime writes them (``tensor(float)``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.bundle import (
    ATTENTION,
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
    TEMPORAL_ATTENTION,
    BundleManifest,
)
from schemas.errors import BundleError
from schemas.modalities import Modality

FREE: Final = None
"""An axis of any length: clips N or time steps T."""

Axes = tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """One input or output of a graph. A fixed axis has its length, a free one ``FREE``."""

    element_type: str
    axes: Axes


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


HALF: Final = "tensor(float16)"


def stream_signature(manifest: BundleManifest, modality: Modality, *, half: bool = False) -> Signature:
    """The signature that the graph of a stream must have (table in ``schemas.bundle``), which may read float16."""
    stream = manifest.stream(modality)
    outputs = {
        EMBEDDING: Tensor("tensor(float)", (FREE, stream.embedding_dim)),
        SCORE: Tensor("tensor(float)", (FREE,)),
    }
    if stream.attention:
        outputs[TEMPORAL_ATTENTION] = Tensor("tensor(float)", (FREE, len(stream.attention), FREE))
    return Signature(
        {
            FRAMES: Tensor(HALF if half else "tensor(float)", (FREE, FREE, *manifest.step_shape(modality))),
            LENGTHS: Tensor("tensor(int64)", (FREE,)),
        },
        outputs,
    )


def fusion_signature(manifest: BundleManifest) -> Signature:
    """The signature that the fusion graph must have (table in ``schemas.bundle``)."""
    streams = len(manifest.fused_streams)
    return Signature(
        {
            EMBEDDINGS: Tensor("tensor(float)", (FREE, manifest.embedding_width)),
            SCORES: Tensor("tensor(float)", (FREE, streams)),
            PRESENT: Tensor("tensor(bool)", (FREE, streams)),
        },
        {ATTENTION: Tensor("tensor(float)", (FREE, streams)), FUSED_SCORE: Tensor("tensor(float)", (FREE,))},
    )


def stream_gradient_signature(manifest: BundleManifest, modality: Modality) -> Signature:
    """The signature that the gradient graph of a stream must have (``schemas.bundle.GuidanceGraphs``)."""
    plain = stream_signature(manifest, modality)
    seeds = {SCORE_SEED: plain.outputs[SCORE], EMBEDDING_SEED: plain.outputs[EMBEDDING]}
    return Signature({**plain.inputs, **seeds}, {**plain.outputs, FRAMES_GRADIENT: plain.inputs[FRAMES]})


def fusion_gradient_signature(manifest: BundleManifest) -> Signature:
    """The signature that the gradient graph of the fusion must have (``schemas.bundle.GuidanceGraphs``)."""
    plain = fusion_signature(manifest)
    gradients = {EMBEDDINGS_GRADIENT: plain.inputs[EMBEDDINGS], SCORES_GRADIENT: plain.inputs[SCORES]}
    return Signature({**plain.inputs, FUSED_SEED: plain.outputs[FUSED_SCORE]}, {**plain.outputs, **gradients})


def reads_half(found: Signature) -> bool:
    """Whether a graph takes its frames in float16."""
    return FRAMES in found.inputs and found.inputs[FRAMES].element_type == HALF


def check_signature(file: str, found: Signature, expected: Signature) -> None:
    """Raise ``BundleError`` naming the file and the input or output that differs.

    Free axes must be free. Fixed axes of inputs must have their length; those of outputs may be unknown.
    """
    sides = (("input", found.inputs, expected.inputs, False), ("output", found.outputs, expected.outputs, True))
    for side, tensors, wanted, may_be_unknown in sides:
        if set(tensors) != set(wanted):
            raise BundleError(
                f"{file}: {side}s are {_names(tensors)}, expected {_names(wanted)}; export the bundle again"
            )
        for name, tensor in wanted.items():
            actual = tensors[name]
            if actual.element_type != tensor.element_type or not _fits(actual.axes, tensor.axes, may_be_unknown):
                raise BundleError(
                    f"{file}: {side} {name!r} is {_shown(actual)}, the manifest means {_shown(tensor)}; export the "
                    "bundle again"
                )


def _fits(actual: Axes, expected: Axes, may_be_unknown: bool) -> bool:
    return len(actual) == len(expected) and all(
        a == e or (may_be_unknown and a is FREE) for a, e in zip(actual, expected, strict=True)
    )


def _names(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors)) or "none"


def _shown(tensor: Tensor) -> str:
    return f"{tensor.element_type} of shape ({', '.join('any' if axis is FREE else str(axis) for axis in tensor.axes)})"

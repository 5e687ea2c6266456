"""The contents of a bundle as plain rows, read from its manifest and files alone; needs neither torch nor onnx.

Shapes use the legend N clips, T time steps, V joints; the other sizes are numbers.
"""

from dataclasses import dataclass

import msgspec

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
    Bundle,
    BundleManifest,
)
from schemas.modalities import Modality
from schemas.style_classifier import FAMILIARITY, LOGITS, StyleClassifier


@dataclass(frozen=True)
class GraphDescription:
    """One graph of a bundle. ``parameters`` is the number of trained values, ``None`` if the manifest does not say."""

    name: str
    file: str
    size_bytes: int
    parameters: int | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    sha256: str


def describe(bundle: Bundle) -> tuple[GraphDescription, ...]:
    """The streams of ``bundle`` in their order, the fusion, its gradient graphs, then the style classifier.

    Inputs and outputs are written as ``frames (N, T, 512) float32``.
    """
    manifest = bundle.manifest
    interfaces = {
        **{str(modality): _stream_interface(manifest, modality) for modality in manifest.modalities},
        "fusion": _fusion_interface(manifest),
        **_gradient_interfaces(manifest),
    }
    described = []
    entries = (*manifest.files(), *manifest.gradient_files())
    for (name, (inputs, outputs)), entry in zip(interfaces.items(), entries, strict=True):
        parameters = manifest.architecture.get(f"parameters.{name}", "")
        described.append(
            GraphDescription(
                name=name,
                file=entry.file,
                size_bytes=len(bundle.graphs[entry.file]),
                parameters=int(parameters) if parameters.isdecimal() else None,
                inputs=inputs,
                outputs=outputs,
                opset=manifest.opset,
                sha256=entry.sha256,
            )
        )
    if (styles := manifest.classifier) is not None:
        described.append(_styles(bundle, styles))
    return tuple(described)


def _styles(bundle: Bundle, styles: StyleClassifier) -> GraphDescription:
    shape = f"{styles.layout.joint_count}, {styles.layout.coordinates}"
    return GraphDescription(
        name="styles",
        file=styles.file,
        size_bytes=len(bundle.graphs[styles.file]),
        parameters=None,
        inputs=(f"{FRAMES} (N, T, {shape}) float32", f"{LENGTHS} (N,) int64"),
        outputs=(f"{LOGITS} (N, {len(styles.styles)}) float32", f"{FAMILIARITY} (N,) float32"),
        opset=bundle.manifest.opset,
        sha256=styles.sha256,
    )


Interface = tuple[tuple[str, ...], tuple[str, ...]]
"""Inputs and outputs of a graph."""


def _fusion_interface(manifest: BundleManifest) -> Interface:
    streams, width = len(manifest.fused_streams), manifest.embedding_width
    return (
        (f"{EMBEDDINGS} (N, {width}) float32", f"{SCORES} (N, {streams}) float32", f"{PRESENT} (N, {streams}) bool"),
        (f"{ATTENTION} (N, {streams}) float32", f"{FUSED_SCORE} (N,) float32"),
    )


def _gradient_interfaces(manifest: BundleManifest) -> dict[str, Interface]:
    """Of the gradient graphs, what they have beside the graphs that they differentiate."""
    graphs = manifest.guidance
    if isinstance(graphs, msgspec.UnsetType):
        return {}
    step = ", ".join(map(str, manifest.step_shape(graphs.modality)))
    streams, width = len(manifest.fused_streams), manifest.embedding_width
    stream, fusion = _stream_interface(manifest, graphs.modality), _fusion_interface(manifest)
    seeds = (
        f"{SCORE_SEED} (N,) float32",
        f"{EMBEDDING_SEED} (N, {manifest.stream(graphs.modality).embedding_dim}) float32",
    )
    gradients = (f"{EMBEDDINGS_GRADIENT} (N, {width}) float32", f"{SCORES_GRADIENT} (N, {streams}) float32")
    return {
        f"gradient of {graphs.modality}": (
            (*stream[0], *seeds),
            (*stream[1], f"{FRAMES_GRADIENT} (N, T, {step}) float32"),
        ),
        "gradient of fusion": ((*fusion[0], f"{FUSED_SEED} (N,) float32"), (*fusion[1], *gradients)),
    }


def _stream_interface(manifest: BundleManifest, modality: Modality) -> Interface:
    step, stream = ", ".join(map(str, manifest.step_shape(modality))), manifest.stream(modality)
    attended = (f"{TEMPORAL_ATTENTION} (N, {len(stream.attention)}, T) float32",) if stream.attention else ()
    return (
        (f"{FRAMES} (N, T, {step}) float32", f"{LENGTHS} (N,) int64"),
        (f"{EMBEDDING} (N, {stream.embedding_dim}) float32", f"{SCORE} (N,) float32", *attended),
    )

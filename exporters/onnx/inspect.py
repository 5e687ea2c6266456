"""The contents of a bundle as plain rows, read from its manifest and files alone; needs neither torch nor onnx.

Shapes use the legend N clips, T time steps, V joints; the other sizes are numbers.
"""

from dataclasses import dataclass

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
from schemas.modalities import Modality


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
    """The streams of ``bundle`` in their order, then the fusion. Inputs and outputs are written as
    ``frames (N, T, 512) float32``.
    """
    manifest = bundle.manifest
    streams, width = len(manifest.streams), manifest.embedding_width
    interfaces = {
        **{str(modality): _stream_interface(manifest, modality) for modality in manifest.modalities},
        "fusion": (
            (
                f"{EMBEDDINGS} (N, {width}) float32",
                f"{SCORES} (N, {streams}) float32",
                f"{PRESENT} (N, {streams}) bool",
            ),
            (f"{ATTENTION} (N, {streams}) float32", f"{FUSED_SCORE} (N,) float32"),
        ),
    }
    described = []
    for (name, (inputs, outputs)), entry in zip(interfaces.items(), manifest.files(), strict=True):
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
    return tuple(described)


def _stream_interface(manifest: BundleManifest, modality: Modality) -> tuple[tuple[str, ...], tuple[str, ...]]:
    step = ", ".join(map(str, manifest.step_shape(modality)))
    return (
        (f"{FRAMES} (N, T, {step}) float32", f"{LENGTHS} (N,) int64"),
        (f"{EMBEDDING} (N, {manifest.stream(modality).embedding_dim}) float32", f"{SCORE} (N,) float32"),
    )

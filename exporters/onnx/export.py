"""Export of a trained model as a bundle; the bundle is written and verified as a whole, or not at all."""

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from exporters.onnx.bundle_folders import check_bundle_folder
from exporters.onnx.graphs import OPSET, fusion_graph, stream_graph
from exporters.onnx.parity import check_fusion, check_stream
from networks.virality_model import ViralityModel
from schemas.bundle import (
    MANIFEST_NAME,
    BundleManifest,
    GraphFile,
    StreamGraph,
    generation_of,
    read_bundle,
    sha256_hex,
)
from schemas.export_profiles import DEFAULT_PROFILE, ExportProfile, Profile
from schemas.training_distribution import TrainingDistribution

FUSION_FILE = "fusion.onnx"


def export_bundle(
    model: ViralityModel,
    folder: Path,
    *,
    training_data: str,
    metrics: Mapping[str, float],
    distribution: TrainingDistribution | None = None,
    profile: Profile = DEFAULT_PROFILE,
    overwrite: bool = False,
) -> BundleManifest:
    """Write ``model`` as a bundle at ``folder`` and return its manifest.

    ``training_data`` is a fingerprint of the training data, ``metrics`` are the metrics of the trained model,
    ``distribution`` is what its training clips state of their distribution. ``profile`` is how the graphs are made.
    Everything is exported and checked against ONNX Runtime in a hidden folder beside ``folder``, which replaces
    ``folder`` last. Raises ``BundleError`` if ``folder`` exists (``overwrite`` replaces a bundle, nothing
    else), or if a graph does not compute what torch computes; nothing is written then.
    """
    check_bundle_folder(folder, overwrite=overwrite)
    model = copy.deepcopy(model).cpu().eval()
    graphs: dict[str, bytes] = {}
    agreement: dict[str, float] = {}
    for modality in model.config.modalities:
        graphs[f"{modality}.onnx"] = graph = stream_graph(model, modality, profile)
        for name, difference in check_stream(model, modality, graph)._asdict().items():
            agreement[f"{modality} {name}"] = float(f"{difference:.1e}")
    graphs[FUSION_FILE] = fusion_graph(model)
    check_fusion(model, graphs[FUSION_FILE])
    manifest = _manifest(model, graphs, training_data, metrics, distribution or {}, ExportProfile(profile, agreement))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "bundle"
        staged.mkdir()
        for name, content in graphs.items():
            (staged / name).write_bytes(content)
        (staged / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        read_bundle(staged)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        staged.rename(folder)
    return manifest


def _manifest(
    model: ViralityModel,
    graphs: Mapping[str, bytes],
    training_data: str,
    metrics: Mapping[str, float],
    distribution: TrainingDistribution,
    profile: ExportProfile,
) -> BundleManifest:
    config = model.config
    streams = tuple(
        StreamGraph(
            modality=modality,
            file=f"{modality}.onnx",
            sha256=sha256_hex(graphs[f"{modality}.onnx"]),
            input_channels=config.input_channels(modality),
            embedding_dim=width,
        )
        for modality, width in zip(config.modalities, model.embedding_dims, strict=True)
    )
    manifest = BundleManifest(
        generation="",
        streams=streams,
        fusion=GraphFile(FUSION_FILE, sha256_hex(graphs[FUSION_FILE])),
        opset=OPSET,
        joint_layout=config.joint_layout if any(m.has_joints for m in config.modalities) else None,
        training_data=training_data,
        metrics=dict(metrics),
        training_distribution=distribution,
        profile=profile,
        architecture=_architecture(model),
    )
    return msgspec.structs.replace(manifest, generation=generation_of(manifest))


def _architecture(model: ViralityModel) -> dict[str, str]:
    """The configuration, flat, and ``parameters.<graph>``: the number of trained values in each graph."""
    sizes = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in msgspec.to_builtins(model.config).items()
        if name != "modalities"
    }
    networks = {**{str(m): model.stream(m) for m in model.config.modalities}, "fusion": model.fusion}
    return sizes | {
        f"parameters.{name}": str(sum(parameter.numel() for parameter in network.parameters()))
        for name, network in networks.items()
    }

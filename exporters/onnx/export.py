"""Export of a trained model as a bundle; the bundle is written and verified as a whole, or not at all."""

import copy
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from exporters.onnx.bundle_folders import check_bundle_folder
from exporters.onnx.fewer_bits import Calibration, StreamForm, as_they_are, in_fewer_bits, server_of
from exporters.onnx.graphs import OPSET, fusion_graph, stream_graph
from exporters.onnx.guidance import guidance_graphs
from exporters.onnx.parity import check_fusion, check_stream
from exporters.onnx.parity_sample import SAMPLE_FILE, parity_sample
from networks.datasets import Features
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
from schemas.errors import BundleError
from schemas.export_profiles import DEFAULT_PROFILE, ExportProfile, Profile, Server
from schemas.modalities import Modality
from schemas.training_distribution import TrainingDistribution
from schemas.virality_target import EQ1, FittedTarget

FUSION_FILE = "fusion.onnx"


def export_bundle(
    model: ViralityModel,
    folder: Path,
    *,
    training_data: str,
    metrics: Mapping[str, float],
    distribution: TrainingDistribution | None = None,
    target: FittedTarget = EQ1,
    profile: Profile = DEFAULT_PROFILE,
    calibration: Calibration | None = None,
    server: Server | None = None,
    overwrite: bool = False,
) -> BundleManifest:
    """Write ``model`` as a bundle at ``folder`` and return its manifest.

    ``training_data`` is a fingerprint of the training data, ``metrics`` are the metrics of the trained model,
    ``distribution`` is what its training clips state of their distribution, ``target`` what it has learned to predict.
    ``profile`` is how the graphs are made; those in fewer bits need clips for ``calibration``, and ``server`` may name
    the runtime that they are for.
    Everything is exported and checked against ONNX Runtime in a hidden folder beside ``folder``, which replaces
    ``folder`` last. Raises ``BundleError`` if ``folder`` exists (``overwrite`` replaces a bundle, nothing
    else), if a graph does not compute what torch computes, or as ``in_fewer_bits`` does; nothing is written then.
    """
    check_bundle_folder(folder, overwrite=overwrite)
    model = copy.deepcopy(model).cpu().eval()
    server = server_of(profile, server)
    graphs, agreement = dict[Modality, bytes](), dict[str, float]()
    for modality in model.config.modalities:
        graphs[modality] = graph = stream_graph(model, modality, profile)
        for name, difference in check_stream(model, modality, graph)._asdict().items():
            agreement[f"{modality} {name}"] = float(f"{difference:.1e}")
    fusion = fusion_graph(model)
    check_fusion(model, fusion)
    streams, made = as_they_are(graphs), ExportProfile(profile, agreement)
    if profile.calibrated:
        if calibration is None:
            raise BundleError(f"the profile {profile} needs clips to calibrate on; name a data set with --calibrate-on")
        streams, reached, longest = in_fewer_bits(graphs, fusion, profile, calibration, server)
        eight_bits = tuple(modality for modality, form in streams.items() if form.quantised)
        made = ExportProfile(profile, agreement | reached, eight_bits, calibration.source, longest=longest)
    sampled = _clip_of_each(streams, calibration.clips if calibration else ())
    sample, described = parity_sample(model, {modality: form.run for modality, form in streams.items()}, sampled)
    made = msgspec.structs.replace(made, sample=described)
    gradients, guidance = guidance_graphs(model, graphs, fusion)
    manifest = _manifest(model, streams, fusion, training_data, metrics, distribution or {}, target, made)
    if guidance is not None:
        manifest = msgspec.structs.replace(manifest, guidance=guidance)
    files = {f"{modality}.onnx": form.graph for modality, form in streams.items()} | gradients
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "bundle"
        staged.mkdir()
        for name, content in (files | {FUSION_FILE: fusion, SAMPLE_FILE: sample}).items():
            (staged / name).write_bytes(content)
        (staged / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        read_bundle(staged)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        staged.rename(folder)
    return manifest


def _clip_of_each(modalities: Iterable[Modality], clips: Sequence[Features]) -> dict[Modality, Any]:
    """Frames of the last of ``clips`` that has a modality."""
    found = {modality: frames for clip in clips for modality, frames in clip.items()}
    return {modality: found[modality] for modality in modalities if modality in found}


def _manifest(
    model: ViralityModel,
    forms: Mapping[Modality, StreamForm],
    fusion: bytes,
    training_data: str,
    metrics: Mapping[str, float],
    distribution: TrainingDistribution,
    target: FittedTarget,
    profile: ExportProfile,
) -> BundleManifest:
    config = model.config
    streams = tuple(
        StreamGraph(
            modality=modality,
            file=f"{modality}.onnx",
            sha256=sha256_hex(forms[modality].graph),
            input_channels=config.input_channels(modality),
            embedding_dim=width,
            precision=forms[modality].precision,
        )
        for modality, width in zip(config.modalities, model.embedding_dims, strict=True)
    )
    manifest = BundleManifest(
        generation="",
        streams=streams,
        fusion=GraphFile(FUSION_FILE, sha256_hex(fusion)),
        opset=OPSET,
        joint_layout=config.joint_layout if any(m.has_joints for m in config.modalities) else None,
        training_data=training_data,
        metrics=dict(metrics),
        training_distribution=distribution,
        virality_target=msgspec.UNSET if target == EQ1 else target,
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

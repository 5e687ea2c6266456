"""Gradient graphs of whole bundles: exported with one, or added to one that has none."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from dancerank.settings import shipped_bundle, video_bundle
from exporters.onnx import guidance_added
from exporters.onnx.export import export_bundle
from exporters.onnx.gradients import with_gradients
from exporters.onnx.graphs import fusion_graph
from exporters.onnx.guidance_added import add_guidance
from exporters.onnx.parity import session
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.bundle import MANIFEST_NAME, GuidanceGraphs, read_bundle
from schemas.errors import BundleError
from schemas.modalities import Modality
from tests.small_bundle import write_small_bundle


def guidance_of(folder: Path) -> GuidanceGraphs:
    guidance = read_bundle(folder).manifest.guidance
    assert isinstance(guidance, GuidanceGraphs)
    return guidance


def test_an_exported_bundle_has_gradient_graphs_that_agree_with_torch_and_that_can_be_added_later_alike(
    tmp_path: Path,
) -> None:
    """Of a 3-D layout, one stream, and a fusion that leaves embeddings out."""
    torch.manual_seed(0)
    config = ViralityModelConfig(
        modalities=(Modality.SKELETAL,),
        joint_layout="kinect-25",
        joint_channels=3,
        graph_width=1 / 16,
        attentive_fusion=False,
    )
    folder = tmp_path / "bundle"
    export_bundle(ViralityModel(config), folder, training_data="none", metrics={})
    exported = guidance_of(folder)
    assert exported.agreement <= 1e-4
    manifest = read_bundle(folder).manifest
    without = msgspec.structs.replace(manifest, guidance=msgspec.UNSET)
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode(without))
    added = add_guidance(folder)
    assert added.generation == manifest.generation
    assert added.files() == manifest.files()
    assert isinstance(added.guidance, GuidanceGraphs)
    assert (added.guidance.stream, added.guidance.fusion) == (exported.stream, exported.fusion)
    assert added.guidance.agreement <= 1e-4


def test_a_bundle_without_joints_gets_none(tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "bundle", modalities=(Modality.SCENIC,))
    with pytest.raises(BundleError, match="reads no joints"):
        add_guidance(tmp_path / "bundle")


@pytest.mark.parametrize("folder", [shipped_bundle(), video_bundle()], ids=["bundle", "video_bundle"])
def test_the_gradient_graphs_that_ship_are_those_of_the_graphs_that_ship(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "bundle"
    shutil.copytree(folder, copied)
    added, shipped = add_guidance(copied), read_bundle(folder).manifest
    assert guidance_of(copied).agreement <= 1e-4
    same = msgspec.structs.replace(guidance_of(copied), agreement=guidance_of(folder).agreement)
    assert msgspec.structs.replace(added, guidance=same) == shipped


def test_the_gradient_of_a_mean_of_scores_by_the_embeddings_is_zero() -> None:
    config = ViralityModelConfig(modalities=(Modality.SKELETAL, Modality.SCENIC), attentive_fusion=False)
    config = msgspec.structs.replace(config, graph_width=1 / 16, temporal_width=1 / 64)
    model = ViralityModel(config).eval()
    width = sum(model.embedding_dims)
    graph = with_gradients(fusion_graph(model), {"fused_score": "fused_seed"}, {"embeddings": "by", "scores": "share"})
    inputs = {"embeddings": np.ones((2, width), np.float32), "scores": np.ones((2, 2), np.float32)}
    inputs |= {"present": np.array([[True, True], [True, False]]), "fused_seed": np.ones(2, np.float32)}
    by, share = session(graph).run(["by", "share"], inputs)
    assert not by.any()
    assert share.tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_a_bundle_in_fewer_bits_only_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    manifest = read_bundle(folder).manifest
    halved = msgspec.structs.replace(manifest, profile=msgspec.structs.replace(manifest.profile, name="fp16"))
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode(halved))
    with pytest.raises(BundleError, match=r"fewer bits .fp16.*export the checkpoint again"):
        add_guidance(folder)


def test_gradients_that_differ_from_differences_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guidance_added, "TOLERANCE", 1e-12)
    folder = tmp_path / "bundle"
    shutil.copytree(shipped_bundle(), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BundleError, match="differs from central differences"):
        add_guidance(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_changed_byte_of_a_gradient_graph_is_found_when_the_bundle_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(video_bundle(), folder)
    path = folder / guidance_of(folder).stream.file
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"skeletal-guidance.onnx: checksum"):
        read_bundle(folder)


def test_guidance_of_a_stream_that_the_bundle_has_not_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(video_bundle(), folder)
    manifest = read_bundle(folder).manifest
    wrong = msgspec.structs.replace(guidance_of(folder), modality=Modality.FACIAL)
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, guidance=wrong)))
    with pytest.raises(BundleError, match="guidance of facial"):
        read_bundle(folder)

"""Writing a bundle: what it says, and that nothing is written when it must not be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from exporters.onnx import export
from exporters.onnx.export import export_bundle
from exporters.onnx.inspect import describe
from schemas.bundle import BundleManifest, read_bundle
from schemas.errors import BundleError
from schemas.export_profiles import Profile
from schemas.modalities import Modality
from schemas.virality_target import EQ1, FittedTarget, Target
from streamer.runtimes.selection import open_runtime
from tests import exported
from tests.exported import build_scenic

Export = Callable[..., BundleManifest]

pytestmark = [pytest.mark.slow, pytest.mark.exported]


@pytest.fixture
def export_it(monkeypatch: pytest.MonkeyPatch) -> Export:
    """Exports a model with the graphs of model 0, which are traced once for all tests."""
    stream, fusion = exported.scenic()
    monkeypatch.setattr(export, "stream_graph", lambda model, modality, profile: stream)
    monkeypatch.setattr(export, "fusion_graph", lambda model: fusion)

    def run(folder: Path, seed: int = 0, metrics: dict[str, float] | None = None, **options: Any) -> BundleManifest:
        return export_bundle(
            build_scenic(seed), folder, training_data="made up", metrics=metrics or {"spearman_fused": 0.5}, **options
        )

    return run


def test_a_bundle_is_readable_and_says_what_it_was_built_from(tmp_path: Path, export_it: Export) -> None:
    manifest = export_it(tmp_path / "bundles" / "first")
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["first"]
    bundle = read_bundle(tmp_path / "bundles" / "first")
    assert bundle.manifest == manifest
    assert manifest.joint_layout is None
    assert manifest.training_data == "made up"
    assert manifest.metrics == {"spearman_fused": 0.5}
    assert manifest.architecture["temporal_width"] == "0.03125"
    assert manifest.stream(Modality.SCENIC).input_channels == 512
    assert export_it(tmp_path / "second").generation == manifest.generation


def test_a_bundle_of_another_target_says_so_in_manifest_and_generation(tmp_path: Path, export_it: Export) -> None:
    plain = export_it(tmp_path / "eq1")
    assert plain.target == EQ1
    assert "virality_target" not in (tmp_path / "eq1" / "bundle.json").read_text()  # earlier releases read it
    target = FittedTarget(target=Target.PER_VIEW, mean_rate=0.14, prior_views=14.0)
    manifest = export_it(tmp_path / "per-view", target=target)
    assert read_bundle(tmp_path / "per-view").manifest == manifest
    assert manifest.target == target
    assert manifest.generation == f"per-view-{plain.generation}"
    path = tmp_path / "per-view" / "bundle.json"
    path.write_text(path.read_text().replace("per-view-", ""))
    with pytest.raises(BundleError, match="generation does not match"):
        read_bundle(tmp_path / "per-view")


def test_a_target_that_cannot_be_is_refused_by_the_reader(tmp_path: Path, export_it: Export) -> None:
    export_it(tmp_path / "bundle", target=FittedTarget(target=Target.PER_VIEW, mean_rate=0.14, prior_views=14.0))
    path = tmp_path / "bundle" / "bundle.json"
    path.write_text(path.read_text().replace('"mean_rate": 0.14', '"mean_rate": -1.0'))
    with pytest.raises(BundleError, match=r"bundle\.json: mean_rate of the target per-view is -1"):
        read_bundle(tmp_path / "bundle")


def test_the_opset_in_the_manifest_is_that_of_every_graph(tmp_path: Path, export_it: Export) -> None:
    opset = export_it(tmp_path / "bundle").opset
    for graph in read_bundle(tmp_path / "bundle").graphs.values():
        versions = {entry.domain: entry.version for entry in onnx.load_from_string(graph).opset_import}
        assert versions[""] == opset


def test_a_graph_that_differs_from_torch_is_refused_and_nothing_is_written(tmp_path: Path, export_it: Export) -> None:
    with pytest.raises(BundleError, match="scenic: torch and ONNX differ"):
        export_it(tmp_path / "bundle", seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_export_leaves_the_bundle_that_was_there(tmp_path: Path, export_it: Export) -> None:
    manifest = export_it(tmp_path / "bundle")
    with pytest.raises(BundleError, match="differ"):
        export_it(tmp_path / "bundle", seed=1, overwrite=True)
    assert read_bundle(tmp_path / "bundle").manifest == manifest


def test_a_metric_that_is_no_number_is_refused_before_anything_is_written(tmp_path: Path, export_it: Export) -> None:
    with pytest.raises(BundleError, match="metrics"):
        export_it(tmp_path / "bundle", metrics={"spearman_fused": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_only_overwritten_on_request_and_only_if_it_is_a_bundle(
    tmp_path: Path, export_it: Export
) -> None:
    export_it(tmp_path / "bundle")
    with pytest.raises(BundleError, match="exists already"):
        export_it(tmp_path / "bundle")
    (tmp_path / "bundle" / "stray").write_text("gone with the old bundle")
    export_it(tmp_path / "bundle", overwrite=True)
    assert not (tmp_path / "bundle" / "stray").exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("precious")
    with pytest.raises(BundleError, match="something other than a bundle"):
        export_it(home, overwrite=True)
    assert (home / "thesis.tex").read_text() == "precious"


def test_a_description_gives_sizes_parameters_and_interfaces(tmp_path: Path, export_it: Export) -> None:
    export_it(tmp_path / "bundle")
    scenic, fusion = describe(read_bundle(tmp_path / "bundle"))
    network = build_scenic(0).stream(Modality.SCENIC)
    assert scenic.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert scenic.size_bytes == (tmp_path / "bundle" / "scenic.onnx").stat().st_size
    assert scenic.inputs == ("frames (N, T, 512) float32", "lengths (N,) int64")
    assert scenic.outputs == ("embedding (N, 32) float32", "score (N,) float32")
    assert fusion.inputs == ("embeddings (N, 32) float32", "scores (N, 1) float32", "present (N, 1) bool")
    assert fusion.outputs == ("attention (N, 1) float32", "fused_score (N,) float32")
    assert len(scenic.sha256) == 64


def test_a_bundle_names_its_profile_and_carries_a_sample_that_its_runtime_passes(
    tmp_path: Path, export_it: Export
) -> None:
    made = export_it(tmp_path / "bundle").profile
    assert made.name is Profile.FAST
    assert made.agreement["scenic score"] <= 1e-5
    open_runtime("onnxruntime", read_bundle(tmp_path / "bundle")).close()


def test_eight_bits_without_clips_are_refused_and_nothing_is_written(tmp_path: Path, export_it: Export) -> None:
    with pytest.raises(BundleError, match="needs clips to calibrate on"):
        export_it(tmp_path / "bundle", profile=Profile.INT8)
    assert list(tmp_path.iterdir()) == []

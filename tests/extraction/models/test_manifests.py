"""A network is used if it is whole and what its manifest says, and refused with the remedy otherwise."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import helper

from extraction.models import ModelManifest, open_model
from extraction.models.conversion.graph import NetworkGraph
from extraction.models.folder import default_folder, install, installed
from extraction.models.manifest import Preparation, Source, graph_path, manifest_path, read_manifest
from schemas.bundle import sha256_hex
from schemas.errors import ConfigurationError, ExtractorModelInvalid, ExtractorModelMissing

IMAGENET = Preparation(colours="BGR", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def a_network(name: str = "mean", preparation: Preparation = IMAGENET) -> tuple[ModelManifest, bytes]:
    """The mean colour of a picture of 4 × 6 pixels, as it is prepared."""
    graph = NetworkGraph(name)
    prepared = graph.prepared(graph.pictures(4, 6), preparation)
    graph.output("features", graph.mean_of_pixels(prepared, keep=False), (3,))
    content = graph.to_bytes()
    manifest = ModelManifest(
        name=name,
        version="1",
        purpose="the mean colour",
        height=4,
        width=6,
        preparation=preparation,
        outputs={"features": (3,)},
        licence="Apache-2.0",
        sources=(Source("file", "none", "none", "0" * 64),),
        sha256=sha256_hex(content),
        feature="features",
    )
    return manifest, content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path, *a_network())
    return tmp_path


def test_the_preparation_is_in_the_graph(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    found = open_model("mean", folder=folder, providers=("cpu",)).run(images)["features"]
    blue_first = images[..., ::-1].mean(axis=(1, 2)) / 255
    assert found == pytest.approx((blue_first - IMAGENET.mean) / IMAGENET.std, abs=1e-5)


def test_the_same_calls_give_the_same_bytes() -> None:
    assert a_network() == a_network()


def test_a_manifest_survives_writing(folder: Path) -> None:
    manifest = read_manifest(folder, "mean")
    assert manifest == a_network()[0]
    assert manifest.feature_width == 3
    assert manifest.title == f"mean/1 sha256:{manifest.sha256[:12]}"


def test_nothing_but_networks_stays_in_the_folder(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["mean.json", "mean.onnx"]
    assert installed(folder) == ["mean"]


def test_a_missing_network_names_the_command(folder: Path) -> None:
    with pytest.raises(ExtractorModelMissing, match="dancerank extractors fetch frame-features"):
        open_model("frame-features", folder=folder)
    graph_path(folder, "mean").unlink()
    with pytest.raises(ExtractorModelMissing, match="dancerank extractors fetch mean"):
        open_model("mean", folder=folder)


def test_a_changed_byte_is_refused(folder: Path) -> None:
    content = bytearray(graph_path(folder, "mean").read_bytes())
    content[-1] ^= 1
    graph_path(folder, "mean").write_bytes(content)
    with pytest.raises(ExtractorModelInvalid, match="SHA-256"):
        open_model("mean", folder=folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "it is empty"),
        (b"{", "truncated"),
        (b'{"schema": "extractor-model/1", "name": "mean"}', "missing required field"),
        (b'{"schema": "extractor-model/9"}', "extractor-model/9"),
    ],
)
def test_a_damaged_manifest_is_refused(folder: Path, text: bytes, expected: str) -> None:
    manifest_path(folder, "mean").write_bytes(text)
    with pytest.raises(ExtractorModelInvalid, match=expected):
        open_model("mean", folder=folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "other"}, "manifest of 'other'"),
        ({"height": 5}, "its input is"),
        ({"outputs": {"features": (4,)}}, "its outputs are"),
        ({"feature": "embedding"}, "not one of its outputs"),
    ],
)
def test_a_manifest_of_another_graph_is_refused(folder: Path, change: dict[str, object], expected: str) -> None:
    manifest = msgspec.structs.replace(a_network()[0], **change)
    manifest_path(folder, "mean").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ExtractorModelInvalid, match=expected):
        open_model("mean", folder=folder)


def test_a_graph_that_is_not_onnx_is_refused(folder: Path) -> None:
    install(folder, msgspec.structs.replace(a_network()[0], sha256=sha256_hex(b"text")), b"text")
    with pytest.raises(ExtractorModelInvalid, match="cannot load this graph"):
        open_model("mean", folder=folder)


def test_a_graph_with_another_input_is_refused(folder: Path) -> None:
    places = [helper.make_tensor_value_info(name, 1, ["N", 4, 6, 3]) for name in ("images", "features")]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["features"])], "g", places[:1], places[1:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    install(folder, msgspec.structs.replace(a_network()[0], sha256=sha256_hex(content)), content)
    with pytest.raises(ExtractorModelInvalid, match="not one uint8"):
        open_model("mean", folder=folder)


def test_unknown_providers_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose from"):
        open_model("mean", folder=folder, providers=("tpu",))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file/mean\.onnx.*extraction\.models_folder"):
        install(tmp_path / "file", *a_network())


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "dancerank" / "extractors"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path.home() / ".cache" / "dancerank" / "extractors"

"""Networks of torchvision and timm become networks of the models' folder, or are refused with what does not fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn
from typer.testing import CliRunner

from dancerank.cli import app
from extraction.models import open_model
from extraction.models.importing import importer
from extraction.models.importing.architectures import open_architecture
from extraction.models.importing.checkpoints import load_weights, read_weights
from extraction.models.importing.importer import Described, WithPreparation, import_checkpoint
from extraction.models.manifest import Preparation, checked_preparation
from schemas.errors import CheckpointError, ConfigurationError, ExtractorModelInvalid, ExtraMissing

SIZE = 64


def resnet(name: str, classes: int) -> nn.Module:
    """A network with random weights, and statistics of batch normalisation that are not those it starts with."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network.eval()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """ResNet-18 of 365 places as its authors save it: below ``state_dict``, with the prefix of parallel training."""
    network = resnet("resnet18", 365)
    file = tmp_path_factory.mktemp("places") / "resnet18_places365.pth.tar"
    torch.save({"epoch": 90, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, file)
    return network, file


def test_a_checkpoint_becomes_a_network_that_agrees_with_torch(places: tuple[nn.Module, Path], tmp_path: Path) -> None:
    network, file = places
    result = CliRunner().invoke(
        app,
        [
            "extractors", "import", str(file), "--architecture", "torchvision:resnet18", "--name", "places365",
            "--width", "512", "--size", str(SIZE), "--licence", "CC-BY-4.0", "--folder", str(tmp_path),
        ],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    model = open_model("places365", folder=tmp_path, providers=("cpu",))
    assert (model.manifest.feature_width, model.manifest.licence) == (512, "CC-BY-4.0")
    images = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = torchvision.transforms.functional.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    network.fc = nn.Identity()
    with torch.inference_mode():
        expected = network(x).numpy()
    found = model.run(images)["features"]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def openmmlab(name: str) -> str:
    """MMAction2's name of a tensor of torchvision's ResNet."""
    for number in "123":
        name = name.replace(f"conv{number}.", f"conv{number}.conv.").replace(f"bn{number}.", f"conv{number}.bn.")
    return "backbone." + name.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")


@pytest.mark.parametrize(
    ("architecture", "renamed", "suffix"),
    [
        ("resnet50", lambda name: f"module.base_model.{name}", "safetensors"),
        ("resnet18", openmmlab, "pth"),
        ("resnet18", lambda name: f"module.{name}", "safetensors"),
        ("resnet18", lambda name: name, "pth"),
    ],
    ids=["TSN", "MMAction2", "parallel", "as it is"],
)
def test_weights_are_found_under_the_names_that_programs_give_them(
    architecture: str, renamed: Callable[[str], str], suffix: str, tmp_path: Path
) -> None:
    network = resnet(architecture, 7)
    weights = {renamed(name): tensor.contiguous() for name, tensor in network.state_dict().items()}
    file = tmp_path / f"weights.{suffix}"
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(weights, file)
    loaded = open_architecture(f"torchvision:{architecture}")
    load_weights(loaded, read_weights(file), file)
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("fc.")}
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_timm_network_gives_the_features_before_its_classifier() -> None:
    network = open_architecture("timm:resnet18").eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, timm.create_model("resnet18").num_features)


def test_another_architecture_is_refused_by_the_names_of_its_tensors(
    places: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    described = Described("other", SIZE, Preparation())
    with pytest.raises(CheckpointError, match=r"tensors are missing, for example .*layer1\.2\.conv1\.weight"):
        import_checkpoint(places[1], "torchvision:resnet34", described, tmp_path)
    weights = places[0].state_dict() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    torch.save(weights, tmp_path / "grey.pth")
    with pytest.raises(CheckpointError, match=r"conv1\.weight has another shape, \(64, 1, 7, 7\) instead of"):
        import_checkpoint(tmp_path / "grey.pth", "torchvision:resnet18", described, tmp_path)


def test_another_width_is_refused(places: tuple[nn.Module, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gives 512 features, --width says 2048"):
        import_checkpoint(places[1], "torchvision:resnet18", Described("x", SIZE, Preparation(), width=2048), tmp_path)


def test_a_graph_that_differs_from_torch_is_not_written(
    places: tuple[nn.Module, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_other_weights(network: WithPreparation, *arguments: object) -> bytes:
        from tests.extraction.models.test_manifests import a_network

        return a_network()[1]

    monkeypatch.setattr(importer, "traced_graph", of_other_weights)
    monkeypatch.setattr(importer, "PictureNetwork", Zeros)
    with pytest.raises(ExtractorModelInvalid, match=r"torch and ONNX Runtime differ by 1\.0e\+00"):
        import_checkpoint(places[1], "torchvision:resnet18", Described("x", SIZE, Preparation()), tmp_path)
    assert [*tmp_path.iterdir()] == []


class Zeros:
    """A runtime that gives zeros."""

    def __init__(self, graph: bytes, **options: object) -> None: ...

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return {"features": np.zeros((len(images), 512), np.float32)}


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no readable checkpoint"),
        (b"", "cannot be read as weights alone"),
        (b"text", "cannot be read as weights alone"),
        ({"epoch": 3}, "holds no tensors"),
        ({"state_dict": Evil()}, "cannot be read as weights alone"),
    ],
    ids=["absent", "empty", "text", "no tensors", "code"],
)
def test_what_is_not_a_state_dict_is_refused(content: object, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(CheckpointError, match=expected):
        read_weights(file)


@pytest.mark.parametrize(
    "architecture", ["resnet50", "keras:resnet50", "torchvision:", "torchvision:resnet51", "timm:x"]
)
def test_an_unknown_architecture_is_refused(architecture: str) -> None:
    with pytest.raises(ConfigurationError):
        open_architecture(architecture)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_without_the_library_the_extra_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExtraMissing, match=r"dancerank\[import\]"):
        open_architecture(f"{library}:resnet18")


def test_the_preparation_swaps_colours_for_torch_too() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(2, 3))

    images = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    preparation = checked_preparation("BGR", 2.0, (1.0, 2.0, 3.0), (1.0, 2.0, 4.0))
    expected = (images.double().mean(dim=(1, 2)).flip(1) * 2 - torch.tensor([1, 2, 3])) / torch.tensor([1, 2, 4])
    torch.testing.assert_close(WithPreparation(Mean(), preparation)(images), expected.float())


@pytest.mark.parametrize(
    "values",
    [("rgb", 1.0, (0.0,) * 3, (1.0,) * 3), ("RGB", 0.0, (0.0,) * 3, (1.0,) * 3), ("RGB", 1.0, (0.0,) * 3, (0.0,) * 3)],
)
def test_a_preparation_that_cannot_work_is_refused(values: tuple) -> None:
    with pytest.raises(ConfigurationError):
        checked_preparation(*values)


@pytest.mark.parametrize("option", [["--name", "../x"], ["--mean", "1,2"]])
def test_a_wrong_option_is_named(option: list[str], places: tuple[nn.Module, Path], tmp_path: Path) -> None:
    command = ["extractors", "import", str(places[1]), "--architecture", "torchvision:resnet18", "--name", "x", *option]
    result = CliRunner().invoke(app, [*command, "--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert [*tmp_path.iterdir()] == []

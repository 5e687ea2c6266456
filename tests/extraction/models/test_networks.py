"""The converted networks compute what the networks of the packages compute."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from extraction.models import Model
from extraction.models.catalogue import CATALOGUE
from tests.extraction.models.numpy_networks import run_graph_model, run_mobilenet
from tests.extraction.models.parity import difference, pictures, prepared, run_tflite

TFLITE = [recipe.name for recipe in CATALOGUE.values() if recipe.kind == "tflite" and recipe.by_default]
BADLY_CONDITIONED = "mask"
"""Single logits of it, where there is no person: two ways to run one graph differ as much. Compared by the root mean
square of all."""

OpenModel = Callable[[str], Model]
SourcesOf = Callable[[str], list[Path]]


@pytest.mark.parametrize("name", TFLITE)
def test_a_converted_network_agrees_with_its_own_runtime(name: str, model: OpenModel, sources: SourcesOf) -> None:
    network, (file,), recipe = model(name), sources(name), CATALOGUE[name]
    images = pictures(2, *recipe.size)
    found, expected = network.run(images), run_tflite(file, prepared(images, recipe.preparation))
    for output, (node, _) in recipe.outputs.items():
        if output == BADLY_CONDITIONED:
            error = found[output] - expected[node].reshape(found[output].shape)
            assert np.sqrt(np.mean(error**2)) < 1e-4 * np.abs(expected[node]).max()
        elif output == "presence":
            assert np.abs(found[output] - expected[node]).max() < 1e-4
        else:
            assert difference(found[output], expected[node]) < 1e-4, output


def test_the_face_features_are_those_of_both_networks(model: OpenModel, sources: SourcesOf) -> None:
    images = pictures(1, 224, 224)
    found = model("face-features").run(images)["features"]
    document, weights, deep_document, deep_weights = (path.read_bytes() for path in sources("face-features"))
    inputs = images.astype(np.float32)
    expected = [
        run_graph_model(document, weights, inputs, "global_pooling/Mean"),
        run_graph_model(deep_document, deep_weights, inputs, "global_pooling/Mean"),
    ]
    assert difference(found, np.concatenate(expected, axis=1)) < 1e-4


def test_the_frame_features_are_those_of_the_state_dict(model: OpenModel, sources: SourcesOf) -> None:
    images = pictures(1, 224, 224)
    found = model("frame-features").run(images)["features"]
    (file,) = sources("frame-features")
    assert difference(found, run_mobilenet(file, prepared(images, CATALOGUE["frame-features"].preparation))) < 1e-4


@pytest.mark.parametrize("name", ["pose-detector", "face-detector-short-range", "frame-features"])
def test_a_picture_alone_and_in_a_batch(name: str, model: OpenModel) -> None:
    network = model(name)
    images = pictures(3, network.manifest.height, network.manifest.width, seed=1)
    together = network.run(images)
    for row in range(len(images)):
        for output, values in network.run(images[row : row + 1]).items():
            assert difference(together[output][row : row + 1], values) < 1e-5


def test_no_pictures_give_no_rows(model: OpenModel) -> None:
    network = model("frame-features")
    assert network.run(network.blank()[:0])["features"].shape == (0, 1280)


def test_pictures_of_another_size_or_type_are_refused(model: OpenModel) -> None:
    network = model("frame-features")
    with pytest.raises(ValueError, match="takes uint8 images of shape"):
        network.run(np.zeros((1, 100, 224, 3), np.uint8))
    with pytest.raises(ValueError, match="not float32"):
        network.run(np.zeros((1, 224, 224, 3), np.float32))  # type: ignore[arg-type]


def test_converting_needs_no_torch_and_gives_the_same_bytes(model: OpenModel, sources: SourcesOf) -> None:
    names = ("frame-features", "face-detector-short-range")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from extraction.models.building import build\n"
        "from extraction.models.catalogue import CATALOGUE\n"
        "for name, file in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    print(build(CATALOGUE[name], [Path(file).read_bytes()])[0].sha256)\n"
    )
    arguments = [text for name in names for text in (name, str(sources(name)[0]))]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [model(name).manifest.sha256 for name in names]

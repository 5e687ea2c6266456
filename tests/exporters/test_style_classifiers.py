"""A style classifier on disk: written as a whole, verified, and attached to a bundle that stays what it was."""

from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dancerank.fitting.styles import NETWORKS
from exporters.onnx.attached_styles import attach_classifier, detach_classifier
from exporters.onnx.inspect import describe
from exporters.onnx.style_classifiers import check_classifier, classifier_graph, write_classifier
from networks.styles.classifier import train_classifier
from networks.styles.judging import judge
from networks.styles.learned import LearnedClassifier, Recipe, fit_learned
from networks.styles.sequential import StyleLSTM
from networks.styles.training import StyleTraining
from schemas.bundle import read_bundle
from schemas.errors import BundleError
from schemas.joints import MPII_16
from schemas.modalities import Modality
from schemas.style_classifier import read_classifier
from streamer.runtimes.style_network import style_network
from tests.small_bundle import write_small_bundle
from tests.styles import dances, written_classifier


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_classifier(tmp_path_factory.mktemp("styles") / "classifier")


def test_the_graph_gives_what_torch_gives_in_any_batch(tmp_path: Path, classifier: Path) -> None:
    trained = train_classifier(dances(), MPII_16)
    described, graph = read_classifier(classifier)
    assert check_classifier(trained, graph, [(4,), (9, 1, 30)]) <= 1e-5
    assert (described.temperature, described.threshold) == (trained.temperature, trained.threshold)
    attach_classifier(write_small_bundle(tmp_path / "bundle"), classifier)
    network = style_network(read_bundle(tmp_path / "bundle"))
    assert network is not None
    for clip in dances(first=5000)[::7]:
        found = network.run(clip.frames[None], np.array([len(clip.frames)]))
        logits, familiarity = judge(trained.network, [clip])
        np.testing.assert_allclose(found.logits, logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.familiarity, familiarity, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["attentive-lstm", "tcn"])
def test_a_network_that_learned_by_gradient_names_styles_in_a_bundle_as_in_torch(tmp_path: Path, name: str) -> None:
    recipe = NETWORKS.load(name).keywords["recipe"]  # type: ignore[attr-defined]
    shorter = recipe._replace(training=msgspec.structs.replace(recipe.training, epochs=1))
    fit = partial(fit_learned, recipe=shorter)
    trained = train_classifier(dances(recordings=3, clips=1), MPII_16, fit=fit, folds=3)
    write_classifier(trained, tmp_path / "classifier", network=name, training_data="made up")  # checks its parity
    bundle = write_small_bundle(tmp_path / "bundle")
    before = read_bundle(bundle).manifest
    manifest = attach_classifier(bundle, tmp_path / "classifier")
    assert manifest.generation == before.generation
    assert manifest.classifier is not None
    assert (manifest.classifier.network, manifest.classifier.agreement <= 1e-5) == (name, True)
    network = style_network(read_bundle(bundle))
    assert network is not None
    clips = dances(recordings=1, clips=2, first=7000)
    logits, familiarity = judge(trained.network, clips)
    for row, clip in enumerate(clips):
        frames = np.full((2, 40, *clip.frames.shape[1:]), np.nan, np.float32)
        frames[0, : len(clip.frames)], frames[1] = clip.frames, 0
        found = network.run(frames, np.array([len(clip.frames), 40]))
        np.testing.assert_allclose(found.logits[0], logits[row], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.familiarity[0], familiarity[row], rtol=1e-5, atol=1e-5)
    assert detach_classifier(bundle) == before


def test_a_learned_classifier_that_differs_from_its_graph_is_not_written(tmp_path: Path) -> None:
    recipe = Recipe(lambda layout, styles: StyleLSTM(32, styles, hidden=4), 3, False, StyleTraining(epochs=1))
    trained = train_classifier(dances(recordings=3, clips=1), MPII_16, fit=partial(fit_learned, recipe=recipe), folds=3)
    graph = classifier_graph(trained.network)
    assert check_classifier(trained, graph, [(1,), (2, 9)]) <= 1e-5
    assert isinstance(trained.network, LearnedClassifier)
    trained.network.places += 1e-2
    with pytest.raises(BundleError, match=r"differ by .* of a logit or a familiarity"):
        check_classifier(trained, graph, [(2, 9)])


def test_attaching_changes_nothing_that_scores(tmp_path: Path, classifier: Path) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    before = read_bundle(folder)
    manifest = attach_classifier(folder, classifier)
    after = read_bundle(folder)
    assert manifest.generation == before.manifest.generation
    assert {name: after.graphs[name] for name in before.graphs} == before.graphs
    assert manifest.classifier is not None
    assert manifest.classifier.styles == ("hands", "legs", "whole")
    assert describe(after)[-1].outputs == ("logits (N, 3) float32", "familiarity (N,) float32")
    attach_classifier(folder, classifier)  # again, in its own place
    assert detach_classifier(folder) == before.manifest
    assert not list(folder.glob("*styles*"))
    with pytest.raises(BundleError, match="has no style classifier"):
        detach_classifier(folder)


def test_a_changed_byte_of_the_classifier_is_refused(tmp_path: Path, classifier: Path) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    manifest = attach_classifier(folder, classifier)
    assert manifest.classifier is not None
    (folder / manifest.classifier.file).write_bytes(b"other bytes")
    with pytest.raises(BundleError, match=r"styles-.*checksum mismatch"):
        read_bundle(folder)


def test_a_bundle_without_joints_takes_no_classifier(tmp_path: Path, classifier: Path) -> None:
    folder = write_small_bundle(tmp_path / "bundle", modalities=(Modality.HOLISTIC, Modality.SCENIC))
    with pytest.raises(BundleError, match="styles are recognised by joints"):
        attach_classifier(folder, classifier)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("joint_layout", "hands-21", "joint_layout 'hands-21' is unknown"),
        ("styles", ["hands"], "at least two"),
        ("styles", ["hands", "hands", "legs"], "distinct"),
        ("styles", [" hands", "legs", "whole"], "without spaces around it"),
        ("styles", ["unknown", "legs", "whole"], "no known style"),
        ("styles", ["x" * 65, "legs", "whole"], "64 at most"),
        ("temperature", 0.0, "above 0"),
        ("threshold", "high", "Expected `float`"),
    ],
)
def test_a_classifier_that_cannot_be_used_says_why(
    tmp_path: Path, classifier: Path, field: str, value: object, said: str
) -> None:
    content = msgspec.json.decode((classifier / "classifier.json").read_bytes())
    content["classifier"][field] = value
    (tmp_path / "classifier.json").write_bytes(msgspec.json.encode(content))
    (tmp_path / "styles.onnx").write_bytes((classifier / "styles.onnx").read_bytes())
    with pytest.raises(BundleError, match=said) as refused:
        attach_classifier(write_small_bundle(tmp_path / "bundle"), tmp_path)
    assert "classifier.json" in refused.value.message


def test_a_graph_of_other_styles_than_the_manifest_names_is_refused(tmp_path: Path, classifier: Path) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    attach_classifier(folder, classifier)
    bundle = read_bundle(folder)
    described = bundle.manifest.classifier
    assert described is not None
    wrong = msgspec.structs.replace(described, styles=("hands", "legs"))
    bundle = msgspec.structs.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, styles=wrong))
    with pytest.raises(BundleError, match="output 'logits'"):
        style_network(bundle)


def test_what_is_not_a_classifier_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    trained = train_classifier(dances(), MPII_16)
    with pytest.raises(BundleError, match="something other than a classifier"):
        write_classifier(trained, tmp_path / "mine", training_data="", overwrite=True)

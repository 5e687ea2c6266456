"""Styles of clips in the streamer: named, refused, and never the loss of a clip."""

from typing import Any

import numpy as np
import pytest

from exporters.onnx.attached_styles import attach_classifier
from schemas.bundle import Bundle, read_bundle
from schemas.errors import InferenceFailed
from schemas.events import ClipScoredV3
from schemas.features import ClipFeatures
from schemas.joints import COCO_17
from schemas.modalities import Modality
from schemas.observation import Observer
from streamer.assembly import open_scorer
from streamer.batch_sizes import BatchSizes
from streamer.runs import StreamRun, StyleRun
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.style_network import Judgement, StyleNetwork, style_network
from streamer.scoring import Scorer, ScoringInput
from streamer.styles import StyleRecogniser
from tests.clips import upload
from tests.small_bundle import write_small_bundle
from tests.styles import STYLES, dance, written_classifier


class Seen(Observer):
    def __init__(self) -> None:
        self.styles: list[str | None] = []
        self.failed = 0

    def style_recognised(self, style: str | None) -> None:
        self.styles.append(style)

    def style_failed(self) -> None:
        self.failed += 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("styles")
    attach_classifier(write_small_bundle(folder / "bundle"), written_classifier(folder / "classifier"))
    return read_bundle(folder / "bundle")


def clip(name: str, features: ClipFeatures) -> ScoringInput:
    return upload(name, features), features


def poses(style: str, seed: int, steps: int = 90) -> ClipFeatures:
    return ClipFeatures({Modality.SKELETAL: dance(style, seed, steps=steps)}, "mpii-16", {})


def test_a_clip_is_scored_with_its_style_and_its_probability(bundle: Bundle) -> None:
    seen = Seen()
    batch = [clip(f"clip-{n}", poses(style, n, 75 + n)) for n, style in enumerate([*STYLES, "still"])]
    results = open_scorer(bundle, observer=seen).score(batch)
    assert all(isinstance(result, ClipScoredV3) for result in results)
    found = [result.style for result in results if isinstance(result, ClipScoredV3) and result.style]
    assert [each.style for each in found] == [*STYLES, None]
    assert all(each.probability > 0.5 for each in found[:3])
    assert sorted(map(str, seen.styles)) == sorted(map(str, [*STYLES, None]))


def test_clips_whose_streams_run_alone_share_a_run_of_the_classifier_and_are_named_as_alone(bundle: Bundle) -> None:
    batch = [clip(f"clip-{n}", poses(style, n, 75 + n)) for n, style in enumerate([*STYLES, "still"])]
    network = style_network(bundle)
    assert network is not None
    recogniser = StyleRecogniser(network, "mpii-16", Observer())
    scorer = Scorer(OnnxRuntime(bundle), sizes=BatchSizes({Modality.SKELETAL: {75: 1}}), recogniser=recogniser)
    runs = scorer.begin(batch).runs
    assert [run.rows.tolist() for run in runs if isinstance(run, StyleRun)] == [[0, 1, 2, 3]]
    assert [len(run.rows) for run in runs if isinstance(run, StreamRun)] == [1, 1, 1, 1]
    for together, item in zip(scorer.score(batch), batch, strict=True):
        (alone,) = scorer.score([item])
        assert isinstance(together, ClipScoredV3)
        assert isinstance(alone, ClipScoredV3)
        assert together.style == alone.style


def test_a_clip_without_joints_has_no_style(bundle: Bundle) -> None:
    scenic = np.ones((75, Modality.SCENIC.channels), np.float32)
    (result,) = open_scorer(bundle).score([clip("clip-1", ClipFeatures({Modality.SCENIC: scenic}, None, {}))])
    assert getattr(result, "style", None) is None


def test_a_style_changes_no_score(bundle: Bundle) -> None:
    batch = [clip("clip-1", poses("legs", 3))]
    (with_style,), (without,) = open_scorer(bundle).score(batch), Scorer(OnnxRuntime(bundle)).score(batch)
    assert isinstance(with_style, ClipScoredV3)
    assert not isinstance(without, InferenceFailed)
    assert (with_style.modalities, with_style.fused_score) == (without.modalities, without.fused_score)


class Breaking(StyleNetwork):
    """Fails on clips that are 80 steps long, and gives NaN for those of 81."""

    def run(self, frames: Any, lengths: Any) -> Judgement:
        if 80 in lengths:
            raise InferenceFailed("no memory")
        found = super().run(frames, lengths)
        found.familiarity[lengths == 81] = np.nan
        return found


def test_a_classifier_that_fails_costs_no_clip_and_no_neighbour_its_style(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    described, seen = bundle.manifest.classifier, Seen()
    assert described is not None
    network = Breaking(described, bundle.graphs[described.file])
    scorer = Scorer(OnnxRuntime(bundle), recogniser=StyleRecogniser(network, "mpii-16", seen))
    batch = [clip(f"clip-{steps}", poses("hands", steps, steps)) for steps in (79, 80, 81, 82)]
    results = scorer.score(batch)
    assert not any(isinstance(result, InferenceFailed) for result in results)
    named = [getattr(getattr(result, "style", None), "style", None) for result in results]
    assert named == ["hands", None, None, "hands"]
    assert (seen.styles, seen.failed) == (["hands", "hands"], 2)
    assert "scored without a style: no memory" in caplog.text


def test_poses_of_another_layout_are_converted_to_the_classifiers(bundle: Bundle) -> None:
    network, seen = style_network(bundle), Seen()
    assert network is not None
    frames = np.stack([dance("legs", seed, steps=60, layout=COCO_17) for seed in range(2)])
    with_confidence = np.concatenate([frames, np.ones((*frames.shape[:3], 1), np.float32)], axis=3)
    found = StyleRecogniser(network, "coco-17", seen).recognise(with_confidence, np.array([60, 60]))
    assert len(found) == len(seen.styles) == 2
    assert None not in found
    assert found == StyleRecogniser(network, "coco-17", seen).recognise(frames, np.array([60, 60]))


def test_frames_in_float16_are_read(bundle: Bundle) -> None:
    network = style_network(bundle)
    assert network is not None
    frames = dance("whole", 4, steps=60)[None].astype(np.float16)
    (found,) = StyleRecogniser(network, "mpii-16", Observer()).recognise(frames, np.array([60]))
    assert found is not None
    assert found.style == "whole"

"""Preparation, division, training, search and evaluation of dance styles."""

from typing import Any

import numpy as np
import pytest
import torch

from networks.errors import UnusableSamples
from networks.styles.clips import StyleClip, check_training, collate, folds_by_group, split_by_group, styles_of
from networks.styles.descriptors import BAND_HZ, rhythm, statistics
from networks.styles.evaluation import report
from networks.styles.frames import FrameClassifier
from networks.styles.preparation import facing_forward, in_boxes, sub_sampled
from networks.styles.search import Candidate, draw_sequential, random_search
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM, StyleTCN
from networks.styles.training import StyleTraining, evaluate_styles, predict_styles, train_styles
from schemas.errors import ConfigurationError
from schemas.joints import COCO_17, DANCE_23


def clip(style: str = "tango", group: str = "a", frames: Any = None, name: str = "x") -> StyleClip:
    return StyleClip(name, group, style, np.zeros((4, 3), np.float32) if frames is None else np.asarray(frames))


def dances(count: int = 60, steps: int = 12, seed: int = 0) -> list[StyleClip]:
    """Clips that sway once, twice or three times, four to a group."""
    generator = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        style = number // 4 % 3
        phase = generator.uniform(0, 6.28)
        sway = np.sin(phase + np.arange(steps) / steps * 6.28 * (style + 1))
        frames = np.stack([sway, np.ones(steps)], axis=1) + generator.normal(0, 0.1, (steps, 2))
        clips.append(
            StyleClip(f"c{number}", f"g{number // 4}", ("one", "two", "three")[style], frames.astype(np.float32))
        )
    return clips


def test_every_skeleton_is_put_into_its_own_box_and_absent_people_are_zero() -> None:
    first = np.array([[100.0, 50.0], [300.0, 60.0], [200.0, 90.0]])
    frame = in_boxes([first, first * 0.1 + 7], 3)
    assert frame.shape == (20, 3, 2)
    np.testing.assert_allclose(frame[0], [[-1, -1], [1, -0.5], [0, 1]])
    np.testing.assert_allclose(frame[1], frame[0], atol=1e-9)
    assert np.abs(frame[2:]).max() == 0
    assert np.abs(in_boxes([np.array([[3.0, 1.0], [3.0, 2.0]])], 2)[0, :, 0]).max() == 0
    assert in_boxes([]).tolist() == np.zeros((20, 17, 2)).tolist()
    with pytest.raises(UnusableSamples, match="21 people, 20 fit; leave out"):
        in_boxes([first] * 21, 3)


def test_sub_sampling_takes_the_first_frame_and_every_nth() -> None:
    frames = np.arange(300.0)
    assert [len(sub_sampled(frames, every)) for every in (60, 30, 5)] == [5, 10, 60]
    assert sub_sampled(frames, 60).tolist() == [0, 60, 120, 180, 240]
    with pytest.raises(UnusableSamples, match="give 1 or more"):
        sub_sampled(frames, 0)


def test_what_a_dancer_does_is_the_same_wherever_the_dancer_faces() -> None:
    generator = np.random.default_rng(0)
    pose = generator.normal(0, 30, (9, 23, 3))
    angle = np.linspace(0, 3, 9)[:, None]
    turned = pose.copy()
    turned[..., 0] = pose[..., 0] * np.cos(angle) - pose[..., 2] * np.sin(angle)
    turned[..., 2] = pose[..., 0] * np.sin(angle) + pose[..., 2] * np.cos(angle)
    np.testing.assert_allclose(facing_forward(turned * 3 + 50, DANCE_23), facing_forward(pose, DANCE_23), atol=1e-9)
    across = facing_forward(pose, DANCE_23)[:, 16] - facing_forward(pose, DANCE_23)[:, 7]
    np.testing.assert_allclose(across[:, 2], 0, atol=1e-9)
    assert (across[:, 0] > 0).all()
    assert facing_forward(np.zeros((2, 17, 2)), COCO_17).tolist() == np.zeros((2, 17, 2)).tolist()


def test_rhythm_peaks_at_the_rate_of_the_movement() -> None:
    at = np.arange(250) / 25
    position = np.zeros((250, 1, 3))
    position[:, 0, 0] = np.cumsum(1.5 + np.sin(6.28318 * 2.0 * at))  # two accents a second
    assert rhythm(position).argmax() == int(2.0 / BAND_HZ) - 1
    assert statistics(position).shape == (12,)
    assert np.isfinite(rhythm(np.zeros((2, 1, 3)))).all()


@pytest.mark.tried(
    kind="importers that trust types",
    given="labels with stray spaces, one style, sequences of one frame, two shapes, a style without training clips",
    outcome="refused with the clip's row and name, and what to do",
)
@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "there is no clip"),
        ([clip(), clip()], "all 2 clips are of the style 'tango'; there is nothing to tell apart"),
        ([clip(), clip(" tango", name="b")], r"clip 2 \(b\): the style ' tango' has to be a name without spaces"),
        ([clip(), clip("")], r"clip 2 \(x\): the style ''"),
        ([clip(), clip("waltz", frames=np.zeros((1, 3)))], r"clip 2 \(x\) has 1 frames, fewer than 2; leave it out"),
        ([clip(), clip("waltz", frames=np.zeros((4, 2)))], r"frames of shape \(2,\), clip 1 has \(3,\)"),
        ([clip(), clip("waltz", frames=np.full((4, 3), np.nan))], r"clip 2 \(x\) holds values that are not finite"),
    ],
)
def test_clips_that_cannot_be_used_are_named(clips: list[StyleClip], message: str) -> None:
    with pytest.raises(UnusableSamples, match=message):
        styles_of(clips)


def test_a_style_without_training_clips_is_refused() -> None:
    clips = dances(12)
    with pytest.raises(UnusableSamples, match="no training clip shows the style 'three'; add recordings"):
        check_training(clips, range(8))
    one_group = [clip("tango", "a"), clip("tango", "a"), clip("waltz", "b"), clip("waltz", "c")]
    with pytest.raises(UnusableSamples, match="one recording of the style 'tango' only, a; held out"):
        folds_by_group(one_group, 2)
    with pytest.raises(UnusableSamples, match="3 recordings of 4 clips do not make 3 folds; give 2 to 2"):
        folds_by_group(one_group, 3)
    with pytest.raises(UnusableSamples, match="validation part is empty: 3 videos are too few"):
        split_by_group(one_group)


@pytest.mark.parametrize("seed", range(3))
def test_no_recording_is_on_both_sides(seed: int) -> None:
    clips = dances(360)
    parts = split_by_group(clips, seed=seed)
    assert sorted(row for part in parts for row in part) == list(range(360))
    assert [len(part) for part in parts] == [288, 36, 36]
    groups = [{clips[row].group for row in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 90
    held = []
    for train, test in folds_by_group(clips, 5, seed=seed):
        assert not {clips[row].group for row in train} & {clips[row].group for row in test}
        held += test
    assert sorted(held) == list(range(360))


def test_reports_count_by_style() -> None:
    found = report(["a", "b", "c"], ["a", "a", "a", "b"], ["a", "a", "b", "b"])
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_training_tells_rhythms_apart_and_keeps_the_best_epoch() -> None:
    clips = dances()
    styles = styles_of(clips)
    train, test = folds_by_group(clips, 3)[0]
    torch.manual_seed(0)
    network = StyleTCN(2, 3, layers=3, width=12, dropout=0.0)
    settings = StyleTraining(epochs=25, learning_rate=0.05, batch_size=16)
    best = train_styles(network, [clips[row] for row in train], styles, settings, [clips[row] for row in test])
    found = evaluate_styles(network, [clips[row] for row in test], styles)
    assert best == pytest.approx(found.balanced_accuracy)
    assert found.accuracy >= 0.8
    untouched = predict_styles(network, [clips[row]._replace(style="one") for row in test], styles)
    assert untouched == predict_styles(network, [clips[row] for row in test], styles)


def test_training_of_one_seed_is_the_same_twice() -> None:
    clips, weights = dances(12), []
    for _ in range(2):
        torch.manual_seed(3)
        network = FrameClassifier(2, 3, dropout=0.5)
        train_styles(network, clips, styles_of(clips), StyleTraining(epochs=2, optimizer="adam"))
        weights.append(network.head.weight.clone())
    assert torch.equal(*weights)


def test_the_search_reads_no_test_clip_and_keeps_the_best_candidate() -> None:
    clips = dances()
    split = split_by_group(clips, shares=(0.6, 0.2, 0.2))
    poisoned = [one._replace(frames=one.frames * 0) if row in split.test else one for row, one in enumerate(clips)]
    draw = draw_sequential("lstm", 2, 3, every=(1, 2), epochs=2)
    found = [random_search(draw, each, split.train, split.validation, trials=3, seed=1) for each in (clips, poisoned)]
    assert found[0].trials == found[1].trials
    assert len(found[0].trials) == 3
    assert found[0].validation == max(reached for _, reached in found[0].trials)
    with pytest.raises(ConfigurationError, match="at least one trial"):
        random_search(draw, clips, split.train, split.validation, trials=0)


@pytest.mark.parametrize(
    ("kind", "network"), [("lstm", StyleLSTM), ("attentive-lstm", AttentiveStyleLSTM), ("tcn", StyleTCN)]
)
def test_candidates_are_of_the_kind_asked_for(kind: Any, network: type) -> None:
    drawn = [draw_sequential(kind, 5, 3, every=(5, 30), epochs=4)(np.random.default_rng(seed)) for seed in range(9)]
    assert all(isinstance(one, Candidate) and type(one.build()) is network for one in drawn)
    assert {one.every for one in drawn} == {5, 30}
    assert len({one.training.learning_rate for one in drawn}) == 9


def test_impossible_training_is_refused() -> None:
    for options in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            StyleTraining(**options)  # type: ignore[arg-type]


def test_batches_are_padded_with_zeros() -> None:
    batch = collate([clip(frames=np.ones((2, 3))), clip("waltz", frames=np.ones((3, 3)))], ["tango", "waltz"])
    assert batch.frames[0, 2].tolist() == [0, 0, 0]
    assert (batch.lengths.tolist(), batch.styles.tolist()) == ([2, 3], [0, 1])

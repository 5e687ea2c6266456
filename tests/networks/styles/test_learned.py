"""Networks as classifiers of a bundle: what they read, and how familiar a clip is to them."""

from functools import partial

import numpy as np
import pytest
import torch

from networks.errors import UnusableSamples
from networks.styles.clips import StyleClip
from networks.styles.judging import judge
from networks.styles.learned import LearnedClassifier, Recipe, fit_learned
from networks.styles.network import FeatureNetwork
from networks.styles.preparation import facing_forward, sub_sampled
from networks.styles.sequential import StyleTCN
from networks.styles.training import StyleTraining
from schemas.joints import DANCE_23, MPII_16, JointLayout
from tests.styles import dances


def tcn(layout: JointLayout, styles: int) -> FeatureNetwork:
    return StyleTCN(layout.joint_count * layout.coordinates, styles, layers=3, width=12, dropout=0.0)


RECIPE = Recipe(tcn, 2, False, StyleTraining(epochs=2, optimizer="adam"))
LONGER = StyleTraining(epochs=40, learning_rate=0.003, batch_size=8, optimizer="adam")
FIT = partial(fit_learned, recipe=RECIPE)


@pytest.mark.parametrize("layout", [MPII_16, DANCE_23], ids=lambda each: each.name)
def test_a_network_reads_every_second_pose_facing_forward(layout: JointLayout) -> None:
    network = LearnedClassifier(layout, 3, RECIPE)
    poses = np.random.default_rng(0).normal(300, 80, (11, layout.joint_count, layout.coordinates))
    padded = np.full((2, 14, *poses.shape[1:]), np.nan, np.float32)
    padded[0, :11], padded[1, :1] = poses, poses[:1]
    read, lengths = network.prepared(torch.from_numpy(padded), torch.tensor([11, 0]))
    assert lengths.tolist() == [6, 1]
    wanted = sub_sampled(facing_forward(poses, layout), 2).reshape(6, -1)
    np.testing.assert_allclose(read[0, :6], wanted, atol=1e-4)
    assert read[0, 6:].abs().max() == 0


def test_styles_are_learned_and_familiarity_is_the_distance_to_the_nearest_of_them() -> None:
    known = [clip for clip in dances() if clip.style != "legs"]
    network = fit_learned(known, MPII_16, recipe=RECIPE._replace(training=LONGER))
    tested = dances(recordings=2, first=5000)
    logits, familiarity = judge(network, tested)
    assert logits.shape == (len(tested), 2)
    for clip, found in zip(tested[::5], familiarity[::5], strict=True):
        poses = sub_sampled(facing_forward(clip.frames, MPII_16), 2).reshape(1, -1, 32).astype(np.float32)
        with torch.inference_mode():
            features = network.network.features(torch.from_numpy(poses), torch.tensor([poses.shape[1]]))[0].numpy()
        squares = [np.square(features @ network.whitening.numpy() - place).mean() for place in network.places.numpy()]
        assert found == pytest.approx(-min(squares), rel=1e-3)
    of_known = np.array([clip.style != "legs" for clip in tested])
    named = [("hands", "whole")[style] for style in logits[of_known].argmax(1)]
    right = [clip.style == style for clip, style in zip((c for c in tested if c.style != "legs"), named, strict=True)]
    assert np.mean(right) >= 0.9


def test_equal_arguments_give_an_equal_classifier() -> None:
    clips = dances(recordings=2, clips=1)
    first, second, other = (FIT(clips, MPII_16, seed=seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_clips_that_are_all_alike_are_refused() -> None:
    clip = dances()[0]
    same = [StyleClip(f"{n}", f"{n}", "one" if n % 2 else "two", clip.frames) for n in range(6)]
    with pytest.raises(UnusableSamples, match="sees all clips of a style alike"):
        FIT(same, MPII_16)

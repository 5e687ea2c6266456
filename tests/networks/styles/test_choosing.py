"""What distinguishes styles is chosen by inner folds of the training clips: against loops, and as bundles do it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC

from networks.errors import UnusableSamples
from networks.styles import choosing
from networks.styles.choosing import CANDIDATES, DISCRIMINANT, LINEAR_MACHINES, Candidate, ChosenMachine
from networks.styles.clips import StyleClip, folds_by_group
from networks.styles.descriptors import rhythm, statistics
from networks.styles.discriminant import linear_discriminant
from networks.styles.judging import judge
from networks.styles.movement import fit_discriminant
from networks.styles.preparation import facing_forward
from schemas.joints import MPII_16
from tests.styles import STYLES, dances

MOVEMENT = Candidate(DISCRIMINANT, ("movement",))
SUM = Candidate("linear machine, cost 0.01", ("statistics", "rhythm"))


def noisy_dances(first: int = 0) -> list[StyleClip]:
    """Dances that are hard to tell apart, so that no candidate is always right."""
    rng = np.random.default_rng(first)
    return [
        clip._replace(frames=(clip.frames + rng.normal(0, 25, clip.frames.shape)).astype(np.float32))
        for clip in dances(recordings=4, clips=2, first=first)
    ]


def machine_decisions(train: NDArray[np.float64], truth: NDArray[np.int64], held: NDArray[np.float64]) -> NDArray:
    """A linear machine on standardised values."""
    mean, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1
    machine = SVC(kernel="linear", C=0.01, class_weight="balanced").fit((train - mean) / scale, truth)
    return machine.decision_function((held - mean) / scale)


def test_figures_are_the_mean_over_partitions_of_the_balanced_accuracy_of_clips_held_out() -> None:
    clips = noisy_dances()
    truth = np.array([STYLES.index(clip.style) for clip in clips])
    poses = [facing_forward(clip.frames, MPII_16) for clip in clips]
    descriptors = [np.array([function(pose) for pose in poses]) for function in (statistics, rhythm)]
    figures = []
    for seed in range(3):
        right, all_of = np.zeros(3), np.zeros(3)
        for train, held in folds_by_group(clips, 2, seed=seed):
            total = sum(machine_decisions(values[train], truth[train], values[held]) for values in descriptors)
            for row, values in zip(held, np.asarray(total), strict=True):
                right[truth[row]] += int(np.argmax(values)) == truth[row]
                all_of[truth[row]] += 1
        figures.append((right / all_of).mean())
    machine = ChosenMachine(MPII_16, candidates=[SUM], inner_folds=2, partitions=3)
    machine.fit(clips)
    assert 0 < machine.reached[SUM] < 1
    assert machine.reached[SUM] == pytest.approx(np.mean(figures))


def test_the_largest_figure_is_chosen_and_fitted_to_all_clips() -> None:
    clips, others = noisy_dances(), noisy_dances(first=5000)
    machine = ChosenMachine(MPII_16, inner_folds=2, partitions=1)
    machine.fit(clips)
    assert set(machine.reached) == set(CANDIDATES)
    assert len(set(machine.reached.values())) > 1
    for among in (CANDIDATES, LINEAR_MACHINES):
        chosen = machine.choice(among)
        assert machine.reached[chosen] == max(machine.reached[each] for each in among)
        alone = ChosenMachine(MPII_16, candidates=[chosen], inner_folds=2, partitions=1)
        alone.fit(clips)
        assert machine.predict(others, among=among) == alone.predict(others)


def test_of_equal_candidates_the_one_that_reads_the_fewest_numbers_is_chosen() -> None:
    equal = [
        Candidate(DISCRIMINANT, ("statistics", "movement")),
        Candidate(DISCRIMINANT, ("statistics",)),
        MOVEMENT,
    ]
    machine = ChosenMachine(MPII_16, candidates=equal, inner_folds=2, partitions=1)
    machine.fit(dances(("hands", "legs")))
    assert set(machine.reached.values()) == {1.0}
    assert machine.choice() == MOVEMENT


def test_the_discriminant_of_movement_names_what_the_classifier_of_a_bundle_names() -> None:
    clips, others = noisy_dances(), noisy_dances(first=5000)
    machine = ChosenMachine(MPII_16, candidates=[MOVEMENT], inner_folds=2, partitions=1)
    machine.fit(clips)
    logits, _ = judge(fit_discriminant(clips, MPII_16), others)
    assert machine.predict(others) == [STYLES[at] for at in logits.argmax(1)]
    values = choosing.DESCRIPTORS["movement"](clips, MPII_16)
    truth = np.array([STYLES.index(clip.style) for clip in clips])
    found = linear_discriminant(values, truth).logits(choosing.DESCRIPTORS["movement"](others, MPII_16))
    np.testing.assert_allclose(found, logits, rtol=1e-5)


def test_nothing_but_poses_is_read_of_the_clips_that_are_named() -> None:
    clips, others = noisy_dances(), noisy_dances(first=5000)
    machine = ChosenMachine(MPII_16, candidates=[SUM, MOVEMENT], inner_folds=2, partitions=1)
    machine.fit(clips)
    hidden = [StyleClip("x", "x", "x", clip.frames) for clip in others]
    assert machine.predict(hidden) == machine.predict(others)
    assert machine.predict(others[:1]) == machine.predict(others)[:1]


def test_two_styles_are_distinguished_by_every_machine() -> None:
    clips, others = (dances(("hands", "legs"), recordings=4, first=first) for first in (0, 5000))
    for candidate in (MOVEMENT, SUM):
        machine = ChosenMachine(MPII_16, candidates=[candidate], inner_folds=2, partitions=1)
        machine.fit(clips)
        right = [named == clip.style for named, clip in zip(machine.predict(others), others, strict=True)]
        assert np.mean(right) > 0.9


def test_what_cannot_be_divided_is_refused_and_nothing_is_named_before_the_fit() -> None:
    machine = ChosenMachine(MPII_16)
    with pytest.raises(NotFittedError, match="fit first"):
        machine.predict(dances())
    with pytest.raises(UnusableSamples, match="one recording of the style 'hands' only"):
        machine.fit([clip for clip in dances() if clip.style != "hands" or clip.group == "hands-0"])

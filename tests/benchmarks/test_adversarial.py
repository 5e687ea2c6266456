"""The benchmark of made-up features: what its attacks change, how it judges, and what it prints and writes."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import adversarial, figures
from benchmarks.adversarial import ATTACKS, CHALLENGE, WHICH, Attack, Judge, Outcome
from benchmarks.guided.scores import Networks
from dancerank.settings import shipped_bundle
from dancerank.synthetic import SyntheticClip
from schemas.bundle import read_bundle
from schemas.events import outside_training, training_distance
from schemas.joints import MPII_16, mean_absolute_deviation
from schemas.modalities import Modality


@pytest.fixture(scope="module")
def clips() -> list[SyntheticClip]:
    return adversarial.attackers(2)


@pytest.fixture(scope="module")
def judge(clips: list[SyntheticClip]) -> Judge:
    return Judge(clips)


def attack(name: str) -> Attack:
    (found,) = [each for each in ATTACKS if each.name == name]
    return found


def test_attackers_are_clips_of_the_challenge_that_they_attack(clips: list[SyntheticClip]) -> None:
    assert [clip.challenge_id for clip in clips] == [CHALLENGE] * 2
    assert {clip.duration_s for clip in clips} == {12.0}


@pytest.mark.parametrize("made", ATTACKS, ids=lambda each: each.name)
def test_an_attack_makes_the_same_features_again_and_leaves_the_other_modalities_alone(
    made: Attack, clips: list[SyntheticClip]
) -> None:
    own = clips[0].features.frames
    features, again = (adversarial.changed(clips[0], made.change, WHICH["holistic"], 1).frames for _ in range(2))
    for modality, frames in features.items():
        np.testing.assert_array_equal(frames, again[modality])
        assert np.isfinite(frames).all()
        if modality is not Modality.HOLISTIC:
            assert frames is own[modality]


@pytest.mark.parametrize(
    ("name", "which", "rule"),
    [
        ("zeros", "holistic", "contrast"),
        ("one frame for the clip", "all", "length"),
        ("one frame repeated", "skeletal", "movement"),
        ("ten frames looped", "scenic", "repeats"),
        ("white noise", "skeletal", "speed"),
        ("wandering", "scenic", None),
        ("upside down", "all", None),
    ],
)
def test_garbage_is_refused_by_the_rule_or_flagged(
    name: str, which: str, rule: str | None, clips: list[SyntheticClip], judge: Judge
) -> None:
    outcome = judge.outcome(clips[0], adversarial.changed(clips[0], attack(name).change, WHICH[which], 0))
    assert outcome == Outcome(rule, flagged=rule is None)
    assert outcome.stopped


def test_a_copy_comes_through_and_wins_nothing(clips: list[SyntheticClip], judge: Judge) -> None:
    copied = adversarial.changed(clips[0], attack("uploaded again under another id").change, WHICH["all"], 0)
    outcome = judge.outcome(clips[0], copied)
    assert not outcome.stopped
    assert (outcome.gain, outcome.percentile_gain) == (pytest.approx(0.0, abs=1e-3), pytest.approx(0.0, abs=0.1))
    assert not outside_training(training_distance(judge.score(clips[0], copied)))


def test_joints_move_no_farther_than_asked_raise_the_score_and_leave_other_modalities_alone(
    clips: list[SyntheticClip], judge: Judge
) -> None:
    networks = Networks(read_bundle(shipped_bundle()))
    own = clips[0].features.frames
    body = mean_absolute_deviation(own[Modality.SKELETAL], MPII_16)
    for steps in (1, 4):
        moved = adversarial.joints_along_gradient(networks, clips[0], 0.01, steps)
        lengths = np.linalg.norm(moved.frames[Modality.SKELETAL] - own[Modality.SKELETAL].astype(float), axis=2)
        assert 0 < lengths.max() <= 0.01 * body * 1.001
        assert all(moved.frames[m] is frames for m, frames in own.items() if m is not Modality.SKELETAL)
        assert judge.score(clips[0], moved).fused_score > judge.score(clips[0], clips[0].features).fused_score


def test_shares_and_bars_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    for name, fewer in (("RIVALS", 3), ("ATTACKERS", 8), ("FRESH", 12)):
        monkeypatch.setattr(adversarial, name, fewer)
    monkeypatch.setattr(adversarial, "ATTACKS", (attack("zeros"), attack("played backwards")))
    monkeypatch.setattr(adversarial, "JOINT_STEPS", (0.01,))
    monkeypatch.setattr("sys.argv", ["adversarial", "--quick", "--checkpoint", str(tmp_path / "none")])
    adversarial.main()
    printed, report = capsys.readouterr().out, json.loads((tmp_path / "adversarial.json").read_text())
    assert "features without joints stay as they are" in " ".join(printed.split())
    assert "of 3 fresh clips are flagged" in printed
    assert (report["clips"], report["rivals"]) == (2, 3)
    found = {each["name"]: each for each in report["figures"]}
    for which in WHICH:
        assert (
            found[f"zeros, {which}: refused or flagged"] | {"met": True, "bar": 1.0, "value": 1.0}
            == found[f"zeros, {which}: refused or flagged"]
        )
        assert found[f"zeros, {which}: nominated"]["value"] == 0.0
        assert found[f"played backwards, {which}: refused or flagged"]["bar"] is None
    assert "bars are met" in printed
    assert found["joints along the gradient, ε 0.01, one step: more nominated"]["bar"] == 0.1
    assert found["joints along the gradient, ε 0.01, 10 steps: percentile"]["value"] >= 0

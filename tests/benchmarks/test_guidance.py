"""The benchmark of guidance: its gradients, its steps and its cosines are what their names say."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from benchmarks.guidance import held_out, recorded_dances
from benchmarks.guided import causes as guidance_causes
from benchmarks.guided import moves as guidance_moves
from benchmarks.guided.moves import OPPOSITE, RANDOM, STEPS, rising
from benchmarks.guided.parity import Differences, automatic, central
from benchmarks.guided.scores import Critic, Networks, cosine, every_joint, in_proportion
from dancerank.settings import shipped_bundle
from dancerank.synthetic import Plan, SyntheticClip, plan_clips, synthesize
from networks.psgcn import PSGCN
from schemas.bundle import read_bundle
from schemas.joints import MPII_16
from schemas.modalities import Modality
from streamer.guidance.smoothing import SMOOTHINGS
from vdv.folder import Clip, write_data_set

SHORT = Plan(shortest_s=3.0, longest_s=3.0)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(read_bundle(shipped_bundle()))


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return next(synthesize(8, seed=5, plan=SHORT))


@pytest.mark.parametrize("of", ["skeletal", "fused"])
def test_the_gradient_of_a_critic_is_the_slope_of_its_scores(of: str, networks: Networks, clip: SyntheticClip) -> None:
    critic = Critic(networks, clip.features, of)
    positions = clip.features.frames[Modality.SKELETAL].astype(np.float64)
    gradient = critic.gradient(positions[None])[0]
    along = in_proportion(gradient)
    step = 0.2  # pixels
    below, above = critic.scores(np.stack([positions - step * along, positions + step * along]))
    assert (above - below) / (2 * step) == pytest.approx(float((gradient * along).sum()), rel=0.05)


def test_the_scores_of_a_critic_are_those_of_the_streamer(networks: Networks, clip: SyntheticClip) -> None:
    from benchmarks.adversarial import Judge

    scored = Judge([]).score(clip, clip.features)
    positions = clip.features.frames[Modality.SKELETAL]
    assert Critic(networks, clip.features, "fused").scores(positions[None])[0] == pytest.approx(
        scored.fused_score, abs=1e-5
    )
    assert Critic(networks, clip.features, "skeletal").scores(positions[None])[0] == pytest.approx(
        scored.modalities[Modality.SKELETAL].score, abs=1e-5
    )


def test_every_joint_has_steps_of_one_length_and_in_proportion_one_on_average() -> None:
    direction = np.random.default_rng(0).normal(size=(5, 3, 2))
    direction[2, 1] = 0
    lengths = np.linalg.norm(every_joint(direction), axis=2)
    assert lengths[2, 1] == 0
    np.testing.assert_allclose(np.delete(lengths.ravel(), 2 * 3 + 1), 1)
    proportional = in_proportion(direction)
    assert np.mean(np.sum(proportional**2, axis=2)) == pytest.approx(1)
    assert cosine(proportional, direction) == pytest.approx(1)
    assert cosine(direction, -2 * direction) == pytest.approx(-1)
    assert cosine(direction, np.zeros_like(direction)) == 0


def test_scores_rise_along_every_smoothing_and_fall_against_it(networks: Networks, clip: SyntheticClip) -> None:
    found = guidance_moves.moved(networks, [clip.features], "skeletal", None, 0)
    assert found.other is None
    for way in guidance_moves.LENGTHS:
        for name in SMOOTHINGS:
            assert rising(found.own[way, name])[:3].all()
        assert not rising(found.own[way, OPPOSITE])[:3].any()
        assert found.own[way, RANDOM].shape == (4, len(STEPS))


def test_the_causes_that_are_computed_by_hand_are_found_and_those_of_exchanged_joints_are_not(
    networks: Networks,
) -> None:
    plan = Plan(modalities=(Modality.SKELETAL,), shortest_s=5.0, longest_s=5.0, pose_failure_share=0.0)
    found = guidance_causes.agreement(networks, plan_clips(8, seed=5, plan=plan)[:4], plan, 0)
    means = {name: {c: v.mean() for c, v in each.cosines.items()} for name, each in found.agreement.items()}
    assert means[guidance_causes.STEADIER]["steadiness"] > 0.5
    assert means[guidance_causes.LARGER]["size"] > 0.5
    assert means["raw"]["both"] > 0.05
    assert abs(means[guidance_causes.RANDOM]["both"]) < 0.03
    assert abs(means[guidance_causes.OTHER_JOINTS]["both"]) < 0.5 * means["raw"]["both"]


def test_without_noise_the_choice_is_the_raw_gradient(networks: Networks) -> None:
    plan = Plan(modalities=(Modality.SKELETAL,), shortest_s=3.0, longest_s=3.0)
    clips = plan_clips(8, seed=6, plan=plan)[:1]
    tried = guidance_causes.choices(networks, clips, plan, noises=(0.0, 0.02), samples=(8,))
    by_name = {choice.name: choice.cosines["both"][0] for choice in tried}
    found = guidance_causes.agreement(networks, clips, plan, 0).agreement
    assert by_name["raw"] == pytest.approx(found["raw"].cosines["both"][0], abs=1e-6)
    assert by_name["raw, along bones"] == pytest.approx(found["bones"].cosines["both"][0], abs=1e-6)
    assert len(by_name) == 4


def test_torchs_derivative_and_central_differences_agree_in_float64() -> None:
    torch.manual_seed(0)
    network = PSGCN(MPII_16, width=1 / 16).double().eval()
    generator = np.random.default_rng(0)
    frames, lengths = generator.normal(300, 60, (2, 9, 16, 2)), np.array([9, 5])
    direction = generator.normal(size=frames.shape)
    direction[1, 5:] = 0
    along = (automatic(network, frames, lengths) * direction).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(central(network, frames, direction, lengths), along, rtol=1e-5)


def test_a_tenth_of_the_clips_may_lie_at_kinks() -> None:
    found = Differences((*np.linspace(1e-6, 9e-6, 9), 0.5))
    assert found.accepted == pytest.approx(9e-6)
    assert found.alike == 0.9
    assert Differences((0.5, 1e-6)).accepted == 0.5


def test_recorded_dances_are_left_out_by_name_without_their_archive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DANCERANK_DATA", raising=False)
    assert recorded_dances(MPII_16, 3) == []
    monkeypatch.setenv("DANCERANK_DATA", str(tmp_path))
    assert recorded_dances(MPII_16, 3) == []


def test_of_a_data_set_the_held_out_clips_are_measured(tmp_path: Path) -> None:
    plan = Plan(shortest_s=3.0, longest_s=3.0, modalities=(Modality.SKELETAL,))
    clips = list(synthesize(4, seed=3, plan=plan))
    parts = ("train", "test", "train", "test")
    labelled = (
        Clip(msgspec.structs.replace(clip.annotation, split=part), clip.features)
        for clip, part in zip(clips, parts, strict=True)
    )
    data = write_data_set(tmp_path / "data", labelled)
    found = [features.frames[Modality.SKELETAL] for features in held_out(data.folder, 5)]
    assert len(found) == 2
    for frames, clip in zip(found, clips[1::2], strict=True):
        np.testing.assert_array_equal(frames, clip.features.frames[Modality.SKELETAL])

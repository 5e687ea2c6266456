import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from dancerank.synthetic import (
    CHALLENGES,
    IMPORTANCE,
    STANDARD,
    Causes,
    Plan,
    PlannedClip,
    SyntheticClip,
    film,
    plan_clips,
    planted_direction,
    synthesize,
)
from dancerank.synthetic.appearance import halve
from dancerank.synthetic.data_set import IMPORTANCE_TABLE, PLANTED, write_synthetic
from dancerank.synthetic.popularity import expected_score
from dancerank.synthetic.poses import swing
from dancerank.synthetic.world import POSE
from schemas.errors import ConfigurationError
from schemas.features import decode_features, encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from vdv.checking import check_data_set
from vdv.errors import DataSetError
from vdv.folder import open_data_set
from vdv.virality import raw_score

SMALL = Plan(shortest_s=3.0, longest_s=3.5, modalities=(Modality.SCENIC,))


@pytest.fixture(scope="module")
def clips() -> list[SyntheticClip]:
    return list(synthesize(240, seed=3))


@pytest.fixture(scope="module")
def planned() -> list[PlannedClip]:
    return plan_clips(960, seed=5)


def of_challenges(clips: list[PlannedClip]) -> list[list[PlannedClip]]:
    return [[clip for clip in clips if clip.challenge == challenge] for challenge in range(CHALLENGES)]


def poses(plan: Plan, count: int = 24) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    plan = replace(plan, modalities=(Modality.SKELETAL,))
    return [clip.features.frames[Modality.SKELETAL] for clip in synthesize(count, seed=9, plan=plan)]  # type: ignore[misc]


def tremor(frames: np.ndarray[Any, Any]) -> float:
    frames = frames.astype(np.float64)
    torso = np.linalg.norm(frames[:, 7] - frames[:, 6], axis=-1).mean()
    return float(np.abs(np.diff(frames, n=4, axis=0)).mean() / torso)


def test_equal_seeds_give_equal_clips_and_other_seeds_others(clips: list[SyntheticClip]) -> None:
    again = next(synthesize(240, seed=3))
    other = next(synthesize(240, seed=4))
    assert again.features.modalities == clips[0].features.modalities
    for modality, frames in again.features.frames.items():
        np.testing.assert_array_equal(frames, clips[0].features.frames[modality])
    skeletal = Modality.SKELETAL
    assert not np.array_equal(other.features.frames[skeletal][:100], again.features.frames[skeletal][:100])


def test_clips_pass_the_feature_checks_and_last_5_to_15_seconds(clips: list[SyntheticClip]) -> None:
    for clip in clips[:40]:
        assert 5 <= clip.duration_s <= 15
        decoded = decode_features(encode_features(clip.features))
        for modality, frames in decoded.frames.items():
            assert len(frames) == round(clip.duration_s * modality.rate_hz)


def test_challenges_are_of_even_size_and_some_clips_lack_only_the_face(clips: list[SyntheticClip]) -> None:
    counts = np.unique([clip.challenge_id for clip in clips], return_counts=True)[1]
    assert counts.tolist() == [240 // CHALLENGES] * CHALLENGES
    lacking = [set(FUSED_MODALITIES) - set(clip.features.modalities) for clip in clips]
    assert all(absent in (set(), {Modality.FACIAL}) for absent in lacking)
    assert 0.02 < np.mean([bool(absent) for absent in lacking]) < 0.25


@pytest.mark.parametrize("challenge", [0, 6])
def test_virality_follows_the_planted_importance_of_each_modality(clips: list[SyntheticClip], challenge: int) -> None:
    of_challenge = [clip for clip in clips if clip.challenge_id == f"challenge-{challenge + 1}"]
    quality = np.array([[clip.quality[m] for m in FUSED_MODALITIES] for clip in of_challenge])
    fitted = np.linalg.lstsq(quality, np.array([clip.virality for clip in of_challenge]), rcond=None)[0]
    np.testing.assert_allclose(np.sum(IMPORTANCE, axis=1), 1)
    np.testing.assert_allclose(fitted, IMPORTANCE[challenge], atol=0.15)


def test_no_two_modalities_matter_equally_in_a_challenge_and_each_leads_in_two() -> None:
    assert all(len(set(weights)) == len(FUSED_MODALITIES) for weights in IMPORTANCE)
    leaders = [weights.index(max(weights)) for weights in IMPORTANCE]
    assert sorted(leaders) == sorted(2 * list(range(len(FUSED_MODALITIES))))


def test_eq_1_brings_back_the_planted_order_within_a_challenge(planned: list[PlannedClip]) -> None:
    for members in of_challenges(planned):
        counts = np.array([clip.reactions for clip in members])
        scores = raw_score(*counts.T[:4])
        assert spearmanr(scores, [clip.virality for clip in members]).statistic > 0.999
        for score, clip in zip(scores, members, strict=True):
            likes, comments, reposts, days, views = clip.reactions
            total = likes + comments + reposts
            assert score == pytest.approx(math.log2((total + 1) / min(days, 7)))
            assert score == pytest.approx(expected_score(clip.virality, clip.challenge, STANDARD), abs=1 / (total + 1))
            assert views >= total


def test_clips_are_1_to_30_days_old_and_challenges_differ_in_popularity(planned: list[PlannedClip]) -> None:
    days = [clip.reactions.days_online for clip in planned]
    assert (min(days), max(days)) == (1, 30)
    usual = [np.median([sum(clip.reactions[:3]) for clip in members]) for members in of_challenges(planned)]
    assert max(usual) > 10 * min(usual)
    assert abs(spearmanr(days, [clip.virality for clip in planned]).statistic) < 0.1


def test_nuisances_do_not_touch_what_is_planted(planned: list[PlannedClip]) -> None:
    nuisances: dict[str, Any] = {"tempo_spread": 0.3, "joint_noise": 0.1, "pose_failure_share": 1.0}
    other = Plan(**nuisances, shortest_s=3.0, longest_s=60.0, missing_face_share=0.9, modalities=FUSED_MODALITIES[1:])
    for clip, again in zip(planned, plan_clips(960, seed=5, plan=other), strict=True):
        assert (again.quality, again.virality, again.reactions) == (clip.quality, clip.virality, clip.reactions)
        assert again.dancer.dancer_id == clip.dancer.dancer_id
    lengths = [clip.duration_s for clip in planned]
    for modality in FUSED_MODALITIES:
        assert abs(spearmanr(lengths, [clip.quality[modality] for clip in planned]).statistic) < 0.1


def test_luck_multiplies_the_reactions_of_some_clips_and_touches_nothing_else(planned: list[PlannedClip]) -> None:
    lucky = plan_clips(960, seed=5, plan=Plan(lucky_share=0.1))
    doublings = np.array(
        [
            float(np.diff([np.log2(sum(clip.reactions[:3]) + 1) for clip in pair])[0])
            for pair in zip(planned, lucky, strict=True)
        ]
    )
    for clip, again in zip(planned, lucky, strict=True):
        assert (again.quality, again.virality, again.reactions.days_online) == (
            clip.quality,
            clip.virality,
            clip.reactions.days_online,
        )
    struck = doublings > 0.01
    assert 0.07 < struck.mean() < 0.13
    assert (doublings[~struck] == 0).all()
    assert 3 < doublings[struck].mean() < 5
    assert abs(spearmanr(struck, [clip.virality for clip in planned]).statistic) < 0.1


def test_leaving_out_a_modality_changes_no_other(clips: list[SyntheticClip]) -> None:
    plan = Plan(modalities=(Modality.FACIAL, Modality.SCENIC))
    for clip, other in zip(clips[:8], synthesize(240, seed=3, plan=plan), strict=False):
        assert set(other.features.frames) == set(clip.features.frames) - {Modality.SKELETAL, Modality.HOLISTIC}
        for modality, frames in other.features.frames.items():
            np.testing.assert_array_equal(frames, clip.features.frames[modality])
        decode_features(encode_features(other.features))


def test_better_movers_shake_less_and_move_more_than_worse_ones(clips: list[SyntheticClip]) -> None:
    shaking = [tremor(clip.features.frames[Modality.SKELETAL]) for clip in clips]
    assert spearmanr(shaking, [clip.quality[Modality.SKELETAL] for clip in clips]).statistic < -0.6


def test_joint_noise_adds_to_the_tremor_of_some_clips_more_than_of_others() -> None:
    clean, noisy = (np.array([tremor(p) for p in poses(Plan(joint_noise=n, pose_failure_share=0))]) for n in (0, 0.2))
    assert (noisy > clean).all()
    assert (noisy - clean).max() > 3 * (noisy - clean).min()


def test_a_failed_pose_is_interpolated_and_not_all_clips_have_one() -> None:
    def straight(frames: np.ndarray[Any, Any]) -> bool:
        bends = np.abs(np.diff(frames.astype(np.float64), n=2, axis=0)).max(axis=(1, 2))
        return bool((bends < 1e-3).any())

    assert not any(map(straight, poses(Plan(pose_failure_share=0))))
    assert all(map(straight, poses(Plan(pose_failure_share=1))))
    assert 0.3 < np.mean([straight(p) for p in poses(Plan(pose_failure_share=0.5), 64)]) < 0.7


def test_clips_of_a_challenge_play_it_at_tempos_of_their_own() -> None:
    def tempos(spread: float) -> np.ndarray[Any, Any]:
        """Strongest frequency of the movement, as a logarithm, of the clips of the first challenge."""
        plan = Plan(tempo_spread=spread, shortest_s=59.0, longest_s=60.0, modalities=(Modality.SKELETAL,))
        found = []
        for clip in plan_clips(160, seed=9, plan=plan):
            if clip.challenge == 0:
                frames = film(clip, plan).features.frames[Modality.SKELETAL].reshape(-1, 32).astype(np.float64)
                power = (np.abs(np.fft.rfft(frames - frames.mean(axis=0), axis=0)) ** 2).sum(axis=1)
                found.append(np.log(power.argmax() / len(frames)))
        return np.array(found)

    def middle_half(values: np.ndarray[Any, Any]) -> float:
        low, high = np.quantile(values, [0.25, 0.75])
        return float(high - low)

    assert middle_half(tempos(0.5)) > 3 * middle_half(tempos(0.0))


def test_movement_is_the_sum_of_sines_that_it_says() -> None:
    rng = np.random.default_rng(0)
    beat, amplitude, phase = rng.normal(size=5), rng.random((16, 2, 3)), rng.random((16, 2, 3))
    expected = np.zeros((5, 16, 2))
    for t, v, c in np.ndindex(expected.shape):
        for h in range(3):
            expected[t, v, c] += amplitude[v, c, h] * math.sin(2 * math.pi * (h + 1) * beat[t] + phase[v, c, h])
    np.testing.assert_allclose(swing(beat, amplitude, phase), expected, atol=1e-12)


def test_along_the_planted_direction_a_clip_becomes_that_of_a_better_dancer(planned: list[PlannedClip]) -> None:
    clip, skeletal = planned[0], Modality.SKELETAL
    better = replace(clip, quality={**clip.quality, skeletal: clip.quality[skeletal] + 0.02})
    frames, aimed = (film(each, STANDARD).features.frames[skeletal].astype(np.float64) for each in (clip, better))
    moved = frames + 0.02 * planted_direction(clip, STANDARD)
    assert np.linalg.norm(moved - aimed) < 0.02 * np.linalg.norm(frames - aimed)


def test_without_swing_and_tremor_which_the_planted_directions_give_the_standing_pose_is_left(
    planned: list[PlannedClip],
) -> None:
    plan = replace(STANDARD, joint_noise=0.0, pose_failure_share=0.0)
    clip, quality = planned[1], planned[1].quality[Modality.SKELETAL]
    swung = planted_direction(clip, plan, {"size"}) * (1 + 0.2 * quality) / 0.2
    trembled = planted_direction(clip, plan, {"steadiness"}) / -0.7
    left = film(clip, plan).features.frames[Modality.SKELETAL] - swung - trembled
    assert left.std(axis=0).max() < 0.1  # pixels
    fitted = np.stack([np.polyfit(POSE[:, axis], left.mean(axis=0)[:, axis], 1) for axis in range(2)])
    assert fitted[0, 0] == pytest.approx(fitted[1, 0], rel=1e-3)
    np.testing.assert_allclose(left.mean(axis=0), POSE * fitted[:, 0] + fitted[:, 1], atol=0.1)


def test_the_planted_direction_is_the_sum_of_those_of_its_causes(planned: list[PlannedClip]) -> None:
    whole = planted_direction(planned[2], STANDARD)
    parts = sum(planted_direction(planned[2], STANDARD, {cause}) for cause in Causes._fields)
    assert np.linalg.norm(whole - parts) < 0.01 * np.linalg.norm(whole)


def test_float16_is_rounded_as_numpy_rounds_it_but_for_ties() -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate([[0.0, 1.0, 65000.0], rng.gamma(2, 1, 3000), 10.0 ** rng.uniform(-9, 4, 3000)])
    expected = numbers.astype(np.float32).astype(np.float16)
    ties = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11])
    rounded = np.empty((1, len(numbers)), np.float16)
    halve(numbers.astype(np.float32)[None], rounded)
    np.testing.assert_array_equal(rounded[0], expected)
    halve(ties.astype(np.float32)[None], rounded[:, :2])
    np.testing.assert_array_equal(rounded[0, :2], [1 + 2.0**-10, 1 + 2.0**-9])


@pytest.mark.parametrize("modality", [m for m in FUSED_MODALITIES if not m.has_joints])
def test_appearance_features_carry_the_planted_quality(clips: list[SyntheticClip], modality: Modality) -> None:
    having = [clip for clip in clips if modality in clip.features.frames]
    pooled = np.array([clip.features.frames[modality].astype(np.float32).mean(axis=0) for clip in having])
    quality = np.array([clip.quality[modality] for clip in having])
    half = len(having) // 2
    gram = pooled[:half] @ pooled[:half].T + 10 * np.eye(half)
    predicted = pooled[half:] @ pooled[:half].T @ np.linalg.solve(gram, quality[:half] - quality[:half].mean())
    assert spearmanr(predicted, quality[half:]).statistic > 0.5


def test_the_challenge_is_plain_in_the_whole_picture(clips: list[SyntheticClip]) -> None:
    pooled = np.array([clip.features.frames[Modality.HOLISTIC].astype(np.float32).mean(axis=0) for clip in clips])
    challenge = np.array([clip.challenge for clip in clips])
    half = len(clips) // 2
    means = np.array([pooled[:half][challenge[:half] == c].mean(axis=0) for c in range(CHALLENGES)])
    nearest = np.linalg.norm(pooled[half:, None] - means, axis=-1).argmin(axis=1)
    assert (nearest == challenge[half:]).mean() > 0.95


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"dancers": 0}, "dancers"),
        ({"shortest_s": 2.0}, "shortest_s"),
        ({"shortest_s": 9.0, "longest_s": 8.0}, "shortest_s"),
        ({"longest_s": math.nan}, "shortest_s"),
        ({"longest_s": 61.0}, "shortest_s"),
        ({"missing_face_share": 1.1}, "missing_face_share"),
        ({"pose_failure_share": -0.1}, "pose_failure_share"),
        ({"tempo_spread": math.nan}, "tempo_spread"),
        ({"joint_noise": -1.0}, "joint_noise"),
        ({"lucky_share": 1.5}, "lucky_share"),
        ({"luck_doublings": math.inf}, "luck_doublings"),
        ({"virality_noise": math.inf}, "virality_noise"),
        ({"modalities": ()}, "modalities"),
        ({"modalities": (Modality.SCENIC, Modality.SCENIC)}, "modalities"),
        ({"modalities": (Modality.FACIAL,)}, "modalities"),
        ({"importance": IMPORTANCE[:7]}, "importance"),
        ({"importance": (*IMPORTANCE[:7], (0.0, 0.0, 0.0, 0.0))}, "importance"),
        ({"importance": (*IMPORTANCE[:7], (1.0, -0.1, 0.0, 0.0))}, "importance"),
        ({"importance": (*IMPORTANCE[:7], (1.0, 0.1, 0.0))}, "importance"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Plan(**values)
    assert caught.value.field == field


def test_a_data_set_passes_the_check_and_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    first, again, other = (
        write_synthetic(tmp_path / name, 24, seed=seed, plan=SMALL) for name, seed in (("a", 2), ("b", 2), ("c", 3))
    )
    check_data_set(first).raise_if_bad()
    assert open_data_set(first.folder).annotations == first.annotations
    files = sorted(path.relative_to(first.folder) for path in first.folder.rglob("*.*"))
    assert len(files) == 24 + 3
    assert all((first.folder / file).read_bytes() == (again.folder / file).read_bytes() for file in files)
    assert (first.folder / "clips.csv").read_bytes() != (other.folder / "clips.csv").read_bytes()


def test_the_truth_beside_a_data_set_is_what_was_planted(tmp_path: Path) -> None:
    data = write_synthetic(tmp_path, 24, seed=2, plan=SMALL)
    qualities = np.genfromtxt(tmp_path / PLANTED, delimiter=",", names=True, dtype=None, encoding="utf-8")
    weights = np.genfromtxt(tmp_path / IMPORTANCE_TABLE, delimiter=",", names=True, dtype=None, encoding="utf-8")
    for row, clip, annotation in zip(qualities, plan_clips(24, seed=2, plan=SMALL), data.annotations, strict=True):
        assert row.tolist() == (clip.clip_id, *clip.quality.values(), clip.virality)
        assert annotation.clip_id == clip.clip_id
        assert (annotation.likes, annotation.views) == (clip.reactions.likes, clip.reactions.views)
    assert weights["weight"].tolist() == [weight for row in IMPORTANCE for weight in row]
    assert weights["modality"].tolist() == [str(m) for m in FUSED_MODALITIES] * CHALLENGES
    assert set(weights["challenge_id"].tolist()) == set(data.challenges)


def test_clips_are_written_with_few_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[SyntheticClip]] = []
    alive, make = [], SyntheticClip.__init__

    def noted(clip: SyntheticClip, *parts: Any, **more: Any) -> None:
        made.append(weakref.ref(clip))
        make(clip, *parts, **more)

    def count(done: int, total: int) -> None:
        alive.append(sum(clip() is not None for clip in made))

    monkeypatch.setattr(SyntheticClip, "__init__", noted)
    write_synthetic(tmp_path, 24, seed=2, plan=SMALL, progress=count)
    assert len(alive) == len(made) == 24
    assert max(alive) - alive[0] <= 1


def test_a_folder_that_holds_a_data_set_and_parts_too_small_to_learn_from_are_refused(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "held", 24, seed=2, plan=SMALL)
    kept = (tmp_path / "held" / PLANTED).read_bytes()
    with pytest.raises(DataSetError, match="is there already"):
        write_synthetic(tmp_path / "held", 24, seed=3, plan=SMALL)
    assert (tmp_path / "held" / PLANTED).read_bytes() == kept
    with pytest.raises(DataSetError, match="keeps 1 of 24 clips to learn from"):
        write_synthetic(tmp_path / "new", 24, seed=2, plan=SMALL, test_share=0.6)
    assert not (tmp_path / "new").exists()


def test_other_extractors_see_the_same_dancers_in_features_of_their_widths() -> None:
    channels = ((Modality.HOLISTIC, 1280), (Modality.FACIAL, 64))
    (usual,) = synthesize(1, seed=3, plan=Plan(missing_face_share=0.0))
    (other,) = synthesize(1, seed=3, plan=Plan(missing_face_share=0.0, channels=channels))
    assert {m: f.shape[-1] for m, f in other.features.frames.items()} == {
        Modality.SKELETAL: 2, Modality.HOLISTIC: 1280, Modality.FACIAL: 64, Modality.SCENIC: 512,
    }  # fmt: skip
    assert (usual.quality, usual.annotation) == (other.quality, other.annotation)
    skeletal = Modality.SKELETAL
    np.testing.assert_array_equal(usual.features.frames[skeletal], other.features.frames[skeletal])
    for wrong in ((Modality.SKELETAL, 3), (Modality.FACIAL, 0)):
        with pytest.raises(ConfigurationError, match="channels of the synthetic clips"):
            Plan(channels=(wrong,))

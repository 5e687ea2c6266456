"""The rules take shortcuts and find what their full computation finds; a real clip takes every shortcut."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dancerank.synthetic import Plan, synthesize
from schemas import plausibility
from schemas.features import ClipFeatures
from schemas.joints import LAYOUTS
from schemas.modalities import Modality
from schemas.plausibility import Finding, check_plausible, findings
from schemas.plausibility.ordinary_poses import PoseLimits, is_ordinary
from schemas.plausibility.repetition import changes_between, repetition
from tests.clips import random_features
from tests.schemas.plausibility_reference import broken, pose_values, repetition_values, vector_values

S, H, B = Modality.SKELETAL, Modality.HOLISTIC, Modality.SCENIC
RULES = PoseLimits(
    plausibility.LEAST_EXTENT,
    plausibility.LEAST_WIDTH,
    plausibility.LEAST_MOVEMENT,
    plausibility.GREATEST_SPEED,
)

Frames = np.ndarray
Change = Callable[[Frames, float, np.random.Generator], Frames]


def dance(seconds: float, modality: Modality) -> Frames:
    (made,) = synthesize(1, seed=4, plan=Plan(shortest_s=seconds, longest_s=seconds, missing_face_share=0.0))
    return made.features.frames[modality].astype(np.float32)


def frozen_at_first(frames: Frames, share: float) -> Frames:
    """The first ``share`` of the steps is the first step."""
    still = frames.copy()
    still[: round(share * len(frames))] = frames[0]
    return still


def flattened(f: Frames, share: float, _: np.random.Generator) -> Frames:
    return f * np.array([share, 1], np.float32)


def flattened_in_half(f: Frames, share: float, _: np.random.Generator) -> Frames:
    f = f.copy()
    f[: len(f) // 2 + 1] *= np.array([share, 1], np.float32)
    return f


POSES: dict[str, tuple[Change, np.ndarray]] = {
    "a body in a large picture": (lambda f, s, _: f / np.ptp(f) + s, np.geomspace(1, 2e3, 25)),
    "a thin body": (flattened, np.geomspace(1e-3, 1, 25)),
    "a body that is thin in half of the steps": (flattened_in_half, np.geomspace(1e-3, 1, 13)),
    "a pose that hardly changes": (lambda f, s, _: f[:1] + s * (f - f[:1]), np.geomspace(1e-4, 1, 25)),
    "a pose that is held": (lambda f, s, _: frozen_at_first(f, s), np.linspace(0, 1, 25)),
    "a pose that trembles": (
        lambda f, s, r: f[:1] + s * np.ptp(f) * r.standard_normal(f.shape, np.float32),
        np.geomspace(1e-4, 1, 25),
    ),
    "a pose that jumps now and then": (
        lambda f, s, r: f + np.ptp(f) * (r.random((len(f), 1, 1)) < s),
        np.linspace(0, 1, 13),
    ),
    "a loop": (lambda f, s, _: np.resize(f[: round(s)], f.shape), np.arange(2, 110, 5)),
    "a loop with noise": (
        lambda f, s, r: np.resize(f[:12], f.shape) + s * r.standard_normal(f.shape, np.float32),
        np.geomspace(1e-5, 1, 25),
    ),
    "pictures shown several times": (lambda f, s, _: np.repeat(f, round(s), 0)[: len(f)], np.arange(1, 14)),
    "shuffled": (lambda f, _s, r: r.permutation(f), np.arange(3)),
    "few steps": (lambda f, s, _: f[: round(s)], np.arange(1, 9)),
}
VECTORS: dict[str, tuple[Change, np.ndarray]] = {
    "hardly any contrast": (lambda f, s, _: 1 + s * f, np.geomspace(1e-5, 1, 25)),
    "no contrast in some of the steps": (
        lambda f, s, _: np.where(np.arange(len(f))[:, None] < s * len(f), np.float32(1), f),
        np.linspace(0, 1, 13),
    ),
    "hardly any change": (lambda f, s, _: f[:1] + s * (f - f[:1]), np.geomspace(1e-6, 1, 25)),
    "a still picture": (lambda f, s, _: frozen_at_first(f, s), np.linspace(0, 1, 13)),
    "a loop": (lambda f, s, _: np.resize(f[: round(s)], f.shape), np.arange(2, 110, 9)),
    "pictures shown several times": (lambda f, s, _: np.repeat(f, round(s), 0)[: len(f)], np.arange(1, 14)),
    "few steps": (lambda f, s, _: f[: round(s)], np.arange(1, 9)),
}


def grid(families: dict[str, tuple[Change, np.ndarray]], frames: Frames) -> Iterator[Frames]:
    for change, strengths in families.values():
        for number, strength in enumerate(strengths):
            yield change(frames, float(strength), np.random.default_rng(number)).astype(np.float32)


def found_of(modality: Modality, frames: Frames, layout: str | None = None) -> dict[str, float]:
    features = ClipFeatures({modality: frames}, layout)
    found: list[Finding] = list(findings(features, len(frames) / modality.rate_hz))
    return {str(each.rule): each.value for each in found if each.rule != "length"}


def assert_found(found: dict[str, float], expected: dict[str, float]) -> None:
    assert set(found) == broken(expected)
    assert found == pytest.approx({rule: expected[rule] for rule in found}, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_poses_break_the_rules_that_their_full_computation_breaks(name: str, dtype: type[np.floating]) -> None:
    for frames in grid({name: POSES[name]}, dance(4.0, S)):
        stored = frames.astype(dtype)
        assert_found(found_of(S, stored, "mpii-16"), pose_values(stored.astype(np.float64)))


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.coordinates == 3])
def test_poses_in_space_break_the_rules_that_their_full_computation_breaks(layout: str) -> None:
    pose = random_features(4.0, modalities=[S], joint_layout=layout, joint_channels=3, dtype=np.float32).frames[S]
    for squeezed in ([1, 1, 1], [1, 0.02, 1], [1, 0.02, 0.02], [1, 0.005, 0.005], [1, 0.001, 0.03], [0, 0, 1]):
        frames = pose * np.array(squeezed, np.float32)
        assert_found(found_of(S, frames, layout), pose_values(frames.astype(np.float64)))


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_break_the_rules_that_their_full_computation_breaks(name: str, dtype: type[np.floating]) -> None:
    for frames in grid({name: VECTORS[name]}, dance(4.0, H)):
        stored = frames.astype(dtype)
        assert_found(found_of(H, stored), vector_values(stored))


def test_a_pose_that_is_called_ordinary_breaks_no_rule_of_poses() -> None:
    called = 0
    for frames in grid(POSES, dance(4.0, S)):
        pose = frames.astype(np.float64)
        if len(pose) < 4:
            continue
        changes = changes_between(pose.reshape(len(pose), -1))
        if is_ordinary(pose, changes, float(np.abs(pose).max()), RULES):
            called += 1
            assert not broken(pose_values(pose)) - {"duplicates", "repeats"}
    assert called > 50


@pytest.mark.parametrize("steps", [4, 5, 63, 64, 65, 200, 400])
@pytest.mark.parametrize("share", [0.0, 0.24, 0.26, 0.6, 0.74, 0.76, 0.9])
def test_repeats_are_those_of_all_pairs_wherever_they_are(steps: int, share: float) -> None:
    rng = np.random.default_rng(steps)
    made = rng.standard_normal((steps, 64)).cumsum(axis=0)
    first = max(2, round((1 - share) * steps))
    for repeated in (np.resize(made[:first], made.shape), np.concatenate([made[:first], made[:first][::-1]])[:steps]):
        expected = repetition_values(repeated)
        found = repetition(repeated, changes_between(repeated), most_duplicates=0.9, most_repeats=0.75)
        assert found.duplicates == expected["duplicates"]
        exact = expected.get("repeats", 0.0)
        assert found.repeats == (pytest.approx(exact) if exact > 0.75 else 0.0)


@pytest.mark.parametrize("seed", [31, 32])
def test_a_synthetic_clip_never_costs_the_exact_values(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("computed in full")

    monkeypatch.setattr(plausibility, "_unusual_pose_findings", refuse)
    monkeypatch.setattr(plausibility, "_contrast", refuse)
    for made in synthesize(60, seed=seed):
        check_plausible(made.features, made.duration_s)


@pytest.mark.parametrize("looped", [False, True])
def test_memory_does_not_grow_with_the_square_of_the_length(looped: bool) -> None:
    walk = np.random.default_rng(0).standard_normal((20_000, 32)).cumsum(axis=0)
    steps = np.resize(walk[:5100], walk.shape) if looped else walk
    changes = changes_between(steps)
    tracemalloc.start()
    repetition(steps, changes, most_duplicates=0.9, most_repeats=0.75)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * steps.nbytes  # all pairs would take 3.2 GB, these 20 MB

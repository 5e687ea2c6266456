"""What a bundle states of its training clips: others like them are inside, garbage that keeps every rule is outside."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from dancerank.synthetic import Plan, synthesize
from schemas.modalities import PAPER_MODALITIES, Modality
from schemas.training_distribution import (
    FEWEST_CLIPS,
    DistanceMeter,
    ModalityDistribution,
    TrainingDistribution,
    training_distribution,
)

S, H, F, B = PAPER_MODALITIES
STEPS = {S: (16, 2), H: (2048,), F: (2048,), B: (512,)}
SHORT = Plan(shortest_s=3.0, longest_s=5.0)

Frames = np.ndarray
Clip = dict[Modality, Frames]


def clips(count: int, seed: int, plan: Plan = SHORT) -> list[Clip]:
    return [made.features.frames for made in synthesize(count, seed=seed, plan=plan)]


def stated_by(learned: Sequence[Clip]) -> TrainingDistribution:
    return training_distribution(learned, coordinates=2, modalities=PAPER_MODALITIES)


@pytest.fixture(scope="module")
def stated() -> TrainingDistribution:
    return stated_by(clips(400, seed=11))


@pytest.fixture(scope="module")
def meters(stated: TrainingDistribution) -> dict[Modality, DistanceMeter]:
    return {modality: DistanceMeter(modality, each, STEPS[modality]) for modality, each in stated.items()}


def test_nearly_all_clips_of_other_dancers_and_lengths_are_inside(meters: dict[Modality, DistanceMeter]) -> None:
    fresh = [*clips(150, seed=12), *clips(50, seed=13, plan=Plan(shortest_s=10.0, longest_s=20.0))]
    for modality, meter in meters.items():
        distances = [meter.distance(clip[modality]) for clip in fresh if modality in clip]
        assert np.mean(np.array(distances) > 1) <= 0.03
        assert np.median(distances) < 0.6


def test_the_statement_says_how_many_clips_it_rests_on_and_which_share_lies_within(
    stated: TrainingDistribution,
) -> None:
    assert set(stated) == set(PAPER_MODALITIES)
    assert (stated[S].clips, stated[S].kept_apart) == (320, 80)
    assert stated[S].share == pytest.approx(80 / 81, abs=1e-6)  # the most that 80 clips can say
    assert stated[F].clips + stated[F].kept_apart < 400  # some clips have no face


def test_a_statement_survives_its_manifest_bit_for_bit_and_is_the_same_again(stated: TrainingDistribution) -> None:
    raw = msgspec.json.encode(stated)
    assert msgspec.json.decode(raw, type=TrainingDistribution) == stated
    assert stated_by(clips(400, seed=11)) == stated


def test_too_few_clips_state_nothing() -> None:
    learned = clips(FEWEST_CLIPS - 1, seed=11)
    assert stated_by(learned) == {}


def rectified(frames: Frames) -> Frames:
    rng = np.random.default_rng(1)
    return np.maximum(frames.mean() + frames.std() * rng.standard_normal(frames.shape), 0)


def permuted(frames: Frames) -> Frames:
    return frames[:, np.random.default_rng(1).permutation(frames.shape[1])]


def smoothed_noise(frames: Frames) -> Frames:
    """A random walk: slow enough for the rule of speed."""
    walk = np.random.default_rng(1).standard_normal(frames.shape).cumsum(axis=0)
    return frames[:1] + 0.02 * float(np.ptp(frames)) * walk


@pytest.mark.parametrize(
    ("modality", "change"),
    [
        pytest.param(
            S,
            smoothed_noise,
            marks=pytest.mark.tried(
                kind="trust in features",
                given="joints that wander",
                outcome="outside the training distribution",
            ),
        ),
        pytest.param(
            S,
            permuted,
            marks=pytest.mark.tried(
                kind="trust in features",
                given="a dance with its joints in another order",
                outcome="outside the training distribution",
            ),
        ),
        pytest.param(
            S,
            lambda f: -f,
            marks=pytest.mark.tried(
                kind="trust in features", given="a dance upside down", outcome="outside the training distribution"
            ),
        ),
        pytest.param(
            H,
            rectified,
            marks=pytest.mark.tried(
                kind="trust in features",
                given="holistic noise with the mean and deviation of a real clip",
                outcome="outside the training distribution",
            ),
        ),
        pytest.param(
            F,
            permuted,
            marks=pytest.mark.tried(
                kind="trust in features",
                given="facial features with their channels in another order",
                outcome="outside the training distribution",
            ),
        ),
        pytest.param(
            B,
            lambda f: 3 * f,
            marks=pytest.mark.tried(
                kind="trust in features",
                given="scenic features three times as large",
                outcome="outside the training distribution",
            ),
        ),
        pytest.param(
            H,
            lambda f: np.full_like(f, 3e38),
            marks=pytest.mark.tried(
                kind="trust in features",
                given="values whose squares overflow, past the rules",
                outcome="outside the training distribution",
            ),
        ),
    ],
)
def test_garbage_lies_outside(
    meters: dict[Modality, DistanceMeter], modality: Modality, change: Callable[[Frames], Frames]
) -> None:
    for clip in clips(5, seed=14):
        if modality in clip:
            distance = meters[modality].distance(change(clip[modality].astype(np.float32)))
            assert 1.2 < distance < np.inf


@pytest.mark.parametrize("scale", [0.001, 1.0, 50.0])
def test_where_and_how_large_a_body_is_does_not_matter(meters: dict[Modality, DistanceMeter], scale: float) -> None:
    pose = clips(1, seed=14)[0][S].astype(np.float64)
    assert meters[S].distance(scale * pose + 7 * scale) == pytest.approx(meters[S].distance(pose), rel=1e-6)


def test_a_confidence_beside_the_coordinates_is_not_looked_at(stated: TrainingDistribution) -> None:
    pose = clips(1, seed=14)[0][S].astype(np.float32)
    confident = np.concatenate([pose, np.ones_like(pose[..., :1])], axis=-1)
    meter = DistanceMeter(S, stated[S], (16, 3))
    assert meter.distance(confident) == meter.distance(pose)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_have_a_finite_distance(meters: dict[Modality, DistanceMeter], steps: int) -> None:
    clip = clips(1, seed=14)[0]
    for modality in (S, H, B):
        assert np.isfinite(meters[modality].distance(clip[modality][:steps]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"descriptors": ("colour",)}, "descriptors are colour"),
        ({"mean": (0.0,)}, "do not fit"),
        ({"precision": ((1.0, 2.0), (1.0,))}, "do not fit"),
        ({"limit": 0.0}, "do not fit"),
        ({"limit": float("nan")}, "do not fit"),
        ({"typical": bytes(12)}, "typical step has 3 values"),
        ({"typical": b""}, "typical step has 0 values"),
    ],
)
def test_a_statement_that_cannot_be_used_is_refused(
    stated: TrainingDistribution, changes: dict[str, object], message: str
) -> None:
    broken: ModalityDistribution = msgspec.structs.replace(stated[S], **changes)
    with pytest.raises(ValueError, match=message):
        DistanceMeter(S, broken, STEPS[S])

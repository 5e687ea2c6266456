"""Garbage is refused with the rule, the value and the limit; what people and extractors really give passes."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dancerank.synthetic import Plan, synthesize
from schemas.errors import FeatureShapeInvalid, FeaturesImplausible
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.joints import CONVERSIONS, LAYOUTS, MPII_16
from schemas.modalities import Modality
from schemas.plausibility import LEAST_SHARE, check_plausible, findings
from tests.clips import random_features
from vdv.folder import Clip
from vdv.importers import dance, speed21, unlv_dive

S, H, F, B = Modality.SKELETAL, Modality.HOLISTIC, Modality.FACIAL, Modality.SCENIC
SECONDS = 12.0

Frames = np.ndarray
Change = Callable[[Frames], Frames]


def clip() -> dict[Modality, Frames]:
    """The features of a synthetic dance of twelve seconds."""
    (made,) = synthesize(1, seed=4, plan=Plan(shortest_s=SECONDS, longest_s=SECONDS, missing_face_share=0.0))
    return made.features.frames


def changed(modality: Modality, change: Change) -> ClipFeatures:
    frames = clip()
    frames[modality] = change(frames[modality].astype(np.float32))
    return ClipFeatures(frames, MPII_16.name)


def cycled(steps: int) -> Change:
    return lambda frames: np.resize(frames[:steps], frames.shape)


def turned(frames: Frames) -> Frames:
    """The first pose, drifting, growing and turning."""
    steps = np.linspace(0, 1, len(frames))
    cos, sin = np.cos(steps), np.sin(steps)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    return ((frames[0] @ rotation) * (1 + steps)[:, None, None] + 3 * steps[:, None, None]).astype(np.float32)


def noise(frames: Frames, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).standard_normal(frames.shape, np.float32)


@pytest.mark.parametrize(
    ("modality", "change", "rule"),
    [
        pytest.param(
            S,
            lambda f: np.full_like(f, 3e38),
            "magnitude",
            marks=pytest.mark.tried(
                kind="trust in features", given="a skeleton full of 3e38", outcome="refused by the rule magnitude"
            ),
        ),
        pytest.param(
            S,
            lambda f: np.repeat(f[:1], len(f), 0),
            "movement",
            marks=pytest.mark.tried(
                kind="trust in features", given="one pose repeated for 12 s", outcome="refused by the rule movement"
            ),
        ),
        pytest.param(
            S,
            turned,
            "movement",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="one pose that drifts, grows and turns for 12 s",
                outcome="refused by the rule movement",
            ),
        ),
        pytest.param(
            S,
            lambda f: f[:1] + 1e-4 * noise(f),
            "movement",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="one pose repeated with the slightest noise",
                outcome="refused by the rule movement",
            ),
        ),
        pytest.param(
            S,
            lambda f: f[:1],
            "length",
            marks=pytest.mark.tried(
                kind="trust in features", given="one frame for a clip of 12 s", outcome="refused by the rule length"
            ),
        ),
        pytest.param(
            S,
            lambda f: np.full_like(f, 5.0) + 1e-3 * noise(f),
            "extent",
            marks=pytest.mark.tried(
                kind="trust in features", given="all joints in one place", outcome="refused by the rule extent"
            ),
        ),
        pytest.param(
            S,
            lambda f: f * np.array([0, 1], np.float32),
            "width",
            marks=pytest.mark.tried(
                kind="trust in features", given="all joints on one line", outcome="refused by the rule width"
            ),
        ),
        pytest.param(
            S,
            noise,
            "speed",
            marks=pytest.mark.tried(
                kind="trust in features", given="a skeleton of white noise", outcome="refused by the rule speed"
            ),
        ),
        pytest.param(
            S,
            cycled(10),
            "repeats",
            marks=pytest.mark.tried(
                kind="trust in features", given="ten poses in a loop for 12 s", outcome="refused by the rule repeats"
            ),
        ),
        pytest.param(
            S,
            lambda f: cycled(20)(f) + 1e-4 * noise(f),
            "repeats",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="a loop of poses with the slightest noise",
                outcome="refused by the rule repeats",
            ),
        ),
        pytest.param(
            S,
            lambda f: np.concatenate([f[:15], np.repeat(f[15:16], len(f) - 15, 0)]),
            "duplicates",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="half a second of movement, then one pose",
                outcome="refused by the rule duplicates",
            ),
        ),
        pytest.param(
            H,
            np.zeros_like,
            "contrast",
            marks=pytest.mark.tried(
                kind="trust in features", given="holistic features of zeros", outcome="refused by the rule contrast"
            ),
        ),
        pytest.param(
            F,
            np.ones_like,
            "contrast",
            marks=pytest.mark.tried(
                kind="trust in features", given="facial features of ones", outcome="refused by the rule contrast"
            ),
        ),
        pytest.param(
            B,
            lambda f: np.repeat(f[:1], len(f), 0),
            "variation",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="one scenic vector for the whole clip",
                outcome="refused by the rule variation",
            ),
        ),
        pytest.param(
            H,
            lambda f: f * np.float32(1e6),
            "magnitude",
            marks=pytest.mark.tried(
                kind="trust in features", given="holistic features times 10^6", outcome="refused by the rule magnitude"
            ),
        ),
        pytest.param(
            H,
            cycled(8),
            "repeats",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="eight pictures in a loop",
                outcome="refused by the rule repeats",
            ),
        ),
        pytest.param(
            B,
            lambda f: f[:5],
            "length",
            marks=pytest.mark.tried(
                kind="trust in features",
                given="scenic features of 1.25 s for a clip of 12 s",
                outcome="refused by the rule length",
            ),
        ),
        pytest.param(
            F,
            lambda f: f[:1],
            "length",
            marks=pytest.mark.tried(
                kind="trust in features", given="one face for a clip of 12 s", outcome="refused by the rule length"
            ),
        ),
    ],
)
def test_garbage_is_refused_with_the_rule_the_value_and_the_limit(
    modality: Modality, change: Change, rule: str
) -> None:
    features = changed(modality, change)
    with pytest.raises(FeaturesImplausible, match=rf"rule '{rule}'.*'{modality}' is .*at (least|most) ") as caught:
        check_plausible(features, SECONDS)
    assert caught.value.field == modality
    assert {found.modality for found in findings(features, SECONDS)} == {modality}


def test_rules_hold_in_float16_too() -> None:
    features = changed(S, lambda f: np.repeat(f[:1], len(f), 0).astype(np.float16))
    with pytest.raises(FeaturesImplausible, match="movement"):
        check_plausible(features, SECONDS)


@pytest.mark.parametrize(
    ("modality", "change"),
    [
        pytest.param(S, lambda f: f[:1] + 0.5 * noise(f), id="a dancer who stands still, seen by an estimator"),
        pytest.param(S, lambda f: np.repeat(f[::5], 5, 0), id="five pictures per second, shown at 25"),
        pytest.param(S, lambda f: f[::-1].copy(), id="played backwards"),
        pytest.param(S, lambda f: np.concatenate([f[:150], f[:150]]), id="played twice"),
        pytest.param(S, lambda f: (f - f.min()) / np.ptp(f), id="coordinates from 0 to 1"),
        pytest.param(S, lambda f: f - f[:, 6:7], id="centred on the pelvis"),
        pytest.param(S, lambda f: 3000 + 0.05 * f, id="a small body in a large picture"),
        pytest.param(S, lambda f: f[: int(0.6 * len(f))], id="frames dropped by the extractor"),
        pytest.param(F, lambda f: f[::4], id="a face that is seen now and then"),
        pytest.param(B, lambda f: f[:1] + 0.001 * noise(f), id="a room before a fixed camera"),
    ],
)
def test_what_extractors_give_of_real_clips_passes(modality: Modality, change: Change) -> None:
    assert list(findings(changed(modality, change), SECONDS)) == []


def routine(seconds: int = 100) -> Frames:
    """Of each second a frame of its own, and the dynamic feature of the segment of 3.2 s that it begins in."""
    draw = np.random.default_rng(3)
    static = np.abs(draw.standard_normal((seconds, 2048), np.float32))
    dynamic = 10 * np.abs(draw.standard_normal((seconds, 1024), np.float32))[5 * np.arange(seconds) // 16]
    return np.concatenate([static, dynamic], axis=1).astype(np.float16)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: f, id="as the extractors give it"),
        pytest.param(lambda f: np.concatenate([f[:1, :2048] + 0.01 * noise(f[:, :2048]), f[:, 2048:]], 1), id="a hall"),
        pytest.param(lambda f: f[16 * (5 * np.arange(len(f)) // 16) // 5], id="one frame for each segment"),
        pytest.param(lambda f: np.concatenate([f[:48], f[:48]]), id="a figure that is danced twice"),
        pytest.param(lambda f: f[:60], id="frames dropped by the extractor"),
    ],
)
def test_a_routine_may_change_only_from_segment_to_segment(change: Change) -> None:
    assert list(findings(ClipFeatures({Modality.ROUTINE: change(routine())}), 100.0)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda f: f[:40], "length"),
        (lambda f: np.repeat(f[:1], len(f), 0), "variation"),
        (lambda f: np.zeros_like(f), "contrast"),
        (lambda f: np.repeat(f[::12], 12, 0)[: len(f)], "duplicates"),
        (cycled(16), "repeats"),
    ],
)
def test_garbage_as_a_routine_is_refused(change: Change, rule: str) -> None:
    with pytest.raises(FeaturesImplausible, match=f"rule '{rule}'"):
        check_plausible(ClipFeatures({Modality.ROUTINE: change(routine())}), 100.0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_every_joint_layout_passes(layout: str, dtype: type[np.floating]) -> None:
    dimensions = LAYOUTS[layout].coordinates
    features = random_features(4.0, modalities=[S], joint_layout=layout, joint_channels=dimensions, dtype=dtype)
    assert list(findings(features, 4.0)) == []
    assert layout == MPII_16.name or layout in CONVERSIONS


def test_interpolated_joints_pass() -> None:
    frames = clip()[S].astype(np.float32) + 5
    frames[20:32] = 0
    frames[::7, [10, 15]] = 0
    features = decode_features(encode_features(ClipFeatures({S: frames}, MPII_16.name)))
    assert features.filled_joints > 0
    assert list(findings(features, SECONDS)) == []


def test_the_least_length_is_a_share_of_the_duration() -> None:
    frames = clip()[S]
    enough = frames[: round(LEAST_SHARE * SECONDS * S.rate_hz)]
    assert list(findings(ClipFeatures({S: enough}, MPII_16.name), SECONDS)) == []
    with pytest.raises(FeaturesImplausible, match="length"):
        check_plausible(ClipFeatures({S: enough[:-3]}, MPII_16.name), SECONDS)


def test_features_longer_than_the_clip_keep_their_own_error() -> None:
    with pytest.raises(FeatureShapeInvalid, match="lasts 12 s and duration_s is 5"):
        check_plausible(ClipFeatures(clip(), MPII_16.name), 5.0)


def test_one_vector_for_a_whole_video_is_admitted_where_it_is_asked_for() -> None:
    features = ClipFeatures({H: clip()[H][:1]})
    check_plausible(features, SECONDS, whole_video=True)
    with pytest.raises(FeaturesImplausible, match="length"):
        check_plausible(features, SECONDS)


@pytest.mark.parametrize("seed", [21, 22])
def test_synthetic_clips_pass(seed: int) -> None:
    for made in synthesize(100, seed=seed):
        assert list(findings(made.features, made.duration_s)) == []


@pytest.mark.parametrize("read", [speed21.read_clips, dance.read_clips, unlv_dive.read_clips])
def test_recordings_of_people_pass(read: Callable[[Path], list[Clip]]) -> None:
    folder = os.environ.get("DANCERANK_DATA")
    if not folder:
        pytest.skip("DANCERANK_DATA names no folder with recordings")
    clips = read(Path(folder))
    refused = [
        found
        for each in clips
        for found in findings(each.features, each.annotation.duration_s, whole_video=read is unlv_dive.read_clips)
    ]
    assert len(clips) > 250
    assert refused == []

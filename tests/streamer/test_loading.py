import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from schemas.errors import (
    FeatureError,
    FeatureFileCorrupt,
    FeatureFileOversized,
    FeatureShapeInvalid,
    FeaturesImplausible,
    FeatureValueInvalid,
    NoUsableModality,
)
from schemas.events import FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, encode_features
from schemas.joints import LAYOUTS, convert
from schemas.modalities import PAPER_MODALITIES
from streamer.loading import FeatureLoader
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from tests.clips import random_features, upload
from tests.small_bundle import small_bundle

S, H, F, B = PAPER_MODALITIES


def loader(tmp_path: Path, *roots: str, max_bytes: int = 1 << 26, **bundle: object) -> FeatureLoader:
    store = FeatureStore(FeatureRoots(roots), max_bytes=max_bytes, patience_s=1.0, options={})
    return FeatureLoader(store, small_bundle(tmp_path / "bundle", **bundle).manifest, max_bytes=max_bytes)


def test_features_come_as_they_were_written(tmp_path: Path, feature_root: Path) -> None:
    features = random_features(4.0)
    content = encode_features(features)
    (feature_root / "clip").write_bytes(content)
    file = FeatureFile(f"{feature_root.as_uri()}/clip", hashlib.sha256(content).hexdigest())
    load = loader(tmp_path, feature_root.as_uri()).load
    for loaded in (load(upload("clip", features)), load(upload("clip", file))):
        assert loaded.frames.keys() == features.frames.keys()
        for modality, frames in features.frames.items():
            assert loaded.frames[modality].dtype == np.float16
            np.testing.assert_array_equal(loaded.frames[modality], frames)


def test_modalities_that_the_bundle_does_not_score_are_ignored(tmp_path: Path) -> None:
    loaded = loader(tmp_path, modalities=(H, B)).load(upload("clip", random_features(4.0)))
    assert set(loaded.frames) == {H, B}
    assert loaded.joint_layout is None


def test_a_clip_with_none_of_the_bundles_modalities_says_what_it_has_and_what_is_scored(tmp_path: Path) -> None:
    load = loader(tmp_path, modalities=(H, B)).load
    with pytest.raises(
        NoUsableModality, match=r"inline features: the clip has only skeletal, facial.* holistic, scenic"
    ):
        load(upload("clip", random_features(4.0, modalities=(S, F))))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "mpii-16"])
def test_another_joint_layout_is_converted_to_the_bundles(tmp_path: Path, layout: str) -> None:
    channels = LAYOUTS[layout].coordinates
    features = random_features(4.0, joint_layout=layout, joint_channels=channels)
    loaded = loader(tmp_path).load(upload("clip", features))
    expected = convert(features.frames[S], LAYOUTS[layout], LAYOUTS["mpii-16"])
    np.testing.assert_array_equal(loaded.frames[S], expected)
    assert loaded.joint_layout == "mpii-16"


def test_a_confidence_that_the_bundle_does_not_read_is_dropped(tmp_path: Path) -> None:
    features = random_features(4.0, joint_channels=3)
    loaded = loader(tmp_path).load(upload("clip", features))
    np.testing.assert_array_equal(loaded.frames[S], features.frames[S][..., :2])


def test_a_confidence_that_the_bundle_needs_and_the_clip_lacks_is_an_error(tmp_path: Path) -> None:
    load = loader(tmp_path, joint_channels=3).load
    with pytest.raises(FeatureShapeInvalid, match="has 2 channels; this model reads 3") as caught:
        load(upload("clip", random_features(4.0)))
    assert caught.value.field == "skeletal"


def test_a_layout_that_cannot_be_read_as_the_bundles_is_an_error(tmp_path: Path) -> None:
    load = loader(tmp_path, joint_layout="dance-23", joint_channels=3).load
    with pytest.raises(FeatureShapeInvalid, match="coco-17 cannot be read as dance-23"):
        load(upload("clip", random_features(4.0, joint_layout="coco-17")))


def test_a_checksum_that_differs_names_its_field(tmp_path: Path, feature_root: Path) -> None:
    (feature_root / "clip").write_bytes(encode_features(random_features(4.0)))
    file = FeatureFile(f"{feature_root.as_uri()}/clip", "0" * 64)
    with pytest.raises(FeatureFileCorrupt, match="checksum mismatch") as caught:
        loader(tmp_path, feature_root.as_uri()).load(upload("clip", file))
    assert caught.value.field == "features.sha256"


def test_the_size_limit_holds_for_inline_features_too(tmp_path: Path) -> None:
    with pytest.raises(FeatureFileOversized):
        loader(tmp_path, max_bytes=1000).load(upload("clip", random_features(4.0)))


def test_an_error_in_a_file_names_the_file_and_the_tensor(tmp_path: Path, feature_root: Path) -> None:
    features = random_features(4.0)
    content = bytearray(encode_features(features))
    content[-2:] = np.float16(np.nan).tobytes()
    (feature_root / "clip").write_bytes(content)
    with pytest.raises(FeatureValueInvalid, match=f"{feature_root.as_uri()}/clip: tensor") as caught:
        loader(tmp_path, feature_root.as_uri()).load(upload("clip", FeatureFile(f"{feature_root.as_uri()}/clip")))
    assert caught.value.field in features.frames


def test_values_that_overflow_in_the_conversion_of_joints_are_refused(tmp_path: Path) -> None:
    """float16 holds 65504 at most; averages of such values stay within, so nothing infinite reaches the networks."""
    pose = random_features(4.0, modalities=[S], joint_layout="coco-17", dtype=np.float32).frames[S]
    frames = np.clip(pose * 40_000, -65504, 65504).astype(np.float16)
    loaded = loader(tmp_path).load(upload("clip", ClipFeatures({S: frames}, "coco-17")))
    assert np.isfinite(loaded.frames[S]).all()


def test_undetected_joints_are_interpolated_before_the_pose_is_converted_and_the_share_is_kept(tmp_path: Path) -> None:
    complete = random_features(4.0, joint_layout="openpose-18", joint_channels=3, dtype=np.float32).frames[S]
    lost = complete.copy()
    lost[::7, [4, 7]] = 0
    expected = complete.copy()
    seen = np.flatnonzero(np.arange(100) % 7)
    for joint in (4, 7):
        for axis in range(3):
            expected[:, joint, axis] = np.interp(np.arange(100), seen, complete[seen, joint, axis])
    loaded = loader(tmp_path).load(upload("clip", ClipFeatures({S: lost}, "openpose-18")))
    converted = convert(expected, LAYOUTS["openpose-18"], LAYOUTS["mpii-16"])[..., :2]
    np.testing.assert_allclose(loaded.frames[S], converted, atol=1e-6)
    assert loaded.filled_joints == 15 * 2 / (100 * 18)


@pytest.mark.tried(
    kind="missing values in disguise",
    given="a feature file whose wrist is undetected for 0.8 s",
    outcome="dead-lettered with clip, file, joint and share",
)
def test_joints_undetected_for_long_are_refused_with_clip_place_joints_and_share(
    tmp_path: Path, feature_root: Path
) -> None:
    features = random_features(4.0, joint_channels=3)
    content = encode_features(features)
    lost = features.frames[S].copy()
    lost[20:40, 10] = 0
    (feature_root / "clip").write_bytes(content.replace(features.frames[S].tobytes(), lost.tobytes()))
    place = f"clip a, {feature_root.as_uri()}/clip: undetected joints: right wrist for 0.80 s in a row, 20.0% of the"
    with pytest.raises(FeatureValueInvalid, match=place):
        loader(tmp_path, feature_root.as_uri()).load(upload("a", FeatureFile(f"{feature_root.as_uri()}/clip")))


@pytest.mark.tried(
    kind="two readers, two truths",
    given="60 s of frames in an upload that says 3 s",
    outcome="dead-lettered with both durations",
)
def test_a_minute_of_frames_in_an_upload_of_three_seconds_is_refused(tmp_path: Path) -> None:
    minute = random_features(60.0, modalities=(S, B))
    with pytest.raises(
        FeatureShapeInvalid, match="clip clip, inline features: tensor 'skeletal' lasts 60 s and duration_s is 3"
    ):
        loader(tmp_path).load(upload("clip", minute, duration_s=3.0))


@pytest.mark.tried(
    kind="two readers, two truths",
    given="the same in a modality that the bundle does not score",
    outcome="dead-lettered",
)
def test_a_tensor_that_the_bundle_does_not_score_may_not_be_longer_than_the_clip_either(tmp_path: Path) -> None:
    short, long = random_features(3.0, modalities=(H,)), random_features(60.0, modalities=(B,))
    features = ClipFeatures({**short.frames, **long.frames})
    with pytest.raises(FeatureShapeInvalid, match="'scenic' lasts 60 s"):
        loader(tmp_path, modalities=(H,)).load(upload("clip", features, duration_s=3.0))


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        pytest.param(
            np.zeros((300, 16, 2), np.float32),
            FeatureValueInvalid,
            "undetected joints: .* in every step",
            marks=pytest.mark.tried(
                kind="trust in features", given="a skeleton of zeros for 12 s", outcome="refused as undetected joints"
            ),
        ),
        (np.full((300, 16, 2), 3e38, np.float32), FeaturesImplausible, "'magnitude'"),
        (np.tile(random_features(4.0, modalities=[S]).frames[S][:1], (300, 1, 1)), FeaturesImplausible, "'movement'"),
        (np.arange(32, dtype=np.float32).reshape(1, 16, 2) ** 2, FeaturesImplausible, "'length'"),
    ],
    ids=["zeros", "3e38", "frozen", "one frame"],
)
def test_a_skeleton_of_no_person_is_refused_and_the_clip_is_named(
    tmp_path: Path, frames: np.ndarray, error: type[FeatureError], message: str
) -> None:
    content = safetensors.numpy.save(
        {"skeletal": frames},
        {"schema": "clip-features/1", "joint_layout": "mpii-16", "frame_rate_hz.skeletal": "25"},
    )
    with pytest.raises(error, match=rf"clip garbage, inline features: .*{message}") as caught:
        loader(tmp_path).load(upload("garbage", InlineFeatures(content), duration_s=12.0))
    assert caught.value.field == S

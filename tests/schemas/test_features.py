import json
import struct
from contextlib import suppress

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import (
    FeatureError,
    FeatureFileCorrupt,
    FeatureFileOversized,
    FeatureShapeInvalid,
    FeatureValueInvalid,
    NoUsableModality,
)
from schemas.features import ClipFeatures, check_finite, check_length, decode_features, encode_features
from schemas.joints import LAYOUTS
from schemas.modalities import FUSED_MODALITIES, Modality
from tests.clips import random_features

METADATA = {
    "schema": "clip-features/1",
    "joint_layout": "mpii-16",
    "frame_rate_hz.skeletal": "25",
    "frame_rate_hz.holistic": "25",
    "frame_rate_hz.facial": "3",
    "frame_rate_hz.scenic": "4",
}
SMALL = encode_features(random_features(3.0, modalities=(Modality.SKELETAL, Modality.SCENIC)))


@st.composite
def clips(draw: st.DrawFn) -> ClipFeatures:
    present = draw(st.sets(st.sampled_from(FUSED_MODALITIES), min_size=1))
    layout = draw(st.sampled_from(list(LAYOUTS.values())))
    features = random_features(
        draw(st.floats(0.4, 4.0)),
        modalities=[m for m in FUSED_MODALITIES if m in present],
        seed=draw(st.integers(0, 99)),
        joint_layout=layout.name,
        joint_channels=draw(st.sampled_from(layout.channel_counts)),
        dtype=draw(st.sampled_from([np.float16, np.float32])),
    )
    versions = {m: "model-1" for m in features.modalities if draw(st.booleans())}
    return ClipFeatures(features.frames, features.joint_layout, versions)


def raw_file(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def saved(metadata: dict[str, str] = METADATA, **tensors: np.ndarray) -> bytes:
    return safetensors.numpy.save(tensors, metadata)


@given(clips())
def test_features_survive_the_file_bit_for_bit(features: ClipFeatures) -> None:
    found = decode_features(encode_features(features))
    assert found.modalities == features.modalities
    assert (found.joint_layout, found.extractors) == (features.joint_layout, features.extractors)
    for modality, frames in features.frames.items():
        assert found.frames[modality].dtype == frames.dtype
        np.testing.assert_array_equal(found.frames[modality], frames)


@given(clips())
def test_the_arrays_are_those_that_the_safetensors_library_reads(features: ClipFeatures) -> None:
    content = encode_features(features)
    theirs = safetensors.numpy.load(content)
    ours = decode_features(content).frames
    assert {str(m) for m in ours} == set(theirs)
    for modality, frames in ours.items():
        np.testing.assert_array_equal(frames, theirs[modality])


@pytest.mark.tried(
    kind="two readers, two truths",
    given="feature files with bits flipped",
    outcome="refused, or read as the safetensors library reads them",
)
@given(st.data())
def test_flipped_bits_give_features_or_a_feature_error_and_what_we_read_the_library_reads(data: st.DataObject) -> None:
    content = bytearray(SMALL)
    header_bytes = 8 + int.from_bytes(SMALL[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, header_bytes - 1) | st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_features(bytes(content))
    except FeatureError:
        return
    theirs = safetensors.numpy.load(bytes(content))
    assert {str(m) for m in found.frames} | set(found.unknown) == set(theirs)
    for modality, frames in found.frames.items():
        np.testing.assert_array_equal(frames, theirs[modality])


@given(st.integers(0, len(SMALL) - 1))
def test_a_truncated_file_is_corrupt(length: int) -> None:
    with pytest.raises(FeatureFileCorrupt):
        decode_features(SMALL[:length])


@given(st.binary(min_size=1, max_size=50))
def test_bytes_after_the_last_tensor_are_corrupt(more: bytes) -> None:
    with pytest.raises(FeatureFileCorrupt):
        decode_features(SMALL + more)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_feature_error(content: bytes) -> None:
    for candidate in (content, struct.pack("<Q", len(content)) + content):
        with pytest.raises(FeatureError):
            decode_features(candidate)


header_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "more"]), header_values),
    st.sampled_from([*FUSED_MODALITIES, "__metadata__", "olfactory"]),
    header_values,
)
def test_a_header_of_wrong_types_is_a_feature_error_or_one_that_the_library_reads_too(
    entry: dict[str, object], name: str, metadata: object
) -> None:
    sound = {"dtype": "F16", "shape": [2, 512], "data_offsets": [0, 2048]}
    for header in ({name: {**sound, **entry}, "__metadata__": METADATA}, {"scenic": sound, "__metadata__": metadata}):
        content = raw_file(header, bytes(2048))
        with suppress(FeatureError):
            found = decode_features(content)
            assert {str(m) for m in found.frames} == set(safetensors.numpy.load(content))


@pytest.mark.parametrize("header", ["[" * 100_000, '{"a":' * 100_000, '{"__metadata__":' + "[" * 100_000])
def test_a_deeply_nested_header_is_corrupt(header: str) -> None:
    with pytest.raises(FeatureFileCorrupt):
        decode_features(struct.pack("<Q", len(header)) + header.encode())


@pytest.mark.parametrize("claimed", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_header_length_beyond_the_file_is_corrupt(claimed: int) -> None:
    with pytest.raises(FeatureFileCorrupt, match="truncated"):
        decode_features(struct.pack("<Q", claimed) + SMALL[8:])


def test_a_tensor_that_claims_more_than_the_file_holds_is_corrupt() -> None:
    for steps, end in ((2, 2048), (1 << 40, 1 << 50)):
        entry = {"dtype": "F16", "shape": [steps, 512], "data_offsets": [0, end]}
        with pytest.raises((FeatureFileCorrupt, FeatureShapeInvalid)):
            decode_features(raw_file({"scenic": entry, "__metadata__": METADATA}))


@pytest.mark.parametrize(
    ("facial", "scenic"),
    [
        ((0, 4096), (4096, 6143)),
        ((0, 4096), (4095, 6143)),
        ((0, 4096), (0, 2048)),
        ((0, 4096), (4098, 6146)),
        ((2048, 6144), (2048, 4096)),
        ((4096, 0), (4096, 6144)),
        ((-4096, 0), (0, 2048)),
    ],
)
def test_tensors_that_overlap_leave_gaps_or_reach_out_are_corrupt(
    facial: tuple[int, int], scenic: tuple[int, int]
) -> None:
    header = {
        "facial": {"dtype": "F16", "shape": [1, 2048], "data_offsets": facial},
        "scenic": {"dtype": "F16", "shape": [2, 512], "data_offsets": scenic},
        "__metadata__": METADATA,
    }
    content = raw_file(header, bytes(6144))
    with pytest.raises(FeatureFileCorrupt, match="not a complete safetensors file"):
        decode_features(content)
    with pytest.raises((safetensors.SafetensorError, ValueError)):
        safetensors.numpy.load(content)


def test_tensors_may_lie_in_any_order() -> None:
    data = np.arange(2048 + 1024).astype(np.float16)
    header = {
        "facial": {"dtype": "F16", "shape": [1, 2048], "data_offsets": [2048, 6144]},
        "scenic": {"dtype": "F16", "shape": [2, 512], "data_offsets": [0, 2048]},
        "__metadata__": METADATA,
    }
    content = raw_file(header, data.tobytes())
    theirs = safetensors.numpy.load(content)
    for modality, frames in decode_features(content).frames.items():
        np.testing.assert_array_equal(frames, theirs[modality])


def test_a_file_above_the_limit_is_refused() -> None:
    with pytest.raises(FeatureFileOversized, match=f"{len(SMALL)} bytes, over the limit of 100"):
        decode_features(SMALL, max_bytes=100)


@pytest.mark.parametrize(
    ("tensors", "field"),
    [
        ({"skeletal": np.zeros((9, 17, 2), np.float16)}, "skeletal"),
        ({"skeletal": np.zeros((9, 16, 4), np.float16)}, "skeletal"),
        ({"skeletal": np.zeros((9, 32), np.float16)}, "skeletal"),
        ({"holistic": np.zeros((9, 0), np.float16)}, "holistic"),
        ({"holistic": np.zeros((9, 16_385), np.float16)}, "holistic"),
        ({"facial": np.zeros((9, 2048, 1), np.float16)}, "facial"),
        ({"scenic": np.zeros((0, 512), np.float16)}, "scenic"),
        ({"scenic": np.zeros((251, 512), np.float16)}, "scenic"),
        ({"scenic": np.zeros((9, 512), np.float64)}, "scenic"),
        ({"scenic": np.zeros((9, 512), np.int8)}, "scenic"),
        ({"Olfactory": np.zeros((9, 512), np.float16)}, "Olfactory"),
    ],
)
def test_a_tensor_of_a_wrong_form_is_refused_by_name(tensors: dict[str, np.ndarray], field: str) -> None:
    with pytest.raises(FeatureShapeInvalid) as caught:
        decode_features(saved(**tensors))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"schema": "clip-features/2"}, FeatureFileCorrupt, "schema"),
        ({"joint_layout": "blender"}, FeatureShapeInvalid, "joint_layout"),
        ({"joint_layout": None}, FeatureShapeInvalid, "joint_layout"),
        ({"frame_rate_hz.skeletal": None}, FeatureShapeInvalid, "frame_rate_hz.skeletal"),
        ({"frame_rate_hz.skeletal": "30"}, FeatureShapeInvalid, "frame_rate_hz.skeletal"),
        ({"frame_rate_hz.skeletal": "fast"}, FeatureShapeInvalid, "frame_rate_hz.skeletal"),
        ({"frame_rate_hz.skeletal": "nan"}, FeatureShapeInvalid, "frame_rate_hz.skeletal"),
    ],
)
def test_metadata_that_does_not_fit_is_refused_by_key(
    change: dict[str, str | None], error: type[FeatureError], field: str
) -> None:
    metadata = {key: value for key, value in {**METADATA, **change}.items() if value is not None}
    with pytest.raises(error) as caught:
        decode_features(saved(metadata, skeletal=np.zeros((9, 16, 2), np.float16)))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "content",
    [
        saved({"schema": "x" * 2_000_000}, scenic=np.zeros((4, 512), np.float32)),
        saved(METADATA | {"joint_layout": "x" * 2_000_000}, skeletal=np.zeros((4, 16, 2), np.float32)),
        saved(**{"x" * 2_000_000: np.zeros((4, 512), np.float32)}),
        raw_file(
            {"__metadata__": METADATA, "scenic": {"dtype": "F" * 2_000_000, "shape": [0, 512], "data_offsets": [0, 0]}}
        ),
        raw_file(
            {"__metadata__": METADATA, "scenic": {"dtype": "F32", "shape": [1] * 500_000, "data_offsets": [0, 4]}},
            bytes(4),
        ),
    ],
    ids=["schema", "joint layout", "tensor name", "number type", "shape"],
)
def test_a_refusal_quotes_no_more_of_the_file_than_a_person_reads(content: bytes) -> None:
    with pytest.raises(FeatureError) as caught:
        decode_features(content)
    assert len(caught.value.message) < 300
    assert len(caught.value.field or "") <= 80


def test_a_file_without_tensors_has_no_usable_modality() -> None:
    with pytest.raises(NoUsableModality):
        decode_features(saved())


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("modality", FUSED_MODALITIES)
def test_one_value_that_is_not_finite_is_found_with_its_time_step(
    dtype: type[np.floating], value: float, modality: Modality
) -> None:
    frames = random_features(3.0, modalities=(modality,), dtype=dtype).frames[modality].copy()
    frames[len(frames) // 2][..., -1] = value
    with pytest.raises(FeatureValueInvalid, match=f"step {len(frames) // 2};") as caught:
        check_finite(modality, frames)
    assert caught.value.field == modality


def test_every_float16_is_judged_as_numpy_judges_it() -> None:
    for bits in np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 512):
        try:
            check_finite(Modality.SCENIC, bits[None])
        except FeatureValueInvalid:
            assert not np.isfinite(bits).all()
        else:
            assert np.isfinite(bits).all()


def test_what_may_not_be_read_may_not_be_written() -> None:
    frames = np.full((9, Modality.SCENIC.channels), np.inf, np.float16)
    with pytest.raises(FeatureValueInvalid):
        encode_features(ClipFeatures({Modality.SCENIC: frames}))


def test_a_tensor_of_an_unknown_modality_is_left_out_and_named() -> None:
    frames = {"scenic": np.ones((9, 512), np.float16), "audio": np.ones((300, 64), np.float32)}
    features = decode_features(safetensors.numpy.save(frames, METADATA))
    assert (features.modalities, features.unknown) == ((Modality.SCENIC,), ("audio",))
    content = safetensors.numpy.save({"audio": frames["audio"]}, METADATA)
    with pytest.raises(NoUsableModality, match="only audio"):
        decode_features(content)
    with pytest.raises(FeatureFileCorrupt):
        decode_features(safetensors.numpy.save(frames, METADATA)[:-1])


@pytest.mark.tried(
    kind="two readers, two truths",
    given="a tensor, or another name, twice in a safetensors header",
    outcome="refused with the name",
)
@pytest.mark.parametrize(
    ("header", "named"),
    [
        ('{"scenic":ENTRY,"scenic":ENTRY}', "'scenic' is named twice"),
        ('{"scenic":ENTRY,"scen\\u0069c":ENTRY}', "'scenic' is named twice"),
        ('{"__metadata__":{"schema":"a","schema":"b"},"scenic":ENTRY}', "'schema' is named twice"),
        ('{"__metadata__":{},"__metadata__":{},"scenic":ENTRY}', "'__metadata__' is named twice"),
        ('{"scenic":{"shape":[9,9],"shape":[1,512],"dtype":"F16","data_offsets":[0,1024]}}', "'shape' is named twice"),
    ],
)
def test_a_name_that_comes_twice_in_the_header_is_refused(header: str, named: str) -> None:
    entry = '{"dtype":"F16","shape":[1,512],"data_offsets":[0,1024]}'
    text = header.replace("ENTRY", entry).encode()
    with pytest.raises(FeatureFileCorrupt, match=named):
        decode_features(struct.pack("<Q", len(text)) + text + bytes(1024))


@pytest.mark.parametrize("modality", FUSED_MODALITIES)
def test_frames_may_last_as_long_as_the_clip_with_a_tolerance_and_no_longer(modality: Modality) -> None:
    check_length(random_features(11.9, modalities=(modality,)), 10.0)
    check_length(random_features(0.4, modalities=(modality,)), 10.0)
    with pytest.raises(FeatureShapeInvalid, match=f"'{modality}' lasts 13 s and duration_s is 10; at most 12 s"):
        check_length(random_features(13.0, modalities=(modality,)), 10.0)

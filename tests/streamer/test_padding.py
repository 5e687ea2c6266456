import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.arrays.float16 import widen
from streamer.padding import PaddedBuffer


def test_every_finite_float16_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    out = np.full(finite.shape, 9.0, np.float32)
    widen(finite, out)
    np.testing.assert_array_equal(out.view(np.uint32), finite.astype(np.float32).view(np.uint32))


def test_frames_that_are_a_part_of_a_larger_array_are_widened() -> None:
    whole = np.random.default_rng(0).standard_normal((5, 16, 3)).astype(np.float16)
    out = np.empty((5, 16, 2), np.float32)
    widen(whole[..., :2], out)
    np.testing.assert_array_equal(out, whole[..., :2].astype(np.float32))


@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from([np.float16, np.float32]),
)
def test_a_reused_buffer_gives_what_a_fresh_one_gives(batches: list[list[int]], dtype: type[np.floating]) -> None:
    buffer, rng = PaddedBuffer(), np.random.default_rng(0)
    for lengths in batches:
        clips = [rng.standard_normal((length, 3)).astype(dtype) for length in lengths]
        expected = np.zeros((len(lengths), max(lengths), 3), np.float32)
        for row, clip in zip(expected, clips, strict=True):
            row[: len(clip)] = clip
        padded, found = buffer.fill(clips)
        np.testing.assert_array_equal(padded, expected)
        assert found.tolist() == lengths


def test_memory_is_that_of_the_largest_batch() -> None:
    buffer = PaddedBuffer()
    large, _ = buffer.fill([np.ones((100, 4), np.float32)] * 3)
    small, _ = buffer.fill([np.ones((7, 4), np.float32)])
    assert np.shares_memory(large, small)


def test_each_clip_is_looked_at_once_it_is_written_and_without_padding() -> None:
    clips = [np.full((steps, 4), steps, np.float16) for steps in (3, 5, 2)]
    seen: list[np.ndarray] = []
    padded, _ = PaddedBuffer().fill(clips, lambda frames: seen.append(frames.copy()))
    assert [each.tolist() for each in seen] == [each.tolist() for each in clips]
    assert padded.dtype == seen[0].dtype == np.float32


@pytest.mark.parametrize("value", [65504.0, -65504.0, 6e-8, -6e-8, 0.0, -0.0])
def test_extremes_survive(value: float) -> None:
    out = np.empty(1, np.float32)
    widen(np.array([value], np.float16), out)
    assert out[0] == np.float32(np.float16(value))
    assert np.signbit(out[0]) == np.signbit(value)

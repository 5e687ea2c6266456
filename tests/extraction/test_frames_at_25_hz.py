"""Frames come at 25 Hz by time stamps, upright, scaled, whatever the video's own rate and orientation."""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.decoding.worker import Grid
from tests.extraction.decoded import decode
from tests.extraction.made_videos import corners, numbered, steady, step_of, turned, write_video


def shown(times_s: Sequence[float], last_s: float | None = None) -> list[int]:
    """Which picture each step shows, by the grid."""
    grid = Grid()
    steps: list[int] = []
    for number, time_s in enumerate(times_s):
        steps += [number - 1] * len(grid.steps_before(time_s))
    return steps + [len(times_s) - 1] * len(grid.steps_to_end(last_s))


def nearest(times_s: Sequence[float], count: int) -> list[int]:
    """Likewise, by plain search: the nearest picture that does not come more than half a step too early."""
    found = []
    for step in range(count):
        at_s = step / 25
        due = [n for n, time_s in enumerate(times_s) if time_s - at_s <= 1 / 50 + 1e-7]
        found.append(min(due, key=lambda n: (abs(times_s[n] - at_s), n)))
    return found


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=60),
    st.integers(5, 100),
)
def test_the_grid_shows_the_nearest_picture(gaps_ms: list[int], last_ms: int) -> None:
    times_s = [0.0, *np.cumsum(gaps_ms) / 1000]
    last_s = max(last_ms, min(40, gaps_ms[-1])) / 1000
    found = shown(times_s, last_s)
    assert abs(len(found) - (times_s[-1] + last_s) * 25) <= 1
    ties = {step for step in range(len(found)) if _is_a_tie(step / 25, times_s)}
    pairs = zip(found, nearest(times_s, len(found)), strict=True)
    assert [pair for step, pair in enumerate(pairs) if pair[0] != pair[1] and step not in ties] == []


def _is_a_tie(at_s: float, times_s: Sequence[float]) -> bool:
    apart = sorted(abs(time_s - at_s) for time_s in times_s)
    half_early = any(abs(time_s - at_s - 1 / 50) < 1e-6 for time_s in times_s)
    return half_early or (len(apart) > 1 and apart[1] - apart[0] < 1e-6)


@pytest.mark.parametrize(
    ("name", "times_s", "rate", "expected"),
    [
        ("25.mp4", steady(1), 25, list(range(25))),
        ("ntsc.mp4", steady(1, 30_000 / 1001), 30, list(range(25))),
        ("60.mp4", steady(1, 60), 60, list(range(25))),
        ("late.mp4", steady(1, start_s=3.0), 25, list(range(75, 100))),
        ("10.mkv", steady(1, 10), 10, None),
        ("variable.mkv", [0, 0.04, 0.08, 1.0, 1.04, 1.52], 25, [0, 1, *[2] * 23, 25, *[26] * 12, 38]),
        ("25.avi", steady(1), 25, list(range(25))),
        ("25.webm", steady(1), 25, list(range(25))),
        ("25.mov", steady(1), 25, list(range(25))),
    ],
)
def test_each_step_shows_what_the_video_shows_then(
    tmp_path: Path, name: str, times_s: Sequence[float], rate: int, expected: list[int] | None
) -> None:
    codec = {"avi": "mjpeg", "webm": "libvpx"}.get(name[-3:].strip("."), "libvpx" if "webm" in name else "libx264")
    path = write_video(tmp_path / name, times_s, codec=codec, rate=rate)
    properties, frames, report = decode(path)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.time_s for frame in frames] == pytest.approx([frame.index / 25 for frame in frames])
    if expected is None:
        expected = [round(times_s[number] * 25) for number in nearest(times_s, len(frames))]
    steps = [step_of(frame.image) for frame in frames]
    assert np.abs(np.subtract(steps, expected)).max() <= (1 if rate not in (10, 25) else 0)
    assert (report.frames, report.pictures, report.damaged) == (len(frames), len(times_s), 0)
    assert properties.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = turned(write_video(tmp_path / "turned.mp4", steady(0.2), corners), degrees, mirrored=mirrored)
    properties, frames, _ = decode(path)
    stored = corners()
    expected = np.rot90(stored[:, ::-1] if mirrored else stored, -degrees // 90)
    image = frames[0].image
    assert image.shape == expected.shape
    assert (properties.width, properties.height) == (expected.shape[1], expected.shape[0])
    assert properties.rotation == -degrees % 360
    quarters = [(y, x) for y in (1, 3) for x in (1, 3)]
    for y, x in quarters:
        at = image.shape[0] * y // 4, image.shape[1] * x // 4
        assert np.abs(image[at].astype(int) - expected[at]).max() < 30
    assert not image.flags.writeable


def test_frames_are_scaled_to_the_longest_side(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", steady(0.2), lambda t: numbered(t, (640, 320)))
    properties, frames, _ = decode(path, longest_side=128)
    assert frames[0].image.shape == (64, 128, 3)
    assert (properties.width, properties.height, properties.scale) == (640, 320, 0.2)
    assert [step_of(frame.image) for frame in frames] == list(range(5))


def test_frames_have_square_pixels(tmp_path: Path) -> None:
    properties, frames, _ = decode(write_video(tmp_path / "narrow.mp4", steady(0.2), ratio=Fraction(2, 1)))
    assert frames[0].image.shape == (48, 128, 3)
    assert (properties.width, properties.height) == (128, 48)


def test_the_same_video_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "noise.mp4", steady(0.4), lambda t: _noise(round(t * 25)), options={"crf": "30"})
    first, second = (decode(path, longest_side=128)[1] for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (96, 160, 3), np.uint8)


def test_edit_lists_are_applied(tmp_path: Path) -> None:
    """What a phone's trimming leaves out of the presentation is not shown."""
    path = write_video(tmp_path / "trimmed.mp4", steady(2), options={"bf": "0", "g": "50"})
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 4
    assert int.from_bytes(content[at + 4 : at + 8], "big") == 1
    movie_scale = int.from_bytes(content[content.index(b"mvhd") + 16 :][:4], "big")
    media_scale = int.from_bytes(content[content.index(b"mdhd") + 16 :][:4], "big")
    content[at + 8 : at + 12] = movie_scale.to_bytes(4, "big")
    content[at + 12 : at + 16] = (media_scale // 2).to_bytes(4, "big")
    path.write_bytes(content)
    _, frames, _ = decode(path)
    assert [step_of(frame.image) for frame in frames] == list(range(13, 13 + len(frames)))
    assert abs(len(frames) - 25) <= 1

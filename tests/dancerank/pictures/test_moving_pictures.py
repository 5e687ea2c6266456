"""A clip that moves: slow enough to follow, bounded in frames, and the same frame for frame as the clip."""

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from dancerank.pictures import moving
from dancerank.pictures.moving import MOST_FRAMES, MovingClip, moving_guidance
from dancerank.pictures.sheets import Double
from schemas.joints import KINECT_25, MPII_16
from schemas.picture_formats import MovingFormat, PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, dancer

WEBP, GIF = PictureFormat.WEBP, PictureFormat.GIF


def clip(frames: int, **others: object) -> MovingClip:
    positions = dancer(MPII_16, frames)
    given = {"title": "a clip", "layout": MPII_16, "rate_hz": 25.0, "positions": positions}
    return MovingClip(**{**given, "gradient": np.cos(positions), **others})  # type: ignore[arg-type]


def frames_of(picture: bytes) -> list[Double]:
    with Image.open(BytesIO(picture)) as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB"), np.float64))
        return shown


@pytest.mark.parametrize(("frames", "shown", "speed"), [(1, 1, 0.5), (100, 50, 0.5), (480, 240, 0.5), (1500, 215, 1.0)])
def test_a_short_clip_is_shown_at_half_speed_and_a_long_one_in_bounded_frames(
    frames: int, shown: int, speed: float
) -> None:
    given = clip(frames)
    assert len(given.shown()) == shown
    assert given.shown().step / 25 / given.stay_s() == pytest.approx(speed)
    assert shown <= MOST_FRAMES


@pytest.mark.parametrize("kind", [WEBP, GIF])
def test_the_frames_of_a_picture_are_those_of_the_clip_in_turn_and_repeat_for_ever(kind: MovingFormat) -> None:
    picture = moving_guidance(clip(24), kind)
    frames = frames_of(picture)
    assert len(frames) == 12
    assert frames[0].shape == (560, 420, 3)
    assert all(np.abs(one - other).mean() > 0.1 for one, other in pairwise(frames))
    with Image.open(BytesIO(picture)) as image:
        assert image.info["loop"] == 0
        image.seek(1)
        image.load()
        assert image.info["duration"] == 160


def test_a_gif_has_the_colours_of_the_drawing() -> None:
    webp, gif = (frames_of(moving_guidance(clip(4), kind))[0] for kind in (WEBP, GIF))
    assert np.abs(webp - gif).mean() < 2


def test_a_video_is_read_once_and_lies_under_the_skeleton() -> None:
    read = []

    def video() -> Iterator[np.ndarray]:
        for number in range(10):
            read.append(number)
            yield np.full((800, 500, 3), 40 + 8 * number, np.uint8)

    frames = frames_of(moving_guidance(clip(10), WEBP, video()))
    assert read == list(range(9))
    assert [round(float(np.median(frame[60:400, 150:250]))) for frame in frames] == pytest.approx(
        [40 + 16 * number for number in range(5)], abs=3
    )


def test_a_gif_over_a_video_has_fewer_frames_as_each_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "MOST_GIF_FRAMES", 4)
    video = (np.full((80, 50, 3), 100, np.uint8) for _ in range(20))
    assert len(frames_of(moving_guidance(clip(20), GIF, video))) == 4
    assert len(frames_of(moving_guidance(clip(20), GIF))) == 10


def test_an_mp4_lasts_as_long_as_the_other_pictures() -> None:
    av = pytest.importorskip("av")
    with av.open(BytesIO(moving_guidance(clip(10), PictureFormat.MP4))) as file:
        assert sum(1 for _ in file.decode(video=0)) == 20  # five frames of 160 ms at 25 Hz


def test_a_sentence_stands_around_its_moment_only() -> None:
    silent, speaking = (
        frames_of(moving_guidance(clip(12, rate_hz=5.0, sentences=sentences), GIF))
        for sentences in ({}, {0.4: "Raise both arms."})
    )
    differ = [bool(np.abs(one - other).max() > 60) for one, other in zip(silent, speaking, strict=True)]
    assert differ == [number / 5 - 0.4 <= 1 for number in range(12)]


def test_the_camera_rests_and_follows_a_dancer_who_covers_much_ground() -> None:
    resting = clip(50)
    walking = clip(50, positions=dancer(MPII_16, 50) + np.arange(50)[:, None, None] * [80, 0])
    across = [
        [np.ptp(np.argwhere(frame[40:440].min(2) < 200)[:, 1]) for frame in frames_of(moving_guidance(given, GIF))]
        for given in (resting, walking)
    ]
    assert np.mean(across[1]) > 0.7 * np.mean(across[0])


def test_missing_joints_other_layouts_and_any_words_break_nothing() -> None:
    positions = dancer(KINECT_25, 6)
    positions[2:4] = np.nan
    positions[5, :10] = np.nan
    given = clip(6, layout=KINECT_25, positions=positions, gradient=np.full(positions.shape, np.nan), title=HOSTILE)
    assert len(frames_of(moving_guidance(given, WEBP))) == 3

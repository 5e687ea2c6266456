"""A part of a video is the pictures of that part."""

from pathlib import Path

import pytest

from extraction.decoding.cutting import cut
from schemas.errors import VideoUnreadable
from tests.extraction.made_videos import steady, step_of, write_video
from tests.videos import decoded


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", steady(3.0))


def test_a_part_begins_at_a_key_frame_and_is_as_long_as_asked(video: Path, tmp_path: Path) -> None:
    cut(video, tmp_path / "part.mkv", start_s=0.9, length_s=1.0)
    properties, frames = decoded(tmp_path / "part.mkv", 100)
    assert properties.duration_s == pytest.approx(1.0, abs=0.05)
    _, whole = decoded(video, 100)
    assert len(frames) == 25
    assert len(whole) == 75
    assert [step_of(frame.image) for frame in frames] == list(range(25, 50))


def test_a_part_after_the_end_is_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match=r"a\.mp4 has no key frame after 9 s"):
        cut(video, tmp_path / "part.mkv", start_s=9.0, length_s=1.0)

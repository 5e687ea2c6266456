"""``dancerank look``: which pictures a person gets of a video."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from extraction.drawing.colours import ORANGE, YELLOW
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import Modality
from tests.extraction.made_videos import steady, write_video


@pytest.fixture(autouse=True)
def tiny_extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DANCERANK_EXTRACTION__EXTRACTORS", "tests.extraction.tiny:open_tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", steady(3.2))


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["look", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_video_is_extracted_scored_and_drawn(clip: Path, tmp_path: Path) -> None:
    code, shown, _ = run(clip, "--out", tmp_path / "out")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("backgrounds.png", "frames.png", "look.mp4", "moments.png"),
    ]
    for line in ("score ", "skeletal: ", "not to be trusted: ", "the dancer in 80 of 80 frames", "no saliency"):
        assert line in shown
    with av.open(str(tmp_path / "out" / "look.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 80
    cursors = [_cursor(frame) for frame in (frames[10], frames[70])]
    assert cursors[0] < cursors[1]
    sheet = cv2.imread(str(tmp_path / "out" / "frames.png"))[..., ::-1]
    assert (np.abs(sheet.astype(int) - YELLOW).max(axis=2) < 90).any()  # the outline, made smaller


def test_the_skeleton_of_a_feature_file_is_drawn_without_extractors(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANCERANK_EXTRACTION__EXTRACTORS", "not.there:at_all")
    with av.open(str(clip)) as video:
        height, width = video.streams.video[0].height, video.streams.video[0].width
    generator = np.random.default_rng(2)
    poses = np.ones((80, 16, 3), np.float32)
    poses[..., :2] = generator.uniform([0.2 * width, 0.2 * height], [0.8 * width, 0.8 * height], (16, 2))
    poses[..., :2] += generator.normal(0, 1, (80, 16, 2))
    file = tmp_path / "clip.safetensors"
    file.write_bytes(encode_features(ClipFeatures({Modality.SKELETAL: poses}, "mpii-16")))
    options = ("--features", file, "--no-scores", "--format", "webp")
    code, shown, _ = run(clip, "--out", tmp_path / "out", *options)
    assert code == 0
    assert "score" not in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["frames.png", "look.webp"]
    sheet = cv2.imread(str(tmp_path / "out" / "frames.png"))[..., ::-1]
    assert (np.abs(sheet.astype(int) - ORANGE).max(axis=2) < 12).sum() > 50


def test_what_cannot_be_read_or_written_is_named(clip: Path, tmp_path: Path) -> None:
    code, _, errors = run(tmp_path / "absent.mp4", "--out", tmp_path / "out")
    assert code == 1
    assert "cannot be read" in errors
    code, _, errors = run(clip, "--out", tmp_path / "out", "--features", tmp_path / "absent.safetensors")
    assert code == 1
    assert "absent.safetensors: cannot be read" in errors
    (tmp_path / "file").write_text("")
    code, _, errors = run(clip, "--out", tmp_path / "file")
    assert code == 1
    assert "file" in errors
    assert not (tmp_path / "out").exists()


def _cursor(frame: np.ndarray) -> int:
    """The column of the white line in the panel at the bottom."""
    bottom = frame[-40:-8].astype(int).min(axis=(0, 2))
    return int(np.argmax(bottom))

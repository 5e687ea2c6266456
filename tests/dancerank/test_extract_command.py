"""``dancerank extract``: what a person sees who has videos."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from schemas.features import decode_features
from schemas.modalities import FUSED_MODALITIES
from tests.extraction.made_videos import steady, write_sound, write_video
from vdv.checking import check_folder
from vdv.folder import open_data_set


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DANCERANK_EXTRACTION__EXTRACTORS", "tests.extraction.tiny:open_tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", steady(3.2))


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["extract", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_video_becomes_a_feature_file_with_a_record(clip: Path, tmp_path: Path) -> None:
    code, shown, _ = run(clip, "--out", tmp_path / "out")
    assert code == 0
    assert "clip.mp4 shows up to 2 people; the largest and most central was followed" in shown
    features = decode_features((tmp_path / "out" / "clip.safetensors").read_bytes())
    assert features.modalities == FUSED_MODALITIES
    assert features.extractors == dict.fromkeys(FUSED_MODALITIES, "colours/1 sha256:000000000000")
    record = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert (record["extractors"], record["report"]["frames"]) == ("colours/1", 80)


def test_what_is_up_to_date_is_not_extracted_again(clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    shutil.copy(clip, video)
    out = tmp_path / "out"
    run(video, "--out", out)
    written = out / "a.safetensors"
    first = written.stat().st_mtime_ns
    code, shown, _ = run(video, "--out", out)
    assert (code, written.stat().st_mtime_ns) == (0, first)
    assert "there already" in shown
    run(video, "--out", out, "--overwrite")
    assert (second := written.stat().st_mtime_ns) > first
    write_video(video, steady(3.4))
    assert "there already" not in run(video, "--out", out)[1]
    assert (third := written.stat().st_mtime_ns) > second
    written.write_bytes(written.read_bytes()[:-1])
    assert "there already" not in run(video, "--out", out)[1]
    assert written.stat().st_mtime_ns > third


def test_a_video_that_fails_is_named_and_the_others_are_extracted(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "c"):
        shutil.copy(clip, folder / f"{name}.mp4")
    write_sound(folder / "b.mp4")
    (folder / "notes.txt").write_text("not a video, and not taken for one")
    code, shown, errors = run(folder, "--out", tmp_path / "out", "--jobs", "2")
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.safetensors")) == ["a.safetensors", "c.safetensors"]
    assert [line.split()[0] for line in shown.splitlines() if ".mp4 " in line and "people" not in line] == [
        "a.mp4",
        "b.mp4",
        "c.mp4",
    ]
    assert "1 of 3 videos have no features" in errors
    assert f"{folder / 'b.mp4'}: it has no video stream, only audio; send the video itself (video_unreadable)" in errors


def test_one_video_that_fails_is_one_error(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path / "absent.mp4", "--out", tmp_path / "out")
    assert code == 1
    assert f"error (feature_file_missing): {tmp_path / 'absent.mp4'}: it cannot be read" in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "says"), [((), "holds no video"), (("a.mp4", "a.mov"), "would both become a; rename one")]
)
def test_folders_without_a_video_or_with_two_of_a_name_are_refused(
    clip: Path, tmp_path: Path, names: tuple[str, ...], says: str
) -> None:
    for name in names:
        shutil.copy(clip, tmp_path / name)
    code, _, errors = run(tmp_path, "--out", tmp_path / "out")
    assert (code, says in errors) == (1, True)


def test_a_folder_with_counts_becomes_a_data_set(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("one.mp4", "c2.mkv", "c4.mp4"):
        shutil.copy(clip, folder / name)
    (folder / "c4.avi").write_text("another")
    rows = [
        "clip_id,dancer_id,challenge_id,video,likes,comments,reposts,days_online,camera",
        "c1,d1,ch,one.mp4,10,2,1,3.5,phone",
        "c2,d2,ch,,20,0,0,7,",
        "c3,d3,ch,../outside.mp4,1,1,1,1,",
        "c4,d4,ch,,1,1,1,1,",
    ]
    (folder / "clips.csv").write_text("\n".join(rows))
    code, shown, errors = run(folder, "--out", tmp_path / "out")
    assert code == 1
    assert "2 of 4 videos have no features" in errors
    assert "leads outside" in errors
    assert "c4.avi and c4.mp4 are both there" in errors
    assert f"{tmp_path / 'out' / 'clips.csv'}: 2 of 4 clips" in shown
    data = open_data_set(tmp_path / "out")
    assert [(a.clip_id, a.likes, a.duration_s, a.extra["camera"]) for a in data.annotations] == [
        ("c1", 10, 3.2, "phone"),
        ("c2", 20, 3.2, ""),
    ]
    assert check_folder(tmp_path / "out").findings == ()


def test_rows_that_cannot_become_clips_are_refused_before_anything_is_extracted(clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "a.mp4")
    rows = ["clip_id,dancer_id,challenge_id,likes", "a,d,ch,-1", "a b,d,ch,1", "a,d,ch,2"]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    code, _, errors = run(tmp_path, "--out", tmp_path / "out")
    assert code == 1
    assert all(words in errors for words in ("row 2, likes", "row 3, clip_id", "row 4, clip_id", "'a' is in row 2"))
    assert not (tmp_path / "out").exists()

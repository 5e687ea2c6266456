"""``dancerank data``: what a person sees who checks, splits, imports and synthesizes."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from schemas.modalities import Modality
from tests.clips import random_features
from tests.vdv.data_sets import LABEL, annotation, clips, labelled, written
from vdv.folder import open_data_set, write_data_set


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["split"],
        ["synthesize"],
        ["import", "alphapose"],
        ["import", "speed21"],
        ["import", "dance"],
        ["import", "unlv-dive"],
    ],
)
def test_every_command_explains_itself_and_each_of_its_options(command: list[str]) -> None:
    code, output = run(*command, "--help")
    assert code == 0
    options = re.findall(r"^│[ *]+(?:\S+ +)?(--[a-z-]+)(.*)│$", output, flags=re.MULTILINE)
    assert options
    for option, text in options:
        assert len(re.findall(r"[a-z]{2,}", text)) >= 3, f"{option} is not explained"


def test_a_good_data_set_is_shown_as_in_table_1(tmp_path: Path) -> None:
    rows = [
        *(annotation(f"a{i}", f"d{i}", "first", views=2_000_000, **(LABEL | {"likes": i})) for i in range(3)),
        *(annotation(f"b{i}", f"d{i}", "second", views=500_000, **(LABEL | {"likes": i})) for i in range(2)),
    ]
    write_data_set(tmp_path, clips(rows, (Modality.SKELETAL, Modality.FACIAL)))
    code, output = run("check", str(tmp_path))
    assert code == 0
    assert re.search(r"challenge +videos +views +hours +frames +skeletons +faces", output)
    assert re.search(r"first +3 +6\.0 M +0\.00 +300 +300 +36", output)
    assert re.search(r"second +2 +1\.0 M +0\.00 +200 +200 +24", output)
    assert re.search(r"total +5 +7\.0 M +0\.01 +500 +500 +60", output)
    assert re.search(r"first +3 +0\.42 +1\.00", output)


def test_findings_are_listed_to_twenty_and_counted_and_the_status_is_1(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(30))
    for clip in data.annotations[:25]:
        (tmp_path / clip.features).unlink()
    code, output = run("check", str(tmp_path))
    assert code == 1
    assert len(re.findall(r"clips\.csv, row \d+, features: .*extract", output)) == 20
    assert "and 5 more" in output
    assert "25 findings" in output
    assert "Traceback" not in output


def test_only_the_challenges_named_are_allowed(tmp_path: Path) -> None:
    written(tmp_path, labelled(8))
    assert run("check", str(tmp_path), "--challenges", "challenge-0, challenge-1")[0] == 0
    code, output = run("check", str(tmp_path), "--challenges", "challenge-1")
    assert code == 1
    assert "row 2, challenge_id: 'challenge-0' is none of challenge-1" in output


def test_a_split_is_stored_shown_and_not_replaced_unasked(tmp_path: Path) -> None:
    written(tmp_path, labelled(40, extra={"note": "kept"}))
    code, output = run("split", str(tmp_path), "--seed", "3")
    assert (code, "test: 8 clips, train: 32 clips" in output) == (0, True)
    first = open_data_set(tmp_path).annotations
    assert {a.extra["note"] for a in first} == {"kept"}
    code, output = run("split", str(tmp_path), "--seed", "4")
    assert (code, "--overwrite" in output) == (1, True)
    assert open_data_set(tmp_path).annotations == first
    assert run("split", str(tmp_path), "--seed", "3", "--overwrite")[0] == 0
    assert open_data_set(tmp_path).annotations == first


@pytest.mark.parametrize("count", [0, 1])
def test_a_split_that_holds_nothing_out_is_refused_and_not_stored(tmp_path: Path, count: int) -> None:
    data = written(tmp_path, labelled(count))
    before = data.table.read_bytes()
    code, output = run("split", str(tmp_path))
    assert (code, f"none of {count} clips can be held out" in output) == (1, True)
    assert data.table.read_bytes() == before


@pytest.mark.parametrize("command", [["synthesize"], ["import", "alphapose", "."]])
def test_a_target_that_is_a_file_is_answered_with_a_sentence(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, output = run(*command, str(tmp_path / "file"))
    assert (code, "file cannot be made" in output, "Traceback" in output) == (1, True, False)


def test_folds_by_dancer_pass_the_check_that_a_split_of_clips_fails(tmp_path: Path) -> None:
    written(tmp_path, labelled(40, dancers=10))
    assert run("split", str(tmp_path))[0] == 0
    code, output = run("check", str(tmp_path), "--by-dancer")
    assert (code, "straddles it" in output) == (1, True)
    code, output = run("split", str(tmp_path), "--folds", "5", "--by-dancer", "--overwrite")
    assert (code, "fold 4: 8 clips" in output) == (0, True)
    code, output = run("check", str(tmp_path), "--by-dancer")
    assert (code, "8 8 8 8 8" in output) == (0, True)


def test_an_import_writes_a_data_set_that_can_be_checked(tmp_path: Path) -> None:
    dance = [
        random_features(10.0, modalities=[Modality.SKELETAL], joint_layout="dance-23", joint_channels=3, seed=i)
        for i in (0, 1)
    ]
    np.savez(
        tmp_path / "dance_with_melody_skeletons.npz",
        data=np.concatenate([clip.frames[Modality.SKELETAL] for clip in dance]),
        lengths=np.array([500]),
        names=np.array(["DANCE_W_1"]),
        style=np.array(["W"]),
    )
    code, output = run("import", "dance", str(tmp_path), str(tmp_path / "data"))
    assert (code, "data: 2 clips" in output) == (0, True)
    code, output = run("check", str(tmp_path / "data"))
    assert (code, "no labels to learn from" in output) == (1, True)
    assert run("check", str(tmp_path / "data"), "--unlabelled")[0] == 0
    code, output = run("import", "dance", str(tmp_path), str(tmp_path / "data"))
    assert (code, "is there already" in output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check", "/nowhere"], "clips.csv"),
        (["split", "/nowhere"], "clips.csv"),
        (["import", "speed21", "/nowhere", "/nowhere"], "speed21_skeletons.npz"),
        (["import", "dance", "/nowhere", "/nowhere"], "dance_with_melody_skeletons.npz"),
        (["import", "unlv-dive", "/nowhere", "/nowhere"], "unlv_dive_s3d.npz"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_that_names_it(arguments: list[str], named: str) -> None:
    code, output = run(*arguments)
    assert code == 1
    assert "error (data_set)" in output
    assert named in output
    assert "Traceback" not in output


def test_alphapose_without_a_table_is_answered_with_the_columns(tmp_path: Path) -> None:
    code, output = run("import", "alphapose", str(tmp_path), str(tmp_path / "data"))
    assert (code, "poses" in output) == (1, True)


def test_a_synthetic_data_set_passes_the_check_and_is_not_overwritten(tmp_path: Path) -> None:
    target = str(tmp_path / "data")
    few = ["--clips", "48", "--dancers", "24", "--min-duration", "3", "--max-duration", "4", "--missing-faces", "0.5"]
    code, output = run("synthesize", target, *few, "--by-dancer", "--test-share", "0.4", "--seed", "3")
    assert code == 0
    parts = re.search(r"data: 48 clips; test: (\d+) clips, train: (\d+) clips", output)
    assert parts is not None
    assert 12 <= int(parts[1]) <= 24
    code, output = run("check", target, "--by-dancer")
    assert (code, "challenge-8" in output) == (0, True)
    data = open_data_set(Path(target))
    assert len({a.dancer_id for a in data.annotations}) <= 24
    assert all(3 <= a.duration_s <= 4 for a in data.annotations)
    faces = [Modality.FACIAL in data.features(a).frames for a in data.annotations]
    assert 0.2 < sum(faces) / len(faces) < 0.8
    code, output = run("synthesize", target, *few)
    assert (code, "is there already" in output) == (1, True)


def test_a_synthetic_data_set_that_cannot_be_is_answered_with_a_sentence(tmp_path: Path) -> None:
    code, output = run("synthesize", str(tmp_path / "data"), "--min-duration", "20")
    assert (code, "20 to 15 s" in output) == (1, True)
    assert not (tmp_path / "data").exists()


def test_an_import_says_how_many_joints_it_interpolated(tmp_path: Path) -> None:
    images = [{"image_id": f"{i}.jpg", "keypoints": [0.0] * 51 if i in (40, 41) else keypoints(i)} for i in range(100)]
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(images))
    (tmp_path / "clips.csv").write_text("clip_id,dancer_id,challenge_id,poses\nc1,ada,dance,r.json\n")
    status, shown = run("import", "alphapose", str(tmp_path), str(tmp_path / "out"))
    assert (status, "undetected joints were interpolated in 1 clips, at most 2.0% of one" in shown) == (0, True)


@pytest.mark.tried(
    kind="trust in features",
    given="AlphaPose results of a picture that stands still",
    outcome="imported with a warning; refused by data check, train and stream",
)
def test_an_import_warns_of_a_frozen_pose_which_the_check_refuses(tmp_path: Path) -> None:
    images = [{"image_id": f"{i}.jpg", "keypoints": keypoints(0)} for i in range(100)]
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(images))
    (tmp_path / "clips.csv").write_text("clip_id,dancer_id,challenge_id,poses\nc1,ada,dance,r.json\n")
    status, shown = run("import", "alphapose", str(tmp_path), str(tmp_path / "out"))
    assert status == 0
    assert "warning: 1 clips hold what no recording gives" in " ".join(shown.split())
    assert "clip c1: implausible by the rule 'movement'" in " ".join(shown.split())
    status, shown = run("check", str(tmp_path / "out"))
    assert status == 1
    assert "implausible by the rule 'movement'" in " ".join(shown.split())


def keypoints(image: int) -> list[float]:
    """A body that leans further in each image, 17 joints of (x, y, confidence)."""
    return [value for v in range(17) for value in (300 + (v % 5) * (8 + image / 10), 200.0 + 20 * v, 0.9)]

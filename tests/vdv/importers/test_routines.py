"""Rhythmic Gymnastics and MIT-Skating in the published layout, made up: what is read, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdv.errors import DataSetError
from vdv.importers.routines import read_gymnastics, read_skating

HEADER = "Video_Name\tDifficulty_Score    Execution_Score Total_Score\tPenalty\tVideo_length"


def features(folder: Path, name: str, segments: int = 28, frames: int = 82) -> None:
    for kind, shape in (("dynamic_feat", (segments, 1024)), ("static_feat", (frames, 2048))):
        (folder / kind).mkdir(exist_ok=True)
        np.save(folder / kind / f"{name}.npy", np.full(shape, len(name), np.float32))


@pytest.fixture
def gymnastics(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text(
        f"{HEADER}\nBall_001\t10.50\t8.30\t18.80\t0.00\t92\n  Ball_002 \t7.20\t4.20\t10.80\t0.60\t93 \n"
        "Hoop_001\t9.40\t7.80\t17.20\t0.00\t92\n\n"
    )
    (tmp_path / "test.txt").write_text(f"{HEADER}\nBall_022\t9.10\t7.60\t16.70\t0.00\t91\n")
    for name in ("Ball_001", "Ball_002", "Ball_022", "Hoop_001"):
        features(tmp_path, name)
    return tmp_path


def test_routines_of_one_apparatus_are_read_with_their_scores_and_part(gymnastics: Path) -> None:
    found = read_gymnastics(gymnastics, "Ball")
    assert [(one.name, one.part) for one in found] == [
        ("Ball_001", "train"),
        ("Ball_002", "train"),
        ("Ball_022", "test"),
    ]
    assert found[1].scores == {"difficulty": 7.2, "execution": 4.2, "total": 10.8}
    assert (found[0].dynamic.shape, found[0].static.shape) == ((28, 1024), (82, 2048))
    assert found[0].dynamic.dtype == np.float32


def test_axes_of_pooling_are_dropped_and_a_routine_may_have_no_frame(gymnastics: Path) -> None:
    np.save(gymnastics / "dynamic_feat" / "Ball_001.npy", np.ones((3, 1024, 1, 1, 1)))
    np.save(gymnastics / "static_feat" / "Ball_001.npy", np.ones((0, 2048)))
    routine = read_gymnastics(gymnastics, "Ball")[0]
    assert (routine.dynamic.shape, routine.static.shape) == ((3, 1024), (0, 2048))


def test_features_of_whole_frames_may_be_in_another_folder(gymnastics: Path) -> None:
    (gymnastics / "static_feat").rename(gymnastics / "whole")
    assert len(read_gymnastics(gymnastics, "Ball", static="whole")) == 3
    with pytest.raises(DataSetError, match=r"static_feat/Ball_001.npy: of row 2 of train.txt: cannot be read"):
        read_gymnastics(gymnastics, "Ball")


def test_the_final_score_of_a_skater_is_the_sum(tmp_path: Path) -> None:
    (tmp_path / "scores.txt").write_text("001 41.25 38.50\n002\t30 33.25\n")
    for name in ("001", "002"):
        features(tmp_path, name, 55, 160)
    assert [one.scores["total"] for one in read_skating(tmp_path)] == [79.75, 63.25]
    assert read_skating(tmp_path)[0].part is None


@pytest.mark.tried(
    kind="importers that trust types",
    given="Rhythmic Gymnastics: another layout, features of another width, scores as text, a routine in both parts",
    outcome="refused with file, row, and what to do",
)
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.txt", "Ball_001 1 2 3 4 5\n", r"train.txt, row 1: does not begin with Video_Name"),
        ("train.txt", f"{HEADER}\nBall_001 1 2 3\n", r"train.txt, row 2: has 4 columns, expected 6; correct the row"),
        (
            "train.txt",
            f"{HEADER}\nBall_001 1 x 3 0 9\n",
            r"row 2: 'Ball_001 1 x 3 0 9' has a score that is not a finite",
        ),
        ("train.txt", f"{HEADER}\nBall_001 1 nan 3 0 9\n", "not a finite number; correct it, or remove the row"),
        ("train.txt", f"{HEADER}\n", r"train.txt: has no routine"),
        (
            "train.txt",
            f"{HEADER}\nBall_022 1 2 3 0 9\n",
            r"test.txt, row 2, Video_Name: Ball_022 is also row 2 of train.txt",
        ),
        (
            "train.txt",
            f"{HEADER}\nBall_007 1 2 3 0 9\n",
            r"dynamic_feat/Ball_007.npy: of row 2 of train.txt: cannot be read",
        ),
        ("train.txt", b"\xff\xfe", "train.txt is not UTF-8 text"),
        (
            "dynamic_feat/Ball_002.npy",
            np.ones((4, 512)),
            r"shape \(4, 512\), expected \(T ≥ 1, 1024\); extract them with",
        ),
        ("dynamic_feat/Ball_002.npy", np.ones((0, 1024)), r"has shape \(0, 1024\)"),
        ("dynamic_feat/Ball_002.npy", np.full((1, 1024), np.inf), "holds values that are not finite"),
        ("dynamic_feat/Ball_002.npy", np.full((1, 1024), 1e300), "holds values that are not finite as float32"),
        ("dynamic_feat/Ball_002.npy", np.array([["a"]]), "does not hold numbers"),
        (
            "static_feat/Ball_002.npy",
            b"no array",
            r"static_feat/Ball_002.npy: of row 3 of train.txt: is not a NumPy array",
        ),
    ],
)
def test_what_is_not_as_published_is_named(gymnastics: Path, file: str, content: Any, message: str) -> None:
    if isinstance(content, np.ndarray):
        np.save(gymnastics / file, content)
    else:
        (gymnastics / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataSetError, match=message):
        read_gymnastics(gymnastics, "Ball")


def test_all_findings_are_reported_together_and_folders_of_another_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"train.txt cannot be read .*give the published folder"):
        read_gymnastics(tmp_path, "Ball")
    with pytest.raises(DataSetError, match="no apparatus is called 'Rope'; give one of Ball, Clubs, Hoop, Ribbon"):
        read_gymnastics(tmp_path, "Rope")
    (tmp_path / "train.txt").write_text(f"{HEADER}\nHoop_001 1 2\nHoop_002 1 2 3 0\n")
    (tmp_path / "test.txt").write_text(f"{HEADER}\nHoop_003 1 2 3 0 90\n")
    with pytest.raises(DataSetError, match=r"2 things are wrong:\n.*row 2: .*\n.*row 3"):
        read_gymnastics(tmp_path, "Hoop")
    (tmp_path / "train.txt").write_text(f"{HEADER}\nHoop_001 1 2 3 0 90\n")
    with pytest.raises(DataSetError, match=r"names no routine Ball_…"):
        read_gymnastics(tmp_path, "Ball")

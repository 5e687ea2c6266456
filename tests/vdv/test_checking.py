"""The check: everything that is wrong is found at once, each with file, row and remedy."""

import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.features import ClipFeatures, decode_features
from schemas.modalities import Modality
from schemas.virality_target import Target, TargetSettings
from tests.clips import random_features
from tests.vdv.data_sets import LABEL, annotation, labelled, written
from vdv.annotations import Annotation, write_table
from vdv.checking import check_data_set, check_folder
from vdv.errors import DataSetError
from vdv.folder import DataSet
from vdv.splits import draw_split
from vdv.targets import fit_target, raw_targets


def findings(data: DataSet, **options: Any) -> list[str]:
    return [str(finding) for finding in check_data_set(data, **options).findings]


def table_findings(annotations: list[Annotation], folder: Path, **options: Any) -> list[str]:
    """What is found in a table, all feature files being well."""
    data = written(folder, labelled(len(annotations)))
    placed = [
        msgspec.structs.replace(a, features=b.features, row=b.row)
        for a, b in zip(annotations, data.annotations, strict=True)
    ]
    return findings(DataSet(data.folder, tuple(placed)), **options)


def test_a_good_data_set_has_no_findings_and_its_files_are_counted(tmp_path: Path) -> None:
    data = written(tmp_path, draw_split(labelled(10)))
    seen: list[tuple[int, int]] = []
    report = check_data_set(data, progress=lambda done, total: seen.append((done, total)))
    assert report.findings == ()
    report.raise_if_bad()
    assert seen == [(i, 10) for i in range(1, 11)]
    assert report.statistics[-1].steps[Modality.SKELETAL] == 1000
    assert check_folder(tmp_path) == report


def test_everything_wrong_is_found_at_once_and_raised_as_one_error(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(6))
    (tmp_path / data.annotations[1].features).unlink()
    (tmp_path / data.annotations[2].features).write_bytes(b"no features at all")
    content = bytearray((tmp_path / data.annotations[3].features).read_bytes())
    content[-2:] = b"\x00\x7e"  # NaN in float16
    (tmp_path / data.annotations[3].features).write_bytes(content)
    wide = random_features(4.0, modalities=[Modality.SKELETAL], joint_channels=3)
    other = written(tmp_path / "other", [annotation("clip-4")], **{"clip-4": wide})
    (tmp_path / data.annotations[4].features).write_bytes(other.content(other.annotations[0]))
    found = findings(data, challenges=["challenge-0"])
    assert all(line.startswith(f"{tmp_path / 'clips.csv'}, row ") for line in found)
    for row, named in (
        (3, "challenge_id: 'challenge-1' is none of challenge-0"),
        (3, "clip-1.safetensors cannot be read"),
        (4, "clip-2.safetensors: truncated"),
        (5, "skeletal: features/clip-3.safetensors: tensor 'skeletal' holds NaN"),
        (6, "mpii-16 with 3 channels, clips before it have mpii-16 with 2"),
    ):
        assert any(f", row {row}, " in line and named in line and ";" in line for line in found), named
    assert len(found) == 7
    with pytest.raises(DataSetError, match="7 things are wrong"):
        check_data_set(data, challenges=["challenge-0"]).raise_if_bad()


def test_a_table_with_bad_rows_is_checked_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(4))
    table = (tmp_path / "clips.csv").read_text().replace("clip-1,", "clip 1,", 1)
    (tmp_path / "clips.csv").write_text(table)
    (tmp_path / data.annotations[3].features).unlink()
    report = check_folder(tmp_path)
    assert [(f.row, f.field) for f in report.findings] == [(3, "clip_id"), (5, "features")]
    assert report.statistics == ()


def test_a_folder_without_a_table_is_a_finding(tmp_path: Path) -> None:
    (finding,) = check_folder(tmp_path).findings
    assert "cannot be read" in str(finding)
    write_table(tmp_path, [])
    (finding,) = check_folder(tmp_path).findings
    assert "has no rows; add a row per clip" in str(finding)


@pytest.mark.tried(
    kind="collapse by key", given="an id and a feature file in two rows of a data set", outcome="found with both rows"
)
def test_ids_and_files_that_come_twice_are_found(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(4))
    first, second, *others = data.annotations
    again = annotation(first.clip_id, features=first.features, row=second.row, **LABEL)
    found = findings(DataSet(tmp_path, (first, again, *others)))
    assert len([line for line in found if "row 3" in line and "in row 2 already" in line]) == 2


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({}, "no labels to learn from; add likes, comments, reposts, days_online, or score"),
        (LABEL | {"score": 1.0}, "has both score and some of likes"),
        ({"likes": 3, "comments": 1}, "row 2, reposts: reposts, days_online are missing"),
    ],
)
def test_labels_that_are_absent_double_or_partial_are_found(tmp_path: Path, labels: dict[str, Any], named: str) -> None:
    rows = [annotation(f"clip-{i}", **labels) for i in range(3)]
    assert any(named in line for line in table_findings(rows, tmp_path))


def test_clips_without_labels_are_accepted_if_they_need_none(tmp_path: Path) -> None:
    rows = [annotation(f"clip-{i}") for i in range(3)]
    assert table_findings(rows, tmp_path, labelled=False) == []


def test_a_missing_score_is_found_by_row(tmp_path: Path) -> None:
    rows = [annotation("a", score=1.0), annotation("b"), annotation("c", score=2.0)]
    (found,) = table_findings(rows, tmp_path)
    assert "row 3, score: score is missing; complete or remove the row" in found


def test_a_challenge_whose_clips_are_all_alike_is_refused(tmp_path: Path) -> None:
    rows = [
        annotation(f"clip-{i}", challenge_id=c, score=s)
        for i, (c, s) in enumerate([("a", 1), ("a", 2), ("b", 7), ("b", 7), ("c", 3)])
    ]
    found = table_findings(rows, tmp_path)
    assert [
        named in line for named, line in zip(("'b': all its clips (2)", "'c': all its clips (1)"), found, strict=True)
    ]
    assert all("clips.csv" in line and "leave the challenge out" in line for line in found)


def test_a_training_part_whose_clips_are_all_alike_is_refused(tmp_path: Path) -> None:
    rows = [
        annotation(f"clip-{i}", score=score, split=split)
        for i, (score, split) in enumerate([(1, "train"), (1, "train"), (2, "test")])
    ]
    (found,) = table_findings(rows, tmp_path)
    assert "'renegade': its clips to learn from in split (2) have the same target 1" in found
    folds = [
        annotation(f"clip-{i}", score=score, fold=fold)
        for i, (score, fold) in enumerate([(1, 0), (1, 0), (2, 1), (3, 2)])
    ]
    assert table_findings(folds, tmp_path / "folds") == []
    one, two = table_findings(folds[:3], tmp_path / "fewer")
    assert "in fold 0 (1)" in one
    assert "in fold 1 (2)" in two


def test_a_leaking_split_is_found_when_asked_for(tmp_path: Path) -> None:
    rows = [annotation(f"clip-{i}", "ada", score=i, split="test" if i == 3 else "train") for i in range(4)]
    assert table_findings(rows, tmp_path) == []
    (found,) = table_findings(rows, tmp_path / "again", by_dancer=True)
    assert "row 2, split: dancer 'ada' straddles it (test in row 5; train in rows 2, 3, 4)" in found


def test_asking_for_no_leak_without_a_split_is_answered_with_the_command(tmp_path: Path) -> None:
    (found,) = findings(written(tmp_path, labelled(4)), by_dancer=True)
    assert f"run: dancerank data split {tmp_path}" in found


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ([{"split": "train"}, {}, {"split": "test"}], "row 3, split: is empty; give every clip a part"),
        ([{"split": "train"}, {"fold": 1}, {}], "both split and fold"),
        ([{"split": "train"}] * 3, "no clip is held out"),
    ],
)
def test_a_partition_that_cannot_be_used_is_found(tmp_path: Path, parts: list[dict[str, Any]], named: str) -> None:
    rows = [annotation(f"clip-{i}", score=i, **part) for i, part in enumerate(parts)]
    assert any(named in line for line in table_findings(rows, tmp_path))


def test_a_challenge_on_one_side_of_the_split_is_found(tmp_path: Path) -> None:
    sides = [("a", "train"), ("a", "test"), ("a", "train"), ("b", "train"), ("b", "train")]
    rows = [annotation(f"clip-{i}", challenge_id=c, score=i, split=part) for i, (c, part) in enumerate(sides)]
    (found,) = table_findings(rows, tmp_path)
    assert "challenge 'b' is in train only" in found


def test_a_challenge_called_all_is_found(tmp_path: Path) -> None:
    rows = [annotation(f"clip-{i}", challenge_id="all", score=i) for i in range(2)]
    assert all("names the track of all challenges; rename" in line for line in table_findings(rows, tmp_path))


def test_features_are_held_one_clip_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(tmp_path, labelled(6))
    alive: list[weakref.ref[ClipFeatures]] = []

    def watched(content: bytes) -> ClipFeatures:
        assert sum(ref() is not None for ref in alive) <= 1
        features = decode_features(content)
        alive.append(weakref.ref(features))
        return features

    monkeypatch.setattr("vdv.checking.decode_features", watched)
    assert check_data_set(data).findings == ()
    assert len(alive) == 6


@pytest.mark.tried(
    kind="two readers, two truths",
    given="one feature file of two clips, by ./, ../, a symbolic or a hard link",
    outcome="found with both rows",
)
@pytest.mark.parametrize("spelling", ["dotted", "upwards", "symbolic link", "hard link"])
def test_one_feature_file_of_two_clips_is_found_however_its_path_is_spelled(tmp_path: Path, spelling: str) -> None:
    data = written(tmp_path, labelled(4))
    path = data.annotations[0].features
    same = {"dotted": f"./{path}", "upwards": f"features/../{path}"}.get(spelling, "features/same")
    if spelling == "symbolic link":
        (tmp_path / same).symlink_to(tmp_path / path)
    elif spelling == "hard link":
        (tmp_path / same).hardlink_to(tmp_path / path)
    other = msgspec.structs.replace(data.annotations[1], features=same)
    (found,) = findings(DataSet(tmp_path, (data.annotations[0], other, *data.annotations[2:])))
    assert f"{same!r} is in row 2 already; give each clip a feature file of its own" in found


@pytest.mark.tried(
    kind="two readers, two truths",
    given="60 s of features of a clip of 4 s in a data set",
    outcome="found with the row",
)
def test_features_that_last_longer_than_the_clip_are_found(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(4), **{"clip-2": random_features(60.0, modalities=[Modality.SKELETAL])})
    (found,) = findings(data)
    assert "row 4" in found
    assert "lasts 60 s and duration_s is 4" in found


def test_the_columns_of_the_target_are_looked_at_and_only_those(tmp_path: Path) -> None:
    rows = [
        msgspec.structs.replace(a, views=2 if i == 1 else 1000, followers=0 if i == 3 else 100 + i)
        for i, a in enumerate(labelled(8))
    ]
    assert table_findings(rows, tmp_path / "eq1") == []
    (found,) = table_findings(rows, tmp_path / "a", target=TargetSettings(target=Target.PER_VIEW))
    assert "row 3, views: 2 views are fewer than 13 reactions; count views and reactions" in found
    (found,) = table_findings(rows, tmp_path / "b", target=TargetSettings(target=Target.AUDIENCE_ADJUSTED))
    assert "row 5, followers: 0 followers have no logarithm; give the author's followers" in found
    without = [msgspec.structs.replace(a, followers=None) for a in rows]
    found = table_findings(without, tmp_path / "c", target=TargetSettings(target=Target.AUDIENCE_ADJUSTED))
    assert len(found) == 8
    assert "row 2, followers: followers is missing for the target audience-adjusted; complete or remove" in found[0]
    judged = [annotation(f"clip-{i}", score=1.0 * i, row=i + 2) for i in range(4)]
    (found,) = table_findings(judged, tmp_path / "d", target=TargetSettings(target=Target.PER_VIEW))
    assert "has judged scores, of which no per-view target is made; learn them as eq1" in found


def test_a_target_that_cannot_be_fitted_to_the_training_clips_of_a_fold_is_found(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(a, views=1000, followers=10 + i % 2) for i, a in enumerate(labelled(8))]
    split = [msgspec.structs.replace(a, split="train" if i % 2 else "test") for i, a in enumerate(rows)]
    (found,) = [
        line
        for line in table_findings(split, tmp_path, target=TargetSettings(target=Target.AUDIENCE_ADJUSTED))
        if "followers" in line
    ]
    assert "all 4 clips to learn from have 11 followers" in found


def test_the_statistics_are_of_the_target(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(a, views=1000) for a in draw_split(labelled(10))]
    data = written(tmp_path, rows)
    asked = TargetSettings(target=Target.PER_VIEW)
    total = check_data_set(data, target=asked).statistics[-1]
    fitted = fit_target(asked, [a for a in data.annotations if a.split == "train"])
    raw = raw_targets(data.annotations, fitted)
    assert total.scores == (raw.min(), raw.max())

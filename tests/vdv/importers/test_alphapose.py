"""AlphaPose results: one dancer, in order, without gaps, at 25 Hz; what cannot be used is named with its clip."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.features import ClipFeatures
from schemas.modalities import Modality
from vdv.annotations import Annotation
from vdv.checking import check_data_set
from vdv.errors import DataSetError
from vdv.folder import write_data_set
from vdv.importers.alphapose import read_clips, read_people
from vdv.importers.people import one_person

HEADER = "clip_id,dancer_id,challenge_id,poses"


def person(
    frame: int | str, x: float | None = None, *, joints: int = 17, score: float = 2.0, **more: Any
) -> dict[str, Any]:
    """A detection whose joint v is at (x, v) with confidence 0.9; x is the frame's number if not given."""
    at = x if x is not None else float(frame)
    keypoints = [value for v in range(joints) for value in (at, float(v), 0.9)]
    name = f"{frame}.jpg" if isinstance(frame, int) else frame
    return {"image_id": name, "category_id": 1, "keypoints": keypoints, "score": score, **more}


def source(folder: Path, *results: Any, columns: str = "", values: str = "") -> Path:
    """A folder with the clips clip-0, clip-1 …"""
    rows = [HEADER + columns]
    for i, result in enumerate(results):
        (folder / f"{i}.json").write_text(result if isinstance(result, str) else json.dumps(result))
        rows.append(f"clip-{i},ada,renegade,{i}.json{values}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def read(folder: Path, **options: Any) -> tuple[Annotation, ClipFeatures]:
    (clip,) = read_clips(folder, **({"fps": 25.0} | options))
    return clip


def xs(features: ClipFeatures) -> np.ndarray[Any, Any]:
    return features.frames[Modality.SKELETAL][:, 3, 0]


@pytest.mark.parametrize(("joints", "layout"), [(16, "mpii-16"), (17, "coco-17"), (18, "openpose-18")])
def test_the_number_of_joints_says_the_layout(tmp_path: Path, joints: int, layout: str) -> None:
    annotation, features = read(source(tmp_path, [person(i, joints=joints) for i in range(100)]))
    assert (features.joint_layout, annotation.duration_s) == (layout, 4.0)
    frames = features.frames[Modality.SKELETAL]
    assert frames.shape == (100, joints, 2)
    np.testing.assert_array_equal(frames[7, :, 1], np.arange(joints))


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="AlphaPose images and result files whose names are Latin-1",
    outcome="imported like any other",
)
@pytest.mark.parametrize("form", [list, "images"])
@pytest.mark.parametrize("escaped", [True, False])
def test_names_of_images_and_results_need_not_be_utf8(tmp_path: Path, form: Any, escaped: bool) -> None:
    people = [person(f"caf\udce9_{i}.jpg", float(i)) for i in range(100)]
    bodies = {one["image_id"]: {"bodies": [{"joints": one["keypoints"]}]} for one in people}
    result = json.dumps(people if form is list else bodies, ensure_ascii=escaped)
    folder = source(tmp_path, [])
    (folder / os.fsdecode(b"0\xe9.json")).write_bytes(result.encode(errors="surrogateescape"))
    (folder / "clips.csv").write_bytes(f"{HEADER}\nclip-0,ada,renegade,".encode() + b"0\xe9.json\n")
    _, features = read(folder)
    np.testing.assert_array_equal(xs(features), np.arange(100))


def test_the_confidence_is_kept_when_asked_for(tmp_path: Path) -> None:
    _, features = read(source(tmp_path, [person(i) for i in range(100)]), confidence=True)
    np.testing.assert_allclose(features.frames[Modality.SKELETAL][..., 2], 0.9)


def test_frames_are_ordered_by_number_not_by_name(tmp_path: Path) -> None:
    _, features = read(source(tmp_path, [person(i) for i in sorted(range(120), key=str)]))
    np.testing.assert_array_equal(xs(features), np.arange(120))


@pytest.mark.parametrize("name", ["clip7/frame_{:04d}.png", "video-3_{}.jpg", "{}"])
def test_the_last_number_of_a_name_is_the_frames(tmp_path: Path, name: str) -> None:
    _, features = read(source(tmp_path, [person(name.format(i), float(i)) for i in range(100)]))
    np.testing.assert_array_equal(xs(features), np.arange(100))


def test_frames_may_be_numbers(tmp_path: Path) -> None:
    _, features = read(source(tmp_path, [person(i) | {"image_id": i} for i in range(100)]))
    np.testing.assert_array_equal(xs(features), np.arange(100))


def test_short_gaps_are_interpolated_and_the_edges_left_out(tmp_path: Path) -> None:
    frames = [i for i in range(10, 110) if not 50 <= i < 62]
    annotation, features = read(source(tmp_path, [person(i) for i in frames]))
    np.testing.assert_allclose(xs(features), np.arange(10, 110), rtol=1e-6)
    assert annotation.duration_s == 4.0


def test_a_long_gap_names_the_clip_and_the_remedy(tmp_path: Path) -> None:
    folder = source(tmp_path, [person(i) for i in range(100) if not 50 <= i < 63])
    with pytest.raises(DataSetError, match=r"row 2, poses: clip clip-0: .*lost for 0\.52 s, over .*0\.5 s; leave"):
        read(folder)
    assert len(xs(read(folder, longest_gap_s=0.52)[1])) == 100


def test_a_frame_number_far_off_is_a_gap_and_takes_no_memory(tmp_path: Path) -> None:
    folder = source(tmp_path, [person(i, 0.0) for i in (0, 1, 10**15)])
    with pytest.raises(DataSetError, match="the dancer is lost for"):
        read(folder)


@pytest.mark.parametrize(
    ("options", "columns", "values"), [({"fps": 50.0}, "", ""), ({}, ",fps", ",50"), ({"fps": 50}, ",fps", ",")]
)
def test_other_frame_rates_are_brought_to_25_hz(tmp_path: Path, options: Any, columns: str, values: str) -> None:
    folder = source(tmp_path, [person(i) for i in range(200)], columns=columns, values=values)
    annotation, features = read(folder, **options)
    np.testing.assert_array_equal(xs(features), np.arange(0, 200, 2))
    assert annotation.duration_s == 4.0
    assert "fps" not in annotation.extra


def test_the_longest_track_is_the_dancer_though_another_is_more_confident(tmp_path: Path) -> None:
    dancer = [person(i, idx=3) for i in range(100)]
    passer_by = [person(i, -1.0, score=9.0, idx=[7]) for i in range(30, 60)]
    _, features = read(source(tmp_path, passer_by + dancer))
    np.testing.assert_array_equal(xs(features), np.arange(100))


def test_of_two_tracks_of_one_length_the_more_confident_is_the_dancer(tmp_path: Path) -> None:
    people = [person(i, 1.0, idx=1, score=1.0) for i in range(5)] + [person(i, 2.0, idx=2) for i in range(5)]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(people))
    assert {float(chosen.joints[0, 0]) for chosen in one_person(path, read_people(path)).values()} == {2.0}


def test_of_two_untracked_people_the_more_confident_is_the_dancer(tmp_path: Path) -> None:
    people = [person(i, -200.0, score=1.0) for i in range(100)] + [person(i) for i in range(100)]
    _, features = read(source(tmp_path, people))
    np.testing.assert_array_equal(xs(features), np.arange(100))


@pytest.mark.parametrize(("key", "below"), [("bodies", "joints"), ("people", "pose_keypoints_2d")])
def test_the_formats_by_image_are_read_and_the_surest_joints_win(tmp_path: Path, key: str, below: str) -> None:
    def body(x: float, confidence: float) -> dict[str, list[float]]:
        return {below: [value for v in range(18) for value in (x, float(v), confidence)]}

    images = {f"{i}.jpg": {"version": "x", key: [body(-200.0, 0.2), body(float(i), 0.8)]} for i in range(100)}
    _, features = read(source(tmp_path, images))
    assert features.joint_layout == "openpose-18"
    np.testing.assert_array_equal(xs(features), np.arange(100))


def test_labels_and_other_columns_are_taken_over(tmp_path: Path) -> None:
    columns, values = ",duration_s,likes,comments,reposts,days_online,style", ",4.2,1,2,3,4,sharp"
    folder = source(tmp_path, *([person(i) for i in range(100)] for _ in range(2)), columns=columns, values=values)
    data = write_data_set(tmp_path / "data", read_clips(folder, fps=25.0))
    for i, clip in enumerate(data.annotations):
        assert (clip.clip_id, clip.features) == (f"clip-{i}", f"features/clip-{i}.safetensors")
        assert (clip.duration_s, clip.likes, clip.days_online, clip.extra) == (4.2, 1, 4.0, {"style": "sharp"})
    assert "same target" in str(check_data_set(data).findings[0])


def test_a_dancer_seen_in_less_than_half_the_clip_is_refused(tmp_path: Path) -> None:
    folder = source(tmp_path, [person(i) for i in range(40)], columns=",duration_s", values=",10")
    with pytest.raises(DataSetError, match=r"clip-0: the dancer is seen in 1\.60 s of 10 s"):
        read(folder)


@pytest.mark.parametrize(
    ("result", "named"),
    [
        ("[]", "no person"),
        ("{}", "no person"),
        ("nothing", "not an AlphaPose result"),
        ('[{"image_id": "1.jpg"}]', "not an AlphaPose result"),
        ([person(0, joints=26)], r"78 keypoint values; expected three per joint of 16 \(mpii-16\)"),
        ([person(0) | {"keypoints": [1.0, 2.0]}], "2 keypoint values"),
        ([person(0), person(1, joints=16)], "poses of 16 and 17 joints"),
        ([person("cover.jpg", 1.0)], "'cover.jpg' has no number"),
        ([person(0, 1e39)], "not a finite number"),
        ([person(0, idx={"a": 1})], "is not a track"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_result_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, result: Any, named: str) -> None:
    with pytest.raises(DataSetError, match=rf"(?s)0\.json.*{named}"):
        read(source(tmp_path, result))


def test_all_bad_clips_are_named_and_no_table_is_written(tmp_path: Path) -> None:
    good = [person(i) for i in range(100)]
    folder = source(tmp_path, good, "nothing", good, [])
    (folder / "2.json").unlink()
    with pytest.raises(DataSetError) as caught:
        write_data_set(tmp_path / "data", read_clips(folder, fps=25.0))
    assert [finding.row for finding in caught.value.findings] == [3, 4, 5]
    assert not (tmp_path / "data" / "clips.csv").exists()


@pytest.mark.parametrize(
    ("columns", "values", "named"),
    [
        (",fps", ",0", "row 2, fps: '0' is not a frame rate"),
        (",fps", ",fast", "'fast' is not a frame rate"),
        (",likes", ",-3", "row 2, likes: '-3' is refused"),
    ],
)
def test_a_wrong_cell_of_the_table_is_named(tmp_path: Path, columns: str, values: str, named: str) -> None:
    with pytest.raises(DataSetError, match=named):
        read(source(tmp_path, [person(i) for i in range(100)], columns=columns, values=values))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"fps": 0.0}, "row 2, fps: '0.0' is not a frame rate"),
        ({"fps": 1e-9}, r"row 2, fps: clip clip-0: at 1e-09 frames per second it lasts .* s, over a day"),
        ({"longest_gap_s": float("nan")}, "longest gap is nan"),
        ({"longest_gap_s": -1.0}, "longest gap is -1"),
    ],
)
def test_an_impossible_rate_or_gap_is_refused(tmp_path: Path, options: dict[str, float], named: str) -> None:
    with pytest.raises(DataSetError, match=named):
        read(source(tmp_path, [person(i) for i in range(100)]), **options)


def test_a_coordinate_too_large_for_its_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="coordinate that is not a finite number"):
        read(source(tmp_path, [person(i, 1e300) for i in range(100)]))


def test_results_outside_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(f"{HEADER}\na,b,c,../../secret.json\n")
    with pytest.raises(DataSetError, match=r"row 2, poses: .*leads outside"):
        read(tmp_path)


def test_a_table_without_the_poses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("clip_id,dancer_id,challenge_id\n")
    with pytest.raises(DataSetError, match="poses is missing"):
        list(read_clips(tmp_path, fps=25.0))

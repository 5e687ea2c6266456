"""Let's Dance in its published layout, made up: what is read, and what is refused with file and remedy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.joints import COCO_17
from vdv.errors import DataSetError
from vdv.importers.lets_dance import read_image_features, read_videos


def person(x: float = 0.0, **changed: Any) -> list[Any]:
    joints = {name.replace(" ", "_"): [x + place, 2.0 * place, 0.9] for place, name in enumerate(COCO_17.joints)}
    return [["person", 0.99], *([name, at] for name, at in (joints | changed).items() if at is not None)]


def write(folder: Path, style: str, video: str, frames: dict[int, Any]) -> None:
    (folder / "densepose" / style).mkdir(parents=True, exist_ok=True)
    for number, people in frames.items():
        path = folder / "densepose" / style / f"{video}_{number:04d}.json"
        path.write_text(people if isinstance(people, str) else json.dumps(people))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "waltz", "a_b-C_010", {1: [person(), person(5)], 2: [], 4: [person(7)]})
    write(tmp_path, "tango", "dEf_000", {7: [person()], 8: ""})
    return tmp_path


def test_people_are_read_by_frame_and_missing_frames_have_none(folder: Path) -> None:
    tango, waltz = read_videos(folder)
    assert (tango.style, tango.name, tango.missing) == ("tango", "dEf_000", 0)
    assert (waltz.style, waltz.name, waltz.missing) == ("waltz", "a_b-C_010", 1)
    assert [len(people) for people in waltz.frames] == [2, 0, 0, 1]
    assert [len(people) for people in tango.frames] == [1, 0]
    np.testing.assert_array_equal(waltz.frames[0][1][:, 0], np.arange(17) + 5)
    assert [video.name for video in read_videos(folder / "densepose")] == ["dEf_000", "a_b-C_010"]


@pytest.mark.tried(
    kind="importers that trust types",
    given="Let's Dance: 21 people in a frame, a clip of one frame, no person in any frame, a style named with a space",
    outcome="refused with the file, the row of the person, and what to do",
)
@pytest.mark.parametrize(
    ("style", "frames", "message"),
    [
        ("jive", {1: [person()] * 21, 2: []}, r"x_0001.json, row 21: has 21 people, over the limit of 20; remove"),
        ("jive", {1: [person()]}, r"x_0001.json: is the only frame of x; leave the clip out"),
        ("jive", {1: [], 2: "[]"}, r"x_0001.json: no frame of x shows a person \(2 files\); extract"),
        (" jive", {1: [person()], 2: []}, r"the style ' jive' has spaces around it; rename the folder"),
        ("jive", {1: [person(nose=None)], 2: []}, r"x_0001.json, row 1: lacks nose; extract"),
        (
            "jive",
            {1: [person(nose=[float("nan"), 0])], 2: []},
            r"x_0001.json, row 1: has coordinates that are not finite",
        ),
        ("jive", {1: [person(nose=[1e300, 0])], 2: []}, r"x_0001.json, row 1: has coordinates that are not finite"),
        ("jive", {1: [person(), [["dog", 1]]], 2: []}, r"x_0001.json, row 2: (lacks|is a)"),
        ("jive", {1: [person(), 7], 2: []}, r"x_0001.json, row 2: is not a person as published"),
        ("jive", {1: {"people": []}, 2: []}, r"x_0001.json: is not a list of people"),
        ("jive", {1: "{", 2: []}, r"x_0001.json: is not JSON"),
        (
            "jive",
            {1: [], 9999: [person()]},
            r"x_9999.json: is frame 9999 of a clip that begins with 1, longer than 600",
        ),
    ],
)
def test_what_is_not_as_published_is_named_with_its_file(
    folder: Path, style: str, frames: dict[int, Any], message: str
) -> None:
    write(folder, style, "x", frames)
    with pytest.raises(DataSetError, match=message):
        list(read_videos(folder))


def test_folders_of_another_layout_and_of_one_style_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"absent cannot be read .*give the folder that holds densepose"):
        list(read_videos(tmp_path / "absent"))
    (tmp_path / "clips" / "waltz").mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"clips: has no folder of pose files; expected densepose/<style>"):
        list(read_videos(tmp_path / "clips"))
    write(tmp_path, "waltz", "x", {1: [person()], 2: []})
    with pytest.raises(DataSetError, match="has one style only, waltz; add another one"):
        list(read_videos(tmp_path))
    (tmp_path / "densepose" / "tango").mkdir()
    with pytest.raises(DataSetError, match=r"tango: has no pose files"):
        list(read_videos(tmp_path))
    (tmp_path / "densepose" / "tango" / "notes.json").write_text("[]")
    with pytest.raises(DataSetError, match=r"notes.json: is not named <video>_<frame>.json"):
        list(read_videos(tmp_path))


def test_features_of_images_have_a_row_for_each_frame(folder: Path) -> None:
    waltz = list(read_videos(folder))[1]
    (folder / "images" / "waltz").mkdir(parents=True)
    path = folder / "images" / "waltz" / "a_b-C_010.npy"
    for content, message in (
        (None, r"a_b-C_010.npy: of a_b-C_010: cannot be read .*extract the features"),
        (np.ones((4, 2048)), r"has shape \(4, 2048\), expected \(T ≥ 1, 512\)"),
        (np.ones((3, 512)), "has 3 frames, the poses have 4; extract one feature for each frame"),
    ):
        if content is not None:
            np.save(path, content)
        with pytest.raises(DataSetError, match=message):
            read_image_features(folder / "images", waltz)
    np.save(path, np.ones((4, 512, 1, 1)))
    assert read_image_features(folder / "images", waltz).shape == (4, 512)

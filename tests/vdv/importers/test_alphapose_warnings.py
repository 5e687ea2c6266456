"""AlphaPose results that could be read in two ways: missing joints, names of images, and who the dancer is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.modalities import Modality
from tests.vdv.importers.test_alphapose import person, read, source, xs
from vdv.errors import DataSetError
from vdv.folder import write_data_set
from vdv.importers.alphapose import read_clips

EVERY = tuple(range(17))


def body(frame: int | str, x: float, *, lost: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    """A detection of a body of 64 by 320 pixels whose left edge is at x; the joints ``lost`` are (0, 0, 0)."""
    keypoints = [
        value for v in EVERY for value in ((0.0, 0.0, 0.0) if v in lost else (x + 4.0 * v, 200.0 + 20.0 * v, 0.9))
    ]
    return person(frame, 0.0) | {"keypoints": keypoints} | more


@pytest.mark.tried(
    kind="missing values in disguise",
    given="AlphaPose joints at (0, 0, 0) in some images",
    outcome="interpolated; the share is a column of clips.csv",
)
def test_undetected_joints_are_interpolated_and_their_share_is_a_column(tmp_path: Path) -> None:
    whole = [body(i, 300.0 + i) for i in range(100)]
    lost = [body(i, 300.0 + i, lost=(9, 10) if i % 7 == 3 else ()) for i in range(100)]
    (tmp_path / "whole").mkdir()
    _, complete = read(source(tmp_path / "whole", whole), confidence=True)
    annotation, found = read(source(tmp_path, lost), confidence=True)
    np.testing.assert_allclose(found.frames[Modality.SKELETAL], complete.frames[Modality.SKELETAL], rtol=1e-6)
    assert (annotation.extra, found.filled_joints) == ({"filled_joints": "0.016"}, 14 * 2 / 1700)
    assert complete.filled_joints == 0


@pytest.mark.tried(
    kind="missing values in disguise", given="AlphaPose images in which no joint is detected", outcome="interpolated"
)
@pytest.mark.parametrize("rate_hz", [25.0, 50.0])
def test_images_in_which_no_joint_is_detected_are_interpolated(tmp_path: Path, rate_hz: float) -> None:
    rows = [body(i, 300.0 + i, lost=EVERY if 50 <= i < 60 else ()) for i in range(200)]
    annotation, features = read(source(tmp_path, rows), fps=rate_hz)
    np.testing.assert_allclose(xs(features), np.arange(312, 512, rate_hz / 25), rtol=1e-6)
    assert annotation.extra == {"filled_joints": "0.05"}


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        (
            dict.fromkeys(range(40, 60), (9, 10)),
            r"clip-0: undetected joints: left wrist, right wrist for 0\.80 s in",
        ),
        (
            dict.fromkeys(range(100), (9,)),
            r"clip-0: undetected joints: left wrist in every step, 100\.0% of",
        ),
        ({i: (9,) for i in range(100) if i % 4}, r"left wrist for 0\.12 s in a row, 75\.0% of the clip"),
        (dict.fromkeys(range(40, 60), EVERY), r"clip clip-0: the dancer is lost for 0\.80 s"),
        (dict.fromkeys(range(100), EVERY), r"0\.json: no joint is detected in any image"),
    ],
)
def test_joints_that_are_undetected_for_long_are_refused_by_clip_joint_and_share(
    tmp_path: Path, lost: dict[int, tuple[int, ...]], named: str
) -> None:
    with pytest.raises(DataSetError, match=f"row 2, poses: .*{named}"):
        read(source(tmp_path, [body(i, 300.0 + i, lost=lost.get(i, ())) for i in range(100)]))


def test_a_longer_gap_that_was_allowed_stays_readable_with_its_confidence(tmp_path: Path) -> None:
    folder = source(tmp_path, [body(i, 300.0 + i, lost=(9,) if 40 <= i < 60 else ()) for i in range(100)])
    data = write_data_set(tmp_path / "data", read_clips(folder, fps=25.0, longest_gap_s=1.0, confidence=True))
    assert data.features(data.annotations[0]).filled_joints == 0


@pytest.mark.tried(
    kind="collapse by key",
    given="images 00000_1080p.png, frame00000_0.jpg, 0.mp4.jpg",
    outcome="ordered by the number that differs",
)
@pytest.mark.parametrize(
    "name",
    ["{i:05d}_1080p.png", "frame{i:05d}_0.jpg", "1080/take2_{i}_30fps.png", "{i}.mp4.jpg", "x\\clip7\\{i:04d}.png"],
)
def test_the_number_that_differs_between_the_names_is_the_frames(tmp_path: Path, name: str) -> None:
    rows = [person(name.format(i=i), float(i)) for i in sorted(range(120), key=str)]
    _, features = read(source(tmp_path, rows))
    np.testing.assert_array_equal(xs(features), np.arange(120))


@pytest.mark.tried(kind="collapse by key", given="images t0.00.jpg, t0.04.jpg", outcome="ordered by time")
@pytest.mark.parametrize(("rate_hz", "decimals"), [(25.0, 2), (30.0, 2), (50.0, 3), (29.97, 3)])
def test_names_that_are_times_give_the_frames(tmp_path: Path, rate_hz: float, decimals: int) -> None:
    rows = [person(f"t{i / rate_hz:.{decimals}f}.jpg", float(i)) for i in range(120)]
    _, features = read(source(tmp_path, rows), fps=rate_hz)
    np.testing.assert_allclose(xs(features), np.arange(len(xs(features))) * rate_hz / 25, rtol=1e-5)
    assert xs(features)[-1] > 118 - rate_hz / 25


@pytest.mark.parametrize(
    ("names", "named"),
    [
        pytest.param(
            ["a_1.jpg", "b_1.jpg"],
            "images 'a_1.jpg' and 'b_1.jpg' both have the frame number 1",
            marks=pytest.mark.tried(
                kind="collapse by key", given="images a_1.jpg and b_1.jpg", outcome="refused with both names"
            ),
        ),
        pytest.param(
            ["1.jpg", "01.jpg", "2.jpg"],
            "images '1.jpg' and '01.jpg' both have the frame number 1",
            marks=pytest.mark.tried(
                kind="collapse by key", given="images 1.jpg and 01.jpg", outcome="refused with both names"
            ),
        ),
        (["1.jpg", "1_.jpg", "2.jpg"], "images '1.jpg' and '1_.jpg' both have the frame number 1"),
        pytest.param(
            ["1.jpg", "1.png", "2.png"],
            "images '1.jpg' and '1.png' both have the frame number 1",
            marks=pytest.mark.tried(
                kind="collapse by key", given="images 1.jpg and 1.png", outcome="refused with both names"
            ),
        ),
        pytest.param(
            ["1_0.jpg", "1_1.jpg", "2_0.jpg"],
            "images '1_0.jpg' and '2_0.jpg' both have the frame number 0",
            marks=pytest.mark.tried(
                kind="collapse by key", given="images whose names count two things", outcome="refused with both names"
            ),
        ),
        (["s1_000.jpg", "s1_001.jpg", "s2_000.jpg"], "images 's1_000.jpg' and 's2_000.jpg' both have"),
        pytest.param(
            ["t0.00.jpg", "t0.01.jpg", "t1.00.jpg"],
            "images 't0.00.jpg' and 't0.01.jpg' both have the frame number 0",
            marks=pytest.mark.tried(
                kind="collapse by key",
                given="image names that are times, two in one frame",
                outcome="refused with both names",
            ),
        ),
        (["t0.000.jpg", "t0.019.jpg", "t1.000.jpg"], "image 't0.019.jpg' lies between two frames"),
        pytest.param(
            ["a_9.jpg", "b_2.jpg"],
            "image 'a_9.jpg' comes before 'b_2.jpg' by name, but its frame number 9",
            marks=pytest.mark.tried(
                kind="collapse by key",
                given="images whose order by name is not that by number",
                outcome="refused with both names",
            ),
        ),
        pytest.param(
            [f"{10**30 + i}.jpg" for i in range(3)],
            r"image '10{30}\.jpg' has a number of 31 digits",
            marks=pytest.mark.tried(
                kind="importers that trust types", given="image numbers of 31 digits", outcome="refused with the image"
            ),
        ),
        pytest.param(
            [f"{'9' * 5000}.jpg"],
            "image '9{80}' has a number of 5000 digits",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="an image number of 5,000 digits",
                outcome="refused with the image, quoted in part",
            ),
        ),
    ],
)
def test_images_whose_order_is_ambiguous_are_named_with_row_and_file(
    tmp_path: Path, names: list[str], named: str
) -> None:
    with pytest.raises(DataSetError, match=rf"row 2, poses: .*0\.json: {named}"):
        read(source(tmp_path, [person(name, 1.0) for name in names]))


@pytest.mark.tried(
    kind="identity lost",
    given="two people with one tracker index, or without any",
    outcome="the dancer is followed by position",
)
@pytest.mark.parametrize("track", [{"idx": 0}, {"idx": [0.0]}, {}])
def test_the_dancer_is_followed_by_position_where_tracks_do_not_tell_people_apart(tmp_path: Path, track: Any) -> None:
    rows = [
        row | track
        for i in range(120)
        for row in (body(i, 300.0 + i), body(i, 900.0 - i, score=2.0 + (0.1 if i % 2 else -0.2)))
    ]
    _, features = read(source(tmp_path, rows))
    np.testing.assert_array_equal(xs(features), np.arange(312, 432))


@pytest.mark.tried(
    kind="identity lost", given="one tracker index as 0, 0.0 and [0.0] in turn", outcome="one track, nothing is lost"
)
def test_a_tracker_index_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    rows = [body(i, 300.0 + i, idx=(0, 0.0, [0.0])[i % 3]) for i in range(120)]
    _, features = read(source(tmp_path, rows))
    np.testing.assert_array_equal(xs(features), np.arange(312, 432))
    assert features.filled_joints == 0


@pytest.mark.tried(
    kind="identity lost", given="detections of another category than people", outcome="left out, however confident"
)
@pytest.mark.parametrize("category", [0, 2, 18])
def test_what_is_not_a_person_is_not_the_dancer(tmp_path: Path, category: int) -> None:
    rows = [row for i in range(100) for row in (body(i, 300.0 + i), body(i, 900.0, score=9.0, category_id=category))]
    np.testing.assert_array_equal(xs(read(source(tmp_path, rows))[1]), np.arange(312, 412))


def test_results_without_a_person_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="holds no person"):
        read(source(tmp_path, [body(i, 300.0, category_id=18) for i in range(100)]))


@pytest.mark.tried(kind="identity lost", given="two detections of one body", outcome="read as one")
def test_a_second_detection_of_the_same_body_does_not_matter(tmp_path: Path) -> None:
    rows = [row for i in range(100) for row in (body(i, 300.0 + i), body(i, 303.0 + i, score=1.0))]
    np.testing.assert_array_equal(xs(read(source(tmp_path, rows))[1]), np.arange(312, 412))


@pytest.mark.tried(kind="identity lost", given="two people who cross each other", outcome="refused with the image")
def test_two_bodies_that_cannot_be_distinguished_are_refused_by_image(tmp_path: Path) -> None:
    rows = [row for i in range(100) for row in (body(i, 300.0 + 8 * i), body(i, 1100.0 - 8 * i))]
    with pytest.raises(DataSetError, match=r"in image '(4[5-9]|5[0-5])\.jpg' another person is too close to tell"):
        read(source(tmp_path, rows))


@pytest.mark.tried(
    kind="identity lost", given="a tracker index that moves to another person", outcome="refused with both images"
)
def test_a_track_that_leaps_to_another_body_is_refused_by_image(tmp_path: Path) -> None:
    rows = [body(i, 300.0 if i < 60 else 900.0, idx=1) for i in range(120)]
    with pytest.raises(DataSetError, match=r"track '1' leaps by 600 pixels from image '59\.jpg' to '60\.jpg'"):
        read(source(tmp_path, rows))


@pytest.mark.tried(
    kind="identity lost",
    given="a person who takes the dancer's place in mid-clip",
    outcome="refused with both ranges of images",
)
@pytest.mark.parametrize("tracks", [(1, 2), (None, None)])
def test_a_body_that_replaces_the_dancer_is_not_left_out_silently(tmp_path: Path, tracks: Any) -> None:
    rows = [body(i, 300.0 if i < 60 else 900.0, idx=tracks[i >= 60]) for i in range(110)]
    with pytest.raises(DataSetError, match=r"in images '0\.jpg' to '59\.jpg', another one in images '60\.jpg' to '109"):
        read(source(tmp_path, rows))


@pytest.mark.tried(kind="identity lost", given="a crowd in which no person stays", outcome="refused")
def test_a_crowd_in_which_no_person_stays_is_refused(tmp_path: Path) -> None:
    rows = [body(i, 1000.0 * (i // 10 % 7)) for i in range(140)]
    with pytest.raises(DataSetError, match="no person can be followed through half of the 140 images"):
        read(source(tmp_path, rows))


@pytest.mark.tried(
    kind="identity lost", given="120 people in one image", outcome="refused with the image and the limit"
)
def test_many_people_in_one_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"image '0\.jpg' has 120 people, over the limit of 100"):
        read(source(tmp_path, [body("0.jpg", 100.0 * i) for i in range(120)]))


@pytest.mark.tried(
    kind="collapse by key",
    given="a clip id in two rows of clips.csv",
    outcome="refused with the row, beside the other findings",
)
def test_a_clip_id_that_comes_twice_is_named_beside_what_is_wrong_with_others(tmp_path: Path) -> None:
    source(tmp_path, [person(i) for i in range(100)], [])
    with (tmp_path / "clips.csv").open("a") as table:
        table.write("clip-0,ada,renegade,0.json\n")
    with pytest.raises(DataSetError) as caught:
        write_data_set(tmp_path / "data", read_clips(tmp_path, fps=25.0))
    assert [finding.row for finding in caught.value.findings] == [3, 4]

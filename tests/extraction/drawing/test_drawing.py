"""What is drawn lies where it belongs, and what is written can be read."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from extraction.drawing.charts import MARGIN, ROW_HEIGHT, Row, at_second, panel, with_cursor
from extraction.drawing.colours import ORANGE, PANEL, PURPLE, SERIES, SKY_BLUE, WHITE
from extraction.drawing.marks import draw_face, draw_outline, draw_skeleton, outline_of
from extraction.drawing.sheets import GAP, TILE_WIDTH, Captioned, contact_sheet, write_png
from extraction.drawing.sides import Side, side_of
from extraction.drawing.video_files import VideoWriter
from schemas.errors import ConfigurationError
from schemas.joints import MPII_16


def picture(width=320, height=240):
    return np.full((height, width, 3), 60, np.uint8)


def pose_on_a_grid():
    pose = np.ones((16, 3), np.float32)
    pose[:, 0], pose[:, 1] = 30 + 60 * (np.arange(16) % 4), 30 + 50 * (np.arange(16) // 4)
    return pose


def test_joints_are_drawn_where_they_are_in_the_colour_of_their_side():
    image, pose = picture(), pose_on_a_grid()
    draw_skeleton(image, pose)
    for name, (x, y, _) in zip(MPII_16.joints, pose.astype(int), strict=True):
        side = {"right": ORANGE, "left": SKY_BLUE}.get(name.split()[0], WHITE)
        assert tuple(image[y, x]) == side, name


def test_a_missing_joint_and_its_bones_are_left_out():
    image, pose = picture(), np.zeros((16, 3), np.float32)
    pose[[0, 2]] = [[50, 50, 1], [250, 200, 1]]  # an ankle and a hip; the knee between them is missing
    draw_skeleton(image, pose)
    assert tuple(image[50, 50]) == tuple(image[200, 250]) == ORANGE
    assert (image[100:150, 100:200] == 60).all()


def test_joints_far_outside_of_the_picture_are_no_error():
    image, pose = picture(), pose_on_a_grid()
    pose[:8, :2] = [[-1e9, 1e9]] * 8
    draw_skeleton(image, pose)


def test_an_outline_is_the_edge_of_the_mask():
    mask = np.zeros((240, 320), np.float32)
    mask[60:180, 100:220] = 0.9
    image = picture()
    draw_outline(image, outline_of(mask))
    drawn = (image != 60).any(axis=2)
    assert drawn[60, 100:220].all()
    assert drawn[60:180, 100].all()
    assert not drawn[64:176, 104:216].any()
    assert not drawn[:56].any()
    assert outline_of(np.zeros((10, 10), np.float32)) == []


def test_a_face_is_a_box():
    image = picture()
    draw_face(image, (40.2, 50.7, 90.1, 110.4))
    assert tuple(image[80, 40]) == tuple(image[51, 60]) == PURPLE
    assert tuple(image[80, 65]) == (60, 60, 60)


def test_a_sheet_has_the_pictures_row_by_row():
    pictures = [Captioned(np.full((180, 640, 3), 10 * k, np.uint8), f"{k}") for k in range(6)]
    sheet = contact_sheet(pictures, columns=4)
    assert sheet.shape == (2 * (90 + GAP) + GAP, 4 * (TILE_WIDTH + GAP) + GAP, 3)
    for k in range(6):
        y, x = GAP + (k // 4) * (90 + GAP) + 80, GAP + (k % 4) * (TILE_WIDTH + GAP) + 300
        assert (sheet[y, x] == 10 * k).all()
    assert tuple(sheet[-20, -20]) == PANEL


def test_bars_point_up_for_what_adds_and_down_for_what_takes_away():
    row = Row("x", np.array([1.0, 3.0]), np.array([2.0, -1.0]), "bars")
    image = panel([row], 400, 4.0)
    up, down = (image[:, at_second(second, 400, 4.0)] for second in (1.0, 3.0))
    orange, blue = (np.flatnonzero((each == colour).all(axis=1)) for each, colour in ((up, ORANGE), (down, SKY_BLUE)))
    middle = (ROW_HEIGHT + 18) // 2
    assert orange.max() < middle < blue.min()
    assert len(orange) == pytest.approx(2 * len(blue), abs=2)


def test_a_stack_shares_the_height_as_the_values_say():
    shares = np.array([[0.5, 0.3, 0.2]] * 3)
    image = panel([Row("x", np.array([0.0, 2.0, 4.0]), shares, "stack", ("a", "b", "c"))], 400, 4.0)
    column = image[20:, at_second(2.0, 400, 4.0)]
    heights = [(column == SERIES[k]).all(axis=1).sum() for k in range(3)]
    np.testing.assert_allclose(np.array(heights) / sum(heights), shares[0], atol=0.06)


def test_a_line_rises_where_the_values_do():
    image = panel([Row("x", np.array([0.0, 4.0]), np.array([0.2, 0.9]), "line")], 400, 4.0)
    rows = [np.flatnonzero((image[:, MARGIN + x] == WHITE).all(axis=1)).mean() for x in (5, 370)]
    assert rows[0] > rows[1] + 20


def test_the_cursor_is_at_its_moment_and_the_panel_stays():
    image = panel([Row("x", np.array([0.0, 4.0]), np.zeros(2), "bars")], 400, 4.0)
    before = image.copy()
    shown = with_cursor(image, 3.0, 4.0)
    assert (shown[:, at_second(3.0, 400, 4.0)] == WHITE).all()
    assert (image == before).all()


@pytest.mark.parametrize(("kind", "frames", "size"), [("mp4", 10, (240, 320)), ("webp", 5, (240, 320))])
def test_a_video_is_read_back(tmp_path: Path, kind, frames, size):
    path = tmp_path / f"a.{kind}"
    with VideoWriter(path, kind) as made:
        for number in range(10):
            made.write(np.full((241, 321, 3), 20 * number, np.uint8))
    if kind == "mp4":
        with av.open(str(path)) as read:
            found = [frame.to_ndarray(format="rgb24") for frame in read.decode(video=0)]
            assert float(read.streams.video[0].average_rate) == 25
    else:
        _, animation = cv2.imdecodeanimation(np.frombuffer(path.read_bytes(), np.uint8))
        found = list(animation.frames)
    assert len(found) == frames
    assert found[0].shape[:2] == size
    assert found[-1][..., :3].mean() == pytest.approx(180 if kind == "mp4" else 160, abs=4)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path):
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, "mp4") as made:
            for number in range(5):
                made.write(np.full((64, 64, 3), 20 * number, np.uint8))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"absent/a\.mp4: cannot be written"):
        VideoWriter(tmp_path / "absent" / "a.mp4", "mp4")
    with pytest.raises(ConfigurationError, match=r"absent/a\.png: cannot be written"):
        write_png(tmp_path / "absent" / "a.png", picture())


def test_a_bone_between_both_sides_is_in_the_middle() -> None:
    bones = ("right hip", "right knee"), ("pelvis", "left hip"), ("right hip", "left hip"), ("pelvis", "thorax")
    assert [side_of(*bone) for bone in bones] == [Side.RIGHT, Side.LEFT, Side.MIDDLE, Side.MIDDLE]

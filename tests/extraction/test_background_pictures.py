from typing import get_args

import numpy as np
import pytest

from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.pictures import Backgrounds, forbidden_by, open_backgrounds
from extraction.frames import Frame, VideoProperties
from extraction.streams import Person

SIDE = 64
METHODS = get_args(BackgroundMethod)


def scene(seed=0):
    """(64, 64, 3): a smooth pattern."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    return (127 + 60 * np.sin(4 * x[..., None] + phases) + 60 * np.cos(5 * y[..., None] + phases)).astype(np.uint8)


def dance(count, place, backdrop=None, seed=0):
    """Frames with noise in which a red dancer, 12 × 30 pixels, stands at column ``place(i)``, and who is seen there."""
    rng = np.random.default_rng(seed)
    backdrop = scene() if backdrop is None else backdrop
    frames, people = [], []
    for i in range(count):
        image = (backdrop + rng.normal(0, 2, backdrop.shape)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((SIDE, SIDE), np.float32)
        if (left := place(i)) is not None:
            image[20:50, left : left + 12] = (250, 10, 10)
            mask[20:50, left : left + 12] = 0.9
        frames.append(Frame(i, i / 25, image))
        people.append(Person(np.zeros((33, 4), np.float32), mask, (0, 0, 1, 1)) if left is not None else None)
    return frames, people


def pictures(frames, people, method="vibe", *, batch=16, seed=5):
    backgrounds = Backgrounds(method, seed)
    made = []
    for at in range(0, len(frames), batch):
        made += backgrounds.add(frames[at : at + batch], people[at : at + batch])
    return made + backgrounds.finish()


def visibly_different(image, other):
    return np.abs(image.astype(int) - other).max(axis=-1) > 30


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 1), (8, 2), (25, 4), (26, 5), (300, 48)])
def test_there_are_four_pictures_in_a_second(method, count, expected):
    made = pictures(*dance(count, lambda _: None), method)
    assert [picture.time_s for picture in made] == [k / 4 for k in range(expected)]


@pytest.mark.parametrize("method", METHODS)
def test_a_dancer_who_moves_is_gone_from_every_picture(method):
    made = pictures(*dance(130, lambda i: 5 + i // 3), method)
    for picture in made:
        assert not visibly_different(picture.image, scene()).any()
    assert not made[-1].unseen.any() or method == "median"


@pytest.mark.parametrize("method", METHODS)
def test_a_dancer_on_the_spot_does_not_melt_into_the_background(method):
    made = pictures(*dance(200, lambda _: 25), method)
    for picture in made:
        assert picture.unseen[20:50, 25:37].all()
        assert visibly_different(picture.image, scene()).mean() < 0.01
        assert not visibly_different(picture.image, scene())[~picture.unseen].any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("late", [5, 40])
def test_a_dancer_whom_the_tracker_finds_late_is_in_no_picture(method, late):
    frames, people = dance(200, lambda _: 25)
    made = pictures(frames, [None] * late + people[late:], method)
    for picture in made:
        assert picture.unseen[20:50, 25:37].all()
        assert visibly_different(picture.image, scene()).mean() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_dancer_whom_the_tracker_loses_for_a_moment_is_in_no_picture(method):
    frames, people = dance(200, lambda _: 25)
    made = pictures(frames, [*people[:100], *[None] * 9, *people[109:]], method)
    for picture in made:
        assert visibly_different(picture.image, scene()).mean() < 0.01


def test_what_an_empty_scene_showed_stays_known_when_a_dancer_enters():
    made = pictures(*dance(200, lambda i: 25 if i >= 75 else None))
    for picture in made:
        assert not picture.unseen.any()
        assert not visibly_different(picture.image, scene()).any()


def test_without_a_mask_the_dancer_on_the_spot_is_background():
    frames, people = dance(200, lambda _: 25)
    made = pictures(frames, [None] * len(people))
    assert visibly_different(made[-1].image, scene())[20:50, 25:37].all()


@pytest.mark.parametrize("method", METHODS)
def test_after_a_cut_the_pictures_show_the_new_scene(method):
    before, people = dance(200, lambda i: 5 + i // 5)
    after, others = dance(200, lambda i: 5 + i // 5, scene(8), seed=1)
    frames = before + [Frame(200 + frame.index, 8 + frame.time_s, frame.image) for frame in after]
    made = pictures(frames, people + others, method)
    settled = 10.5 if method == "median" else 8.0
    for picture in made:
        if picture.time_s >= settled:
            assert visibly_different(picture.image, scene(8)).mean() < 0.02, picture.time_s
        elif picture.time_s < 5.5:
            assert visibly_different(picture.image, scene()).mean() < 0.02, picture.time_s


def test_a_thing_that_is_moved_is_learned_within_two_windows():
    frames, people = dance(60, lambda _: None)
    moved = scene()
    moved[40:60, 40:60] = 255
    later, others = dance(240, lambda _: None, moved)
    frames += [Frame(60 + frame.index, 2.4 + frame.time_s, frame.image) for frame in later]
    assert not visibly_different(pictures(frames, people + others)[-1].image, moved).any()


@pytest.mark.parametrize("method", METHODS)
def test_pictures_do_not_depend_on_how_frames_are_batched(method):
    frames, people = dance(150, lambda i: 10 + i // 6)
    for one, other in zip(
        pictures(frames, people, method, batch=16), pictures(frames, people, method, batch=7), strict=True
    ):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.unseen, other.unseen)


def test_pictures_follow_from_the_content_of_the_video():
    frames, people = dance(40, lambda i: 10 + i)
    properties = VideoProperties(SIDE, SIDE, 1.6, 25.0, 0, 1.0, "0123456789abcdef" * 4)
    made = [open_backgrounds("vibe")(properties) for _ in range(2)]
    first, second = [each.add(frames, people) + each.finish() for each in made]
    assert all((one.image == other.image).all() for one, other in zip(first, second, strict=True))


def test_memory_does_not_grow_with_the_length():
    backgrounds = Backgrounds("vibe", 1)
    frames, people = dance(16, lambda _: 25)
    delivered = 0
    for batch in range(40):
        renumbered = [Frame(16 * batch + frame.index, 0, frame.image) for frame in frames]
        delivered += len(backgrounds.add(renumbered, people))
    assert delivered >= 40 * 16 * 4 // 25 - 20, "pictures wait for more than a window"


def test_large_frames_make_small_pictures_of_the_same_shape():
    frames = [Frame(0, 0.0, np.zeros((960, 540, 3), np.uint8))]
    (picture,) = pictures(frames, [None])
    assert picture.image.shape == (256, 144, 3)


def test_the_mask_is_dilated_and_holds_from_a_fifth():
    mask = np.zeros((512, 512), np.float32)
    mask[200:300, 200:300] = 0.21
    mask[400:410, 10:20] = 0.19
    forbidden = forbidden_by(Person(np.zeros((33, 4), np.float32), mask, (0, 0, 1, 1)), 256, 256)
    assert forbidden[100:150, 100:150].all()
    assert forbidden[125, 95]
    assert not forbidden[125, 90]
    assert not forbidden[190:220, :30].any()
    assert not forbidden_by(None, 256, 256).any()

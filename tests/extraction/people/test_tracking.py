"""One dancer is chosen and followed: on scenes of made-up people, whose detections and landmarks are known."""

import numpy as np
import pytest

from extraction.frames import Frame
from extraction.people.choosing import prominence
from extraction.people.detection import Detection
from extraction.people.landmarks import Body
from extraction.people.region import Region
from extraction.people.tracking import DancerTracker

WIDTH, HEIGHT = 320, 240


class Scene:
    """Networks that know who is where: ``people`` takes a frame's index and gives name → region. A region shows whoever
    is nearest to its middle, within half of its side.
    """

    def __init__(self, people, unseen=lambda index: False):
        self.people, self.unseen = people, unseen
        self.searches = []
        self.located = 0

    def detect(self, images):
        found = []
        for image in images:
            index = int(image[0, 0].astype(int) @ [1, 256, 0])
            found.append([Detection(region, 0.9) for region in self.people(index).values() if not self.unseen(index)])
        return found

    def search(self, image):
        self.searches.append(int(image[0, 0].astype(int) @ [1, 256, 0]))
        return self.detect([image])[0]

    def locate(self, images, regions):
        self.located += len(images)
        bodies = []
        for image, region in zip(images, regions, strict=True):
            people = self.people(int(image[0, 0].astype(int) @ [1, 256, 0]))
            nearest = min(people.items(), key=lambda item: item[1].distance(region), default=None)
            seen = nearest is not None and nearest[1].distance(region) < 0.5
            landmarks = np.ones((33, 4), np.float32)
            if seen:
                landmarks[:, 0] = sorted(people).index(nearest[0])
            mask = np.zeros((256, 256), np.float32)
            mask[64:192, 96:160] = seen
            bodies.append(Body(landmarks, float(seen), region, nearest[1] if seen else region, mask))
        return bodies


def frame(index, brightness=90):
    image = np.full((HEIGHT, WIDTH, 3), brightness, np.uint8)
    image[0, 0] = index % 256, index // 256, 0
    return Frame(index, index / 25, image)


def followed(scene, count, batch=16, brightness=lambda index: 90):
    """Who was followed in each frame, as the position of the name among the names in the frame, and the tracker."""
    tracker = DancerTracker(scene, scene)
    people = []
    for at in range(0, count, batch):
        people += tracker.follow([frame(index, brightness(index)) for index in range(at, min(at + batch, count))])
    names = [None if p is None else sorted(scene.people(i))[int(p.landmarks[0, 0])] for i, p in enumerate(people)]
    return names, tracker.seen, people


def at(x, y=120, side=150, angle=0.0):
    return Region(x, y, side, angle)


def test_the_largest_and_most_central_person_is_the_dancer():
    assert prominence(at(160), WIDTH, HEIGHT) > prominence(at(20), WIDTH, HEIGHT)
    assert prominence(at(60, side=200), WIDTH, HEIGHT) > prominence(at(160, side=90), WIDTH, HEIGHT)
    names, seen, _ = followed(Scene(lambda i: {"edge": at(30), "dancer": at(160), "child": at(200, 200, 50)}), 20)
    assert names == ["dancer"] * 20
    assert (seen.most_people, seen.crowded, seen.looks, seen.switches) == (3, 2, 2, 0)


def test_people_whom_only_the_squares_of_a_picture_show_are_counted_every_96_frames():
    class Oblong(Scene):
        def detect(self, images):
            return [[each for each in people if each.region.side > 100] for people in super().detect(images)]

        def search(self, image):
            return super().detect([image])[0]

    scene = Oblong(lambda i: {"dancer": at(160)} | ({"child": at(40, 200, 50)} if i >= 20 else {}))
    assert followed(scene, 96)[1].most_people == 1
    names, seen, _ = followed(scene, 97)
    assert (names, seen.most_people) == (["dancer"] * 97, 2)
    crowd = Oblong(lambda _: {"dancer": at(160), "child": at(40, 200, 50)})
    assert followed(crowd, 2)[1].most_people == 2, "the first frame is searched"


def test_who_crosses_in_front_for_a_moment_does_not_become_the_dancer():
    def people(index):
        return {"dancer": at(130 + index % 5, side=110), "passer-by": at(-100 + 7 * index, 200, 170)}

    names, seen, _ = followed(Scene(people), 60)
    assert names == ["dancer"] * 60
    assert seen.switches == 0


def test_who_is_clearly_more_prominent_for_two_seconds_becomes_the_dancer_once():
    def people(index):
        return {"first": at(40, side=80)} | ({"dancer": at(200, side=200)} if index >= 30 else {})

    names, seen, _ = followed(Scene(people), 120)
    changed = names.index("dancer")
    assert 66 <= changed <= 90
    assert names == ["first"] * changed + ["dancer"] * (120 - changed)
    assert seen.switches == 1


def test_two_people_of_about_the_same_prominence_do_not_take_turns():
    def people(index):
        swing = 30 * np.sin(index / 9)
        return {"a": at(90 + swing, side=120 + swing / 2), "b": at(230 + swing, side=120 - swing / 2)}

    names, seen, _ = followed(Scene(people), 150)
    assert len(set(names)) == 1
    assert seen.switches == 0


def test_a_dancer_who_is_lost_for_a_moment_is_found_again_and_not_exchanged():
    def people(index):
        here = {"other": at(280, side=140)}
        return here if 30 <= index < 38 else here | {"dancer": at(120, side=150)}

    names, seen, _ = followed(Scene(people), 60)
    assert names == ["dancer"] * 30 + [None] * 8 + ["dancer"] * 22
    assert seen.switches == 0


def test_a_dancer_who_leaves_and_comes_back_elsewhere_is_followed_again():
    def people(index):
        return {} if 25 <= index < 100 else {"dancer": at(100 if index < 60 else 240)}

    scene = Scene(people)
    names, seen, _ = followed(scene, 140)
    assert names[:25] == ["dancer"] * 25
    assert names[25:100] == [None] * 75
    assert names[106:] == ["dancer"] * 34
    assert seen.followed == sum(name is not None for name in names)
    assert sum(25 <= each < 100 for each in scene.searches) < 30, "an empty picture is not searched in every frame"


def test_nobody_is_followed_where_nobody_is():
    scene = Scene(lambda index: {})
    names, seen, _ = followed(scene, 50)
    assert names == [None] * 50
    assert (seen.frames, seen.followed, seen.most_people) == (50, 0, 0)
    assert scene.located == 0


def test_after_a_cut_the_dancer_is_chosen_again():
    def people(index):
        return {"dancer": at(100)} if index < 30 else {"aside": at(100, side=90), "next": at(200, side=160)}

    names, seen, _ = followed(Scene(people), 60, brightness=lambda index: 30 if index < 30 else 180)
    assert names == ["dancer"] * 30 + ["next"] * 30
    assert (seen.cuts, seen.switches) == (1, 0)


def test_a_dancer_whom_the_detector_does_not_see_is_followed_by_the_landmarks():
    scene = Scene(lambda index: {"dancer": at(160 + index)}, unseen=lambda index: index > 0)
    names, _, _ = followed(scene, 60)
    assert names == ["dancer"] * 60
    assert scene.searches == [0]


def test_batches_do_not_change_who_is_followed():
    def people(index):
        return {} if index % 50 > 40 else {"dancer": at(100 + index), "other": at(250 - index, side=100)}

    results = [followed(Scene(people), 90, batch)[0] for batch in (1, 7, 16)]
    assert results[0] == results[1] == results[2]


def test_box_and_mask_lie_in_the_picture():
    _, _, (person,) = followed(Scene(lambda index: {"dancer": at(160, 120, 200)}), 1)
    assert person.mask.shape == (HEIGHT, WIDTH)
    assert person.box == pytest.approx((135, 70, 185, 170), abs=1.5)

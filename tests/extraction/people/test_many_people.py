"""On real dancers: five side by side, a cut to somebody elsewhere, one who is turned away from the camera."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from extraction.decoding.cutting import cut
from extraction.frames import Frame, Image, VideoProperties
from extraction.people import open_people, open_skeletal
from extraction.people.skeleton import mpii_pose
from extraction.people.tracking import DancerTracker
from extraction.resizing import resized
from extraction.streams import ExtractedStream, Person
from tests.extraction.decoded import decode
from tests.videos import decoded, fetched_video

FRAMES = 26
WIDTH, HEIGHT = 180, 496
"""Of the part of the picture with the dancer, who stands in its middle."""
SMALL = 0.7


@pytest.fixture(scope="module")
def dancer() -> Sequence[Image]:
    """A dancer who stands in the middle of her picture, in pictures of ``WIDTH`` × ``HEIGHT``."""
    _, frames = decoded(fetched_video("dancer"), FRAMES)
    middle = frames[0].image.shape[1] // 2
    return [frame.image[:HEIGHT, middle - WIDTH // 2 : middle + WIDTH // 2] for frame in frames]


@pytest.fixture
def tracker(model) -> DancerTracker:
    return open_people(model("pose-detector"), model("pose-landmarks-lite"))(_properties(5 * WIDTH, HEIGHT))


def _properties(width: int, height: int) -> VideoProperties:
    return VideoProperties(width, height, 0.0, 25.0, 0, 1.0, "0" * 64)


def followed(tracker: DancerTracker, images: Sequence[Image]) -> list[Person | None]:
    frames = [Frame(index, index / 25, image) for index, image in enumerate(images)]
    return [person for at in range(0, len(frames), 13) for person in tracker.follow(frames[at : at + 13])]


def placed(images: Sequence[Image], sizes: Sequence[float], index: int) -> Image:
    """Dancers beside each other, each at another time of the dance and of another size, on the ground."""
    row = np.empty((HEIGHT, len(sizes) * WIDTH, 3), np.uint8)
    for number, size in enumerate(sizes):
        image = images[(index + 3 * number) % len(images)]
        area = row[:, number * WIDTH : (number + 1) * WIDTH]
        area[:] = image[:1]
        if size:
            small = resized(image, round(HEIGHT * size), round(WIDTH * size))
            left = (WIDTH - small.shape[1]) // 2
            area[HEIGHT - small.shape[0] :, left : left + small.shape[1]] = small
    return row


def column_of(person: Person | None) -> int:
    """Whose column the hips of the dancer are in."""
    assert person is not None
    return int(person.landmarks[23:25, 0].mean() // WIDTH)


@pytest.mark.tried(
    kind="identity lost",
    given="a video of five real dancers side by side",
    outcome="the largest and most central is followed, the number of people is reported",
)
@pytest.mark.parametrize("largest", [2, 1])
def test_of_five_dancers_the_largest_and_most_central_is_followed(dancer, tracker, largest: int) -> None:
    sizes = [SMALL] * 5
    sizes[largest] = 1.0
    people = followed(tracker, [placed(dancer, sizes, index) for index in range(FRAMES // 2)])
    assert [column_of(person) for person in people] == [largest] * len(people)
    assert (tracker.seen.most_people, tracker.seen.switches) == (5, 0)


@pytest.mark.tried(
    kind="videos",
    given="a cut in the middle, to a dancer at another place",
    outcome="a skeleton in every frame; no switch is reported, and no frame mixes the two",
)
def test_after_a_cut_the_dancer_of_the_new_scene_is_followed_at_once(dancer, tracker) -> None:
    half = FRAMES // 2
    images = [placed(dancer, [1.0, 0, 0], index) for index in range(half)]
    images += [placed([image[..., ::-1] for image in dancer], [0, 0, 1.0], index) for index in range(half)]
    people = followed(tracker, images)
    assert [column_of(person) for person in people] == [0] * half + [2] * half
    assert (tracker.seen.cuts, tracker.seen.switches) == (1, 0)
    stream = open_skeletal("network")(_properties(3 * WIDTH, HEIGHT))
    stream.add([Frame(index, index / 25, image) for index, image in enumerate(images)], people)
    found = stream.finish()
    assert isinstance(found, ExtractedStream)
    columns = found.frames[:, :, 0] // WIDTH
    assert (columns[:half] == 0).all()
    assert (columns[half:] == 2).all()


@pytest.mark.tried(
    kind="videos",
    given="a dancer who is turned away from the camera from the first frame",
    outcome="followed in every frame, left and right the dancer's own",
)
def test_a_dancer_who_is_turned_away_is_followed_with_her_own_left_and_right(model, tmp_path: Path) -> None:
    path = tmp_path / "turned.mkv"
    cut(fetched_video("dancer"), path, start_s=50.3, length_s=0.6)
    frames = decode(path)[1]
    tracker = open_people(model("pose-detector"), model("pose-landmarks-lite"))(_properties(518, 496))
    people = tracker.follow(frames)
    for frame, person in zip(frames, people, strict=True):
        assert person is not None
        dark = frame.image[..., 2] < 60  # she wears black before a blue screen
        assert dark[person.mask > 0.5].mean() > 0.85
    first = mpii_pose(people[0].landmarks)
    right, left = first[10, 0], first[15, 0]
    assert right < left - 30, "her right hand, with a white glove, is on the left of the picture"

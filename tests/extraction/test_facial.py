import numpy as np
import pytest

from extraction.faces.alignment import ENLARGED, aligned
from extraction.faces.choosing import Heads, Sought, face_of, upper_body
from extraction.faces.detection import Face, FaceDetector, whole
from extraction.faces.facial import FACES_AT_ONCE, is_due, open_facial
from extraction.frames import Frame, VideoProperties
from extraction.people.tracking import WAITED_FRAMES
from extraction.streams import ExtractedStream, NotExtracted, Person
from tests.extraction.made_faces import draw_face, red_squares
from tests.extraction.made_networks import MadeNetwork, mean_colours

PROPERTIES = VideoProperties(640, 480, 4.0, 25.0, 0, 1.0, "a1" * 32)


def stands(x, y, scale=1.0):
    """A person whose head is at x, y, with a torso of 100 pixels times ``scale``."""
    landmarks = np.zeros((33, 4), np.float32)
    landmarks[:11, :2] = (x, y)
    landmarks[[11, 12], :2] = (x + 30 * scale, y + 40 * scale), (x - 30 * scale, y + 40 * scale)
    landmarks[[23, 24], :2] = (x + 20 * scale, y + 140 * scale), (x - 20 * scale, y + 140 * scale)
    landmarks[:, 2:] = 1
    return Person(landmarks, np.zeros((1, 1), np.float32), (x - 50, y - 30, x + 50, y + 300))


def picture(*faces, height=480, width=640):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side in faces:
        draw_face(image, x, y, side)
    return image


def sought(person):
    return Sought(picture(), person, None if person is None else upper_body(person))


def extracted(images, people, *, batch=16, detector=None, features=None):
    extractor = open_facial(detector or red_squares(), features or mean_colours())(PROPERTIES)
    for at in range(0, len(images), batch):
        frames = [Frame(at + i, (at + i) / 25, image) for i, image in enumerate(images[at : at + batch])]
        extractor.add(frames, people[at : at + batch])
    return extractor.finish()


def test_a_face_is_looked_for_three_times_in_a_second():
    due = [index for index in range(1500) if is_due(index)]
    assert due == [-(-25 * k // 3) for k in range(180)]


@pytest.mark.parametrize(("count", "steps"), [(1, 1), (9, 1), (10, 2), (75, 9), (100, 12)])
def test_each_third_of_a_second_with_a_face_is_a_step(count, steps):
    found = extracted([picture((300, 100, 60))] * count, [stands(300, 100)] * count)
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (steps, 12)
    assert found.extractor == "colours/1 sha256:0123456789ab"


def test_a_video_without_a_face_has_no_stream_and_says_how_often_it_was_looked_for():
    assert extracted([picture()] * 50, [stands(300, 100)] * 50) == NotExtracted(
        "the dancer's face was found in 0 of 6 pictures"
    )
    assert extracted([], []) == NotExtracted("no frame was decoded")


def test_steps_without_a_face_are_left_out_as_the_paper_does():
    images = [picture((300, 100, 60)) if i < 50 else picture() for i in range(100)]
    found = extracted(images, [stands(300, 100)] * 100)
    assert isinstance(found, ExtractedStream)
    assert len(found.frames) == 6


def test_a_face_in_less_than_a_tenth_of_the_pictures_is_no_stream():
    images = [picture((300, 100, 60)) if i < 8 else picture() for i in range(100)]
    assert extracted(images, [stands(300, 100)] * 100) == NotExtracted(
        "the dancer's face was found in 1 of 12 pictures"
    )


def test_of_several_faces_the_dancers_counts():
    image = picture((100, 100, 80), (330, 150, 50), (560, 100, 90))
    faces = FaceDetector(red_squares()).detect([(image, whole(image))])[0]
    assert len(faces) == 3
    found = face_of(sought(stands(330, 150)), faces)
    assert found is not None
    assert abs(found.middle[0] - 330) < 5
    assert face_of(sought(stands(230, 400)), faces) is None, "another person's face is not the dancer's"


def test_without_a_person_the_largest_face_counts():
    image = picture((100, 100, 80), (560, 100, 120))
    found = face_of(sought(None), FaceDetector(red_squares()).detect([(image, whole(image))])[0])
    assert found is not None
    assert abs(found.middle[0] - 560) < 5
    stream = extracted([image] * 25, [None] * 25)
    assert isinstance(stream, ExtractedStream)
    assert len(stream.frames) == 3


def test_no_strangers_face_counts_while_the_dancer_is_lost():
    """The dancer's face is seen for a second; then the dancer is lost, and a larger face is in the picture."""
    dancer, stranger = picture((150, 120, 60)), picture((500, 120, 120))
    seen, lost = [stands(150, 120)] * 25, [None] * WAITED_FRAMES
    alone = extracted([dancer] * 25, seen)
    beside = extracted([dancer] * 25 + [stranger] * WAITED_FRAMES, seen + lost)
    assert np.array_equal(beside.frames, alone.frames)
    later = extracted([dancer] * 25 + [stranger] * 50, seen + [None] * 50)
    due = [index for index in range(25 + WAITED_FRAMES, 75) if is_due(index)]
    assert len(later.frames) == len(alone.frames) + len(due), "after half a second somebody else may be the dancer"


def test_a_dancers_own_face_counts_while_the_dancer_is_lost():
    image = picture((150, 120, 60), (500, 120, 120))
    stream = extracted([image] * 30, [stands(150, 120)] * 25 + [None] * 5)
    assert len(stream.frames) == sum(map(is_due, range(30)))
    assert np.array_equal(stream.frames[-1], stream.frames[0])


def test_where_the_dancer_was_is_known_for_half_a_second():
    heads = Heads()
    frames = [Frame(index, index / 25, picture()) for index in range(20)]
    known = [each.head for each in heads.sought(frames, [None, stands(100, 100), *[None] * 18])]
    assert known == [None, *[upper_body(stands(100, 100))] * (1 + WAITED_FRAMES), *[None] * (18 - WAITED_FRAMES)]


def test_a_small_face_is_found_around_the_head():
    image = picture((700, 120, 26), height=900, width=900)
    assert isinstance(extracted([image] * 10, [stands(700, 120)] * 10), ExtractedStream)
    assert isinstance(extracted([image] * 10, [None] * 10), NotExtracted)


def test_the_search_around_the_head_follows_the_size_of_the_person():
    near, far = upper_body(stands(300, 100)), upper_body(stands(300, 100, 0.5))
    assert near.side == pytest.approx(2 * far.side)
    assert near.x + near.side / 2 == pytest.approx(300)
    assert near.y + near.side / 2 == pytest.approx(100)


@pytest.mark.parametrize("turned", [-1.0, -0.3, 0.0, 0.5, 2.0])
def test_the_eyes_of_an_aligned_face_are_level(turned):
    image = picture(height=400, width=400)
    draw_face(image, 200, 200, 100, turned)
    box = (150.0, 150.0, 250.0, 250.0)
    eyes = [(-25 * np.cos(turned) + 15 * np.sin(turned), -25 * np.sin(turned) - 15 * np.cos(turned))]
    eyes.append((25 * np.cos(turned) + 15 * np.sin(turned), 25 * np.sin(turned) - 15 * np.cos(turned)))
    points = np.array([(200 + x, 200 + y) for x, y in eyes] + [(200, 200)] * 4, np.float32)
    upright = aligned(image, Face(box, points, 1.0), 140, 140).astype(int)
    found = []
    for channel in (1, 2):
        y, x = np.nonzero((upright[..., channel] > 150) & (upright[..., 0] < 60))
        found.append((x.mean() + 0.5, y.mean() + 0.5))
    assert ENLARGED == 1.4
    np.testing.assert_allclose(found, [(70 - 25, 70 - 15), (70 + 25, 70 - 15)], atol=0.7)


def test_a_face_at_the_border_repeats_it_and_eyes_in_one_place_turn_nothing():
    image = np.full((60, 60, 3), 120, np.uint8)
    face = Face((-20.0, -20.0, 20.0, 20.0), np.zeros((6, 2), np.float32), 1.0)
    assert (aligned(image, face, 32, 32) == 120).all()
    assert (aligned(image, face._replace(box=(5.0, 5.0, 5.0, 5.0)), 32, 32) == 120).all()


def test_the_stream_does_not_depend_on_how_frames_are_batched():
    images = [picture((200 + 2 * i, 100, 60)) for i in range(100)]
    people = [stands(200 + 2 * i, 100) for i in range(100)]
    one, other = extracted(images, people, batch=16), extracted(images, people, batch=5)
    assert isinstance(one, ExtractedStream)
    assert isinstance(other, ExtractedStream)
    assert one.frames.tobytes() == other.frames.tobytes()


def test_faces_are_embedded_in_batches_and_not_kept():
    features = mean_colours()
    found = extracted([picture((300, 100, 60))] * 200, [stands(300, 100)] * 200, features=features)
    assert isinstance(found, ExtractedStream)
    assert features.batches == [FACES_AT_ONCE] * 3


def test_a_network_that_gives_no_features_is_refused():
    with pytest.raises(ValueError, match="red-squares gives no features of a picture"):
        open_facial(red_squares(), red_squares())
    assert isinstance(red_squares(), MadeNetwork)

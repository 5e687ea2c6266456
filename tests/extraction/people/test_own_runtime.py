"""On a real dancer: joints, mask and stream, against the same networks in their own runtime and plain loops."""

import numpy as np
import pytest

from extraction.people import open_people, open_skeletal
from extraction.people.skeleton import mpii_pose
from tests.extraction.people import own_runtime, reference
from tests.videos import decoded, fetched_video

FRAMES = 15


@pytest.fixture(scope="module")
def followed(model):
    network = model("pose-landmarks-full")
    properties, frames = decoded(fetched_video("dancer"), FRAMES)
    tracker = open_people(model("pose-detector"), network)(properties)
    people = [person for at in range(0, FRAMES, 8) for person in tracker.follow(frames[at : at + 8])]
    stream = open_skeletal(network.manifest.title)(properties)
    stream.add(frames, people)
    return frames, people, stream.finish()


def test_joints_of_every_frame_are_those_of_the_networks_own_runtime_in_the_same_region(followed):
    frames, people, _ = followed
    locate = own_runtime.locate_with("pose-landmarks-full")
    for frame, person in zip(frames, people, strict=True):
        ((landmarks, side),) = reference.follow(own_runtime.detect, locate, [frame.image], person.region)
        errors = np.linalg.norm(mpii_pose(person.landmarks)[:, :2] - reference.pose(landmarks), axis=1) * 256 / side
        assert errors.max() <= 0.05
        assert np.abs(person.landmarks[:, 2:] - landmarks[:, 2:]).max() < 0.01


def test_joints_that_are_followed_are_within_two_pixels_of_256_of_those_of_plain_loops(followed):
    """Each region follows from the joints before."""
    frames, people, _ = followed
    locate = own_runtime.locate_with("pose-landmarks-full")
    expected = list(reference.follow(own_runtime.detect, locate, [frame.image for frame in frames]))
    assert len(expected) == len(people) == FRAMES
    for person, (landmarks, side) in zip(people, expected, strict=True):
        errors = np.linalg.norm(mpii_pose(person.landmarks)[:, :2] - reference.pose(landmarks), axis=1) * 256 / side
        assert errors.max() <= 2
        assert np.abs(person.landmarks[:, 2:] - landmarks[:, 2:]).max() < 0.1


def test_every_joint_lies_on_the_dancer_and_the_mask_is_theirs(followed):
    frames, people, _ = followed
    for frame, person in zip(frames, people, strict=True):
        x0, y0, x1, y1 = person.box
        joints = mpii_pose(person.landmarks)
        assert ((joints[:, :2] >= [x0 - 10, y0 - 10]) & (joints[:, :2] <= [x1 + 10, y1 + 10])).all()
        # The dancer wears black before a blue screen.
        dark = frame.image[..., 2] < 60
        body = person.mask > 0.5
        assert dark[body].mean() > 0.85


def test_the_stream_holds_every_frame(followed):
    stream = followed[2]
    assert stream.frames.shape == (FRAMES, 16, 3)
    assert (stream.frames[..., 2] > 0).all()
    assert stream.extractor.startswith("pose-landmarks-full/")

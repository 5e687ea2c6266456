"""BlazePose's points as MPII joints: order, estimates, missing joints, and when there is no stream."""

import numpy as np
import pytest

from extraction.frames import Frame, VideoProperties
from extraction.people.skeleton import SkeletalExtractor, mpii_pose
from extraction.streams import ExtractedStream, NotExtracted, Person
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.joints import MPII_16
from schemas.modalities import Modality

BLAZEPOSE = {
    **{"nose": 0, "left ear": 7, "right ear": 8, "left shoulder": 11, "right shoulder": 12, "left elbow": 13},
    **{"right elbow": 14, "left wrist": 15, "right wrist": 16, "left hip": 23, "right hip": 24, "left knee": 25},
    **{"right knee": 26, "left ankle": 27, "right ankle": 28},
}


def landmarks_of(step=0):
    """A person who faces the camera: their right side is at the left of the picture."""
    points = np.ones((33, 4), np.float32)
    places = {
        **{"nose": (100, 44), "left ear": (108, 40), "right ear": (92, 40), "left shoulder": (120, 70)},
        **{"right shoulder": (80, 70), "left elbow": (130, 100), "right elbow": (70, 100), "left wrist": (135, 130)},
        **{"right wrist": (65, 130 - step), "left hip": (112, 140), "right hip": (88, 140), "left knee": (113, 190)},
        **{"right knee": (87, 190), "left ankle": (114, 240), "right ankle": (86, 240)},
    }
    for name, (x, y) in places.items():
        points[BLAZEPOSE[name], :2] = x + step % 7, y
    return points


def stream_of(all_landmarks, scale=1.0):
    video = VideoProperties(400, 300, 0.0, 25.0, 0, scale, "0" * 64)
    extractor = SkeletalExtractor(video, "pose/1 sha256:0")
    image = np.zeros((300, 400, 3), np.uint8)
    for at in range(0, len(all_landmarks), 16):
        batch = all_landmarks[at : at + 16]
        people = [
            None if each is None else Person(each, np.zeros((300, 400), np.float32), (0, 0, 1, 1)) for each in batch
        ]
        extractor.add([Frame(at + k, (at + k) / 25, image) for k in range(len(batch))], people)
    return extractor.finish()


@pytest.mark.parametrize("name", [name for name in MPII_16.joints if name in BLAZEPOSE])
def test_a_joint_is_blazeposes_point_of_the_same_name(name):
    landmarks = landmarks_of()
    landmarks[BLAZEPOSE[name], 2] = 0.25
    assert mpii_pose(landmarks)[MPII_16.joints.index(name)] == pytest.approx([*landmarks[BLAZEPOSE[name], :2], 0.25])


def test_pelvis_and_thorax_are_middles_and_neck_and_head_top_are_estimates_on_one_line():
    pose = dict(zip(MPII_16.joints, mpii_pose(landmarks_of()), strict=True))
    assert pose["pelvis"] == pytest.approx([100, 140, 1])
    assert pose["thorax"] == pytest.approx([100, 70, 1])
    assert pose["upper neck"] == pytest.approx([100, 55, 1])  # half way from 70 to the ears at 40
    assert pose["head top"] == pytest.approx([100, 40 - 1.25 * np.hypot(16, 4), 1], abs=1e-4)


def test_a_joint_beyond_the_edge_is_missing_and_an_occluded_one_is_uncertain():
    landmarks = landmarks_of()
    landmarks[BLAZEPOSE["left ankle"], 2:] = 0.4, 0.2
    landmarks[BLAZEPOSE["left hip"], 2:] = 0.3, 0.9
    pose = dict(zip(MPII_16.joints, mpii_pose(landmarks), strict=True))
    assert pose["left ankle"].tolist() == [0, 0, 0]
    assert pose["left hip"][2] == pose["pelvis"][2] == pytest.approx(0.3)


def test_the_stream_is_in_pixels_of_the_source():
    whole, half = stream_of([landmarks_of(k) for k in range(50)]), stream_of([landmarks_of(k) for k in range(50)], 0.5)
    assert isinstance(whole, ExtractedStream)
    assert isinstance(half, ExtractedStream)
    np.testing.assert_allclose(half.frames[..., :2], 2 * whole.frames[..., :2])
    assert whole.frames.shape == (50, 16, 3)
    assert whole.frames.dtype == np.float32


def test_a_short_gap_is_marked_and_filled_by_who_loads_the_features():
    stream = stream_of([None if 20 <= k < 28 else landmarks_of(k) for k in range(60)])
    assert not stream.frames[20:28].any()
    features = ClipFeatures({Modality.SKELETAL: stream.frames}, "mpii-16", {Modality.SKELETAL: stream.extractor})
    read = decode_features(encode_features(features))
    assert read.filled_joints == pytest.approx(8 / 60)
    filled = read.frames[Modality.SKELETAL]
    np.testing.assert_allclose(filled[23], filled[19] + (filled[28] - filled[19]) * 4 / 9, rtol=1e-5)


def test_a_long_gap_is_no_stream_and_the_reason_names_it():
    result = stream_of([None if 20 <= k < 40 else landmarks_of(k) for k in range(60)])
    assert isinstance(result, NotExtracted)
    assert "a person was found in 40 of 60 frames" in result.reason
    assert "0.80 s in a row" in result.reason


def test_feet_that_are_never_in_the_picture_are_no_stream_and_the_reason_names_them():
    cut_off = landmarks_of()
    cut_off[[BLAZEPOSE["left ankle"], BLAZEPOSE["right ankle"]], 3] = 0.1
    result = stream_of([cut_off] * 30)
    assert isinstance(result, NotExtracted)
    assert "right ankle, left ankle in every step" in result.reason


def test_without_a_person_there_is_no_stream():
    assert stream_of([None] * 30) == NotExtracted("no person was found in 30 frames")

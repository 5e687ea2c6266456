"""What the networks that ship make of real videos: a face without a body, nobody, a portrait."""

import numpy as np
import pytest

from extraction.backgrounds.scenic import Gist, open_scenic
from extraction.faces.facial import open_facial
from extraction.holistic import open_holistic
from extraction.models import open_model
from extraction.streams import ExtractedStream, NotExtracted
from tests.videos import decoded, fetched_video


def stream(opened, properties, frames):
    """The stream of frames in which no person was followed."""
    extractor = opened(properties)
    extractor.add(frames, [None] * len(frames))
    return extractor.finish()


@pytest.fixture(scope="module")
def facial(model):
    return open_facial(model("face-detector-full-range"), model("face-features"))


def test_a_face_without_a_body_has_a_facial_stream(facial, model):
    properties, frames = decoded(fetched_video("carphone"), 16)
    found = stream(facial, properties, frames)
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (2, 2048)
    one, other = found.frames / np.linalg.norm(found.frames, axis=1, keepdims=True)
    assert one @ other > 0.9, "both steps show one person"
    fallback = open_facial(model("face-detector-full-range"), model("frame-features"))
    approximated = stream(fallback, properties, frames)
    assert approximated.frames.shape == (2, 1280)
    assert approximated.extractor.startswith("frame-features/")


def test_where_nobody_is_there_is_a_scene_and_no_face(facial, model):
    properties, frames = decoded(fetched_video("rabbit"), 9)
    assert stream(facial, properties, frames) == NotExtracted("the dancer's face was found in 0 of 1 pictures")
    scenic = stream(open_scenic("vibe", Gist()), properties, frames)
    assert scenic.frames.shape == (2, 512)
    assert scenic.frames.any()
    assert stream(open_holistic(model("frame-features")), properties, frames).frames.shape == (9, 1280)


@pytest.mark.parametrize("name", ["frame-features", "face-features"])
def test_features_have_the_same_bytes_with_one_and_two_threads(name, model):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    output = model(name).manifest.feature
    one, two = (each.run(pictures)[output] for each in (model(name), open_model(name, providers=("cpu",), threads=2)))
    assert one.tobytes() == two.tobytes()

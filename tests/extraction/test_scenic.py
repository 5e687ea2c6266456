from typing import get_args

import numpy as np
import pytest

from extraction.backgrounds.gist import gist
from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.scenic import Gist, SceneNetwork, open_scenic
from extraction.frames import Frame, VideoProperties
from extraction.streams import ExtractedStream, NotExtracted, Person
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.plausibility import check_plausible
from tests.extraction.made_networks import mean_colours

PROPERTIES = VideoProperties(96, 64, 4.0, 25.0, 0, 1.0, "a1" * 32)


def extracted(images, person=None, method="vibe", embedding=None):
    extractor = open_scenic(method, embedding or Gist())(PROPERTIES)
    for at in range(0, len(images), 16):
        frames = [Frame(at + i, (at + i) / 25, image) for i, image in enumerate(images[at : at + 16])]
        extractor.add(frames, [person] * len(frames))
    return extractor.finish()


def street(count, seed=0):
    """Pictures of one street with the noise of a camera."""
    rng = np.random.default_rng(seed)
    houses = np.repeat(np.repeat(rng.integers(0, 256, (8, 12, 3)), 8, axis=0), 8, axis=1)
    return [(houses + rng.normal(0, 2, houses.shape)).clip(0, 255).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("method", get_args(BackgroundMethod))
def test_the_stream_has_four_embeddings_of_the_background_in_a_second_and_is_plausible(method):
    found = extracted(street(100), method=method)
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (16, Modality.SCENIC.channels)
    assert found.extractor == f"gist/1 of {method}"
    check_plausible(ClipFeatures({Modality.SCENIC: found.frames}), 4.0)
    assert np.linalg.norm(found.frames[8] - gist(street(1)[0])) < 0.1 * np.linalg.norm(found.frames[8])


def test_a_network_can_embed_the_pictures():
    found = extracted(street(60), embedding=SceneNetwork(mean_colours()))
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (10, 12)
    assert found.extractor == "colours/1 sha256:0123456789ab of vibe"


def test_one_frame_gives_one_step():
    found = extracted(street(1))
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (1, 512)


def test_black_frames_have_no_scene():
    found = extracted([np.zeros((64, 96, 3), np.uint8)] * 60)
    assert found == NotExtracted("the background has one colour in all 10 pictures")


def test_a_dancer_who_fills_every_picture_leaves_no_scene():
    person = Person(np.zeros((33, 4), np.float32), np.ones((64, 96), np.float32), (0, 0, 96, 64))
    found = extracted(street(60), person)
    assert found == NotExtracted("the dancer covers the background in all 10 pictures")


def test_a_video_without_frames_has_no_scene():
    assert extracted([]) == NotExtracted("no frame was decoded")


def test_many_pictures_at_once_have_the_bytes_of_each_alone():
    images = street(6)
    np.testing.assert_array_equal(Gist().embed(images), np.stack([gist(image) for image in images]))

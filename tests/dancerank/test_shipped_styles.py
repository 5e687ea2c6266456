"""The style classifier of the bundle that ships: it names how synthetic dancers move whom it has never seen."""

import numpy as np

from dancerank.settings import shipped_bundle
from dancerank.synthetic import MOVEMENT_STYLES, STANDARD, synthesize
from schemas.bundle import read_bundle
from schemas.modalities import Modality
from schemas.observation import Observer
from streamer.runtimes.style_network import style_network
from streamer.styles import StyleRecogniser

CLIPS = 120


def test_it_names_the_planted_way_of_moving_and_refuses_few() -> None:
    network = style_network(read_bundle(shipped_bundle()))
    assert network is not None
    assert network.classifier.styles == tuple(sorted(MOVEMENT_STYLES))
    recogniser, right, named = StyleRecogniser(network, "mpii-16", Observer()), 0, 0
    for clip in synthesize(CLIPS, seed=301, plan=STANDARD):
        frames = clip.features.frames[Modality.SKELETAL]
        (found,) = recogniser.recognise(frames[None], np.array([len(frames)]))
        assert found is not None
        named += found.style is not None
        right += found.style == MOVEMENT_STYLES[clip.dancer.style]
    assert named > 0.85 * CLIPS
    assert right > 0.85 * named


def test_a_clip_that_trembles_without_dancing_is_refused() -> None:
    network = style_network(read_bundle(shipped_bundle()))
    assert network is not None
    rng = np.random.default_rng(0)
    frames = (rng.normal(400, 100, (16, 2)) + rng.normal(0, 3, (200, 16, 2))).astype(np.float32)
    (found,) = StyleRecogniser(network, "mpii-16", Observer()).recognise(frames[None], np.array([200]))
    assert found is not None
    assert found.style is None

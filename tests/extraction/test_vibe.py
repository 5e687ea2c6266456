import numpy as np
import pytest

from extraction.backgrounds.vibe import SAMPLES, ViBe
from tests.extraction.vibe_reference import SlowViBe

HEIGHT, WIDTH = 9, 13


def noisy_frames(count, seed=0):
    """A scene of three colours with noise, over which a bright square moves; and where it is forbidden to learn."""
    rng = np.random.default_rng(seed)
    scene = rng.choice(np.array([[30, 60, 90], [80, 80, 80], [200, 120, 40]]), size=(HEIGHT, WIDTH))
    for i in range(count):
        image = scene + rng.integers(-9, 10, scene.shape)
        image[2:5, i % 10 : i % 10 + 3] = 255
        forbidden = np.zeros((HEIGHT, WIDTH), bool)
        forbidden[1:6, i % 7 : i % 7 + 4] = True
        yield image.clip(0, 255).astype(np.uint8), forbidden


def test_the_vectorised_model_is_the_published_algorithm_pixel_by_pixel():
    fast, slow = ViBe(HEIGHT, WIDTH, seed=3), SlowViBe(HEIGHT, WIDTH, seed=3)
    for image, forbidden in noisy_frames(30):
        np.testing.assert_array_equal(fast.update(image, forbidden), slow.update(image, forbidden))
        known = np.array([samples is not None for samples in slow.samples.values()]).reshape(HEIGHT, WIDTH)
        np.testing.assert_array_equal(fast.known, known)
        np.testing.assert_array_equal(fast.latest, slow.latest)
        for at, samples in slow.samples.items():
            np.testing.assert_array_equal(fast.samples[:, *at], np.array(samples or np.zeros((SAMPLES, 3))))


def test_equal_seeds_give_equal_models_and_others_do_not():
    def samples(seed):
        model = ViBe(HEIGHT, WIDTH, seed)
        for image, forbidden in noisy_frames(5):
            model.update(image, forbidden)
        return model.samples

    np.testing.assert_array_equal(samples(1), samples(1))
    assert (samples(1) != samples(2)).any()


@pytest.mark.parametrize("difference", [(20, 0, 0), (12, 16, 0), (-20, 0, 0)])
def test_a_colour_at_the_radius_fits_and_one_beyond_it_does_not(difference):
    image = np.full((4, 4, 3), 100, np.uint8)
    nowhere = np.zeros((4, 4), bool)
    model = ViBe(4, 4, seed=0)
    model.update(image, nowhere)
    assert model.update((image + np.array(difference)).astype(np.uint8), nowhere).all()
    assert not model.update((image + np.array(difference) + np.array([0, 0, 8])).astype(np.uint8), nowhere).any()


def test_nothing_is_learned_under_the_mask():
    model = ViBe(4, 4, seed=0)
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    for _ in range(50):
        model.update(np.full((4, 4, 3), 100, np.uint8), left)
    np.testing.assert_array_equal(model.known, ~left)
    for _ in range(50):
        model.update(np.full((4, 4, 3), 200, np.uint8), ~left)
    assert (model.latest[:, :2] == 200).all()
    assert (model.latest[:, 2:] == 100).all()


def test_what_is_forgotten_is_learned_again_from_the_next_frame():
    model = ViBe(4, 4, seed=0)
    nowhere, everywhere = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    model.update(np.full((4, 4, 3), 100, np.uint8), nowhere)
    assert not model.update(np.full((4, 4, 3), 200, np.uint8), nowhere).any()
    model.forget(everywhere)
    assert model.update(np.full((4, 4, 3), 200, np.uint8), nowhere).all()
    assert (model.latest == 200).all()

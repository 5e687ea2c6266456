"""Cuts are found; dancers, noise and flashes are none."""

import numpy as np

from extraction.people.cuts import CutDetector


def scene(seed, x=60, noise=0):
    generator = np.random.default_rng(seed)
    image = np.kron(generator.integers(0, 256, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    image[20:100, x : x + 40] = 255 - image[20:100, x : x + 40]
    return np.clip(image + np.random.default_rng(x).normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def test_another_scene_is_a_cut_and_a_moving_dancer_is_none():
    detector = CutDetector()
    frames = [scene(1, x, noise=5) for x in range(20, 60, 4)] + [scene(2, x, noise=5) for x in range(20, 60, 4)]
    assert [detector.is_cut(frame) for frame in frames] == [at == 10 for at in range(20)]


def test_lights_that_flash_all_the_time_are_no_cuts():
    detector = CutDetector()
    cuts = [detector.is_cut(scene(1) if at % 2 else scene(1) // 2) for at in range(10)]
    assert sum(cuts) <= 1


def test_black_frames_after_a_scene_are_a_cut():
    detector = CutDetector()
    assert [detector.is_cut(each) for each in (scene(3), scene(3), np.zeros_like(scene(3)))] == [False, False, True]

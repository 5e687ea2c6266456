"""Pooled features and SVR: what is pooled, what is chosen, bad input, and the judged dives."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVR

from networks.baselines.pooled import PooledSVR
from networks.baselines.selection import fit_best
from networks.correlation import spearman
from networks.datasets import Sample
from networks.errors import UnusableSamples
from schemas.errors import ConfigurationError
from schemas.modalities import Modality

DIVES = Path(os.environ.get("DANCERANK_DATA", "")) / "unlv_dive_s3d.npz"


def clips(count: int, channels: int = 8, seed: int = 0) -> list[Sample]:
    generator = np.random.default_rng(seed)
    samples: list[Sample] = []
    for _ in range(count):
        centre = generator.normal(size=channels)
        frames = centre + generator.normal(size=(int(generator.integers(1, 9)), channels)) * 0.1
        samples.append(({Modality.HOLISTIC: frames.astype(np.float32)}, float(1 / (1 + np.exp(-centre[0])))))
    return samples


def test_it_is_the_default_svr_of_the_means_over_time() -> None:
    train, test = clips(80), clips(20, seed=1)
    regressor = PooledSVR()
    regressor.fit(train)
    means = [[features[Modality.HOLISTIC].astype(float).mean(0) for features, _ in part] for part in (train, test)]
    expected = SVR().fit(means[0], [target for _, target in train]).predict(means[1])
    np.testing.assert_allclose(regressor.predict(test), expected)
    assert spearman(regressor.predict(test), [target for _, target in test]) > 0.8


def test_standardised_features_score_the_same_in_any_unit() -> None:
    def scaled(samples: list[Sample], units: np.ndarray) -> list[Sample]:
        return [({Modality.HOLISTIC: features[Modality.HOLISTIC] * units}, target) for features, target in samples]

    units = np.geomspace(1e-3, 1e3, 8)
    plain, other = PooledSVR(standardised=True), PooledSVR(standardised=True)
    plain.fit(clips(40))
    other.fit(scaled(clips(40), units))
    np.testing.assert_allclose(other.predict(scaled(clips(9), units)), plain.predict(clips(9)), rtol=1e-4)


def test_the_cost_with_the_best_held_out_order_is_chosen_and_the_first_of_equals() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 5))
    hopeless, good = SVR(kernel="linear", C=1e-9), SVR(kernel="linear", C=1.0)
    y = X[:, 0] + 0.1 * generator.normal(size=60)
    assert fit_best([SVR(kernel="rbf", gamma=1e6), good], X, y) is good
    twin = SVR(kernel="linear", C=1.0)
    assert fit_best([good, twin], X, y) is good
    assert fit_best([hopeless], X, y) is hopeless


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ({}, "clip 1 has no holistic features; leave such clips out"),
        ({Modality.HOLISTIC: np.zeros((3, 7), np.float32)}, r"clip 1 have shape \(3, 7\); expected \(T ≥ 1, 8\)"),
        ({Modality.HOLISTIC: np.zeros((3, 8, 2), np.float32)}, r"clip 1 have shape \(3, 8, 2\)"),
    ],
)
def test_a_clip_that_does_not_fit_is_named(features: dict[Modality, np.ndarray], complaint: str) -> None:
    bad = [*clips(1), (features, 0.5)]
    with pytest.raises(UnusableSamples, match=complaint):
        PooledSVR().fit(bad)
    fitted = PooledSVR()
    fitted.fit(clips(9))
    with pytest.raises(UnusableSamples, match=complaint):
        fitted.predict(bad)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be pooled"):
        PooledSVR(Modality.SKELETAL)
    with pytest.raises(ConfigurationError, match="costs"):
        PooledSVR(costs=())
    with pytest.raises(NotFittedError, match="call fit first"):
        PooledSVR().predict(clips(1))
    with pytest.raises(UnusableSamples, match="no clip"):
        PooledSVR().fit([])


@pytest.mark.skipif(not DIVES.is_file(), reason="DANCERANK_DATA names no folder with unlv_dive_s3d.npz")
def test_the_judged_dives_are_ranked_at_least_as_well_as_by_linear_regression() -> None:
    dives = np.load(DIVES)
    scores = dives["overall_score"]
    targets = (scores - scores.min()) / np.ptp(scores)
    samples = [
        ({Modality.HOLISTIC: feature[None]}, float(target))
        for feature, target in zip(dives["p3d_feature"], targets, strict=True)
    ]
    train, test = ([samples[row - 1] for row in dives[name]] for name in ("train_idx", "test_idx"))
    regressor = PooledSVR()
    regressor.fit(train)
    assert spearman(regressor.predict(test), [target for _, target in test]) >= 0.81

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.monitoring.calibration import Bounds, Deciles, normalised
from vdv.virality import normalise

finite = st.floats(-1e308, 1e308)
predictions = st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(0, 1)), min_size=1, max_size=60)


@given(st.lists(finite, min_size=1, max_size=20))
def test_virality_is_normalised_as_the_training_data_are(virality: list[float]) -> None:
    found = normalised(np.array(virality), Bounds(min(virality), max(virality)))
    assert found == pytest.approx(normalise(virality, ["ch"] * len(virality)))


def test_the_bounds_are_those_of_the_challenge_not_of_the_clips_at_hand() -> None:
    assert normalised(np.array([2.0, 3.0]), Bounds(1.0, 5.0)).tolist() == [0.25, 0.5]


@given(predictions)
def test_the_error_is_the_mean_over_deciles_weighted_by_clips(pairs: list[tuple[float, float]]) -> None:
    deciles = Deciles()
    deciles.add(*np.array(pairs).T)
    bins: dict[int, list[tuple[float, float]]] = {}
    for predicted, observed in pairs:
        inside = min(1.0, max(0.0, predicted))
        bins.setdefault(min(9, int(inside * 10)), []).append((predicted, observed))
    expected = 0.0
    for number, found in enumerate(deciles.bins()):
        members = bins.get(number, [])
        means = [math.fsum(side) / len(members) for side in zip(*members, strict=True)] or [None, None]
        assert found == (len(members), *(m if m is None else pytest.approx(m, abs=1e-12) for m in means))
    for members in bins.values():
        mean_predicted = math.fsum(p for p, _ in members) / len(members)
        mean_observed = math.fsum(o for _, o in members) / len(members)
        expected += len(members) / len(pairs) * abs(mean_predicted - mean_observed)
    assert deciles.error == pytest.approx(expected, abs=1e-12)
    assert deciles.bias == pytest.approx(math.fsum(p - o for p, o in pairs) / len(pairs), abs=1e-12)
    assert abs(deciles.bias) <= deciles.error + 1e-12


@given(predictions, st.integers(0, 60))
def test_clips_of_several_challenges_add_up(pairs: list[tuple[float, float]], cut: int) -> None:
    whole, parts = Deciles(), Deciles()
    predicted, observed = np.array(pairs).T
    whole.add(predicted, observed)
    parts.add(predicted[:cut], observed[:cut])
    parts.add(predicted[cut:], observed[cut:])
    assert (parts.bias, parts.error) == pytest.approx((whole.bias, whole.error), abs=1e-12)


def test_predictions_that_are_right_have_neither_bias_nor_error() -> None:
    deciles = Deciles()
    deciles.add(np.linspace(0, 1, 50), np.linspace(0, 1, 50))
    assert (deciles.bias, deciles.error) == (0.0, 0.0)


def test_predictions_off_to_either_side_have_an_error_without_bias() -> None:
    deciles = Deciles()
    deciles.add(np.array([0.05, 0.95]), np.array([0.35, 0.65]))
    assert (deciles.bias, deciles.error) == pytest.approx((0.0, 0.3))


def test_without_clips_nothing_is_known() -> None:
    assert math.isnan(Deciles().bias)
    assert math.isnan(Deciles().error)

import math
from bisect import bisect_right
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.monitoring.stability import population_stability

values = st.one_of(st.integers(-4, 4).map(float), st.floats(-1e6, 1e6), st.just(float("nan")))
sides = st.lists(values, min_size=1, max_size=50)


def slow_stability(reference: Sequence[float], window: Sequence[float]) -> float:
    """PSI, one value at a time."""
    present = sorted(v for v in reference if not math.isnan(v))
    cuts: list[float] = []
    if present:
        for decile in range(1, 10):
            cut = present[math.ceil(decile / 10 * (len(present) - 1))]
            if cut not in cuts:
                cuts.append(cut)
            elif math.nextafter(cut, math.inf) not in cuts:
                cuts.append(math.nextafter(cut, math.inf))
    counts = {side: [0.5] * (len(cuts) + 2) for side in ("then", "now")}
    for side, given_values in (("then", reference), ("now", window)):
        for value in given_values:
            counts[side][-1 if math.isnan(value) else bisect_right(cuts, value)] += 1
    shares = [[count / sum(of_side) for count in of_side] for of_side in counts.values()]
    return math.fsum((p - q) * math.log(p / q) for q, p in zip(*shares, strict=True))


@given(sides, sides)
def test_it_is_the_sum_over_the_references_deciles(reference: list[float], window: list[float]) -> None:
    found = population_stability(np.array(reference), np.array(window))
    assert found == pytest.approx(slow_stability(reference, window), abs=1e-9)
    assert found >= 0


@given(sides, st.randoms(use_true_random=False))
def test_the_same_values_in_another_order_have_not_drifted(reference: list[float], random: Random) -> None:
    shuffled = list(reference)
    random.shuffle(shuffled)
    assert population_stability(np.array(reference), np.array(shuffled)) == pytest.approx(0, abs=1e-12)


def test_without_drift_it_is_as_large_as_chance_makes_it() -> None:
    generator = np.random.default_rng(1)
    found = [population_stability(*generator.normal(size=(2, 1000))) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9 * (1 / 1000 + 1 / 1000), rel=0.1)
    assert max(found) < 0.1


@pytest.mark.parametrize(("shift", "least", "most"), [(0.25, 0.04, 0.14), (1.0, 0.6, 1.4)])
def test_a_shift_of_a_normal_distribution_shows(shift: float, least: float, most: float) -> None:
    generator = np.random.default_rng(2)
    reference, window = generator.normal(size=2000), generator.normal(shift, size=2000)
    assert least < population_stability(reference, window) < most


def test_values_beyond_the_reference_belong_to_its_ends() -> None:
    reference = np.arange(100.0)
    assert population_stability(reference, np.full(100, 1e9)) > 1
    assert population_stability(reference, np.full(100, -1e9)) > 1


@pytest.mark.parametrize("value", [0.4, 0.6])
def test_leaving_a_value_that_all_had_shows_to_either_side(value: float) -> None:
    assert population_stability(np.full(100, 0.5), np.full(100, value)) > 1


def test_a_modality_that_goes_missing_shows() -> None:
    reference = np.random.default_rng(3).normal(size=1000)
    window = reference.copy()
    window[::2] = np.nan
    assert population_stability(reference, window) > 0.25
    assert population_stability(window, window) == 0


def test_without_values_nothing_is_known() -> None:
    assert math.isnan(population_stability(np.empty(0), np.ones(3)))
    assert math.isnan(population_stability(np.ones(3), np.empty(0)))

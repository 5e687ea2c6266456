import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest

from ranking.pools.bounds import deviations, wilson


@st.composite
def counts(draw: st.DrawFn, most: int = 10**6) -> tuple[int, int]:
    trials = draw(st.integers(1, most))
    return draw(st.sampled_from([0, trials]) | st.integers(0, trials)), trials


@given(counts(), st.floats(0.51, 0.9999))
def test_both_bounds_are_where_the_score_test_turns(seen: tuple[int, int], confidence: float) -> None:
    z = deviations(confidence)
    (successes, trials), (low, high) = seen, wilson(*seen, z)
    rate = successes / trials

    def excess(p: float) -> float:
        return trials * (rate - p) ** 2 - z * z * p * (1 - p)

    within = min(max(rate, 1e-15), 1 - 1e-15)  # 0 and 1 are roots that mean nothing
    assert low == pytest.approx(brentq(excess, 0.0, within, xtol=1e-14) if successes else 0.0, rel=1e-6, abs=1e-12)
    assert high == pytest.approx(brentq(excess, within, 1.0, xtol=1e-14) if successes < trials else 1.0, rel=1e-6)
    assert 0.0 <= low <= rate * (1 + 1e-12)
    assert rate * (1 - 1e-12) <= high <= 1.0


@given(counts(most=5000), st.sampled_from([0.8, 0.95, 0.99]))
def test_one_sided_bounds_are_those_of_a_two_sided_interval_that_misses_twice_as_often(
    seen: tuple[int, int], confidence: float
) -> None:
    expected = binomtest(*seen).proportion_ci(2 * confidence - 1, method="wilson")
    assert wilson(*seen, deviations(confidence)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_is_known_without_trials() -> None:
    assert wilson(0, 0, 1.6) == (0.0, 1.0)


def test_no_digit_is_lost_where_reactions_are_rare() -> None:
    assert wilson(0, 10**9, 1.6).low == 0.0
    low = wilson(1, 2**52, 1.6).low
    roots = math.sqrt(1.6**2 + 1.6**4 / 4)  # of (1 − x)² = z² x, where x = p · trials and p is next to nothing
    assert low * 2**52 == pytest.approx(1 + 1.6**2 / 2 - roots, rel=1e-9)


def test_deviations_leave_the_confidence_below() -> None:
    assert deviations(0.95) == pytest.approx(1.6448536)

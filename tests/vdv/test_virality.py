"""Eq. 1 and 2 against plain Python, and the cases that they do not define."""

from math import inf, log2, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vdv.data_sets import LABEL
from vdv.errors import DataSetError
from vdv.virality import normalise, raw_score

counts = st.integers(0, 10**9)


def plain_raw(likes: float, comments: float, reposts: float, days: float) -> float:
    return log2((likes + comments + reposts + 1) / min(max(days, 1), 7))


def plain_normalised(raw: list[float], challenges: list[str]) -> list[float]:
    out = []
    for value, challenge in zip(raw, challenges, strict=True):
        rivals = [r for r, c in zip(raw, challenges, strict=True) if c == challenge]
        low, high = min(rivals), max(rivals)
        out.append(0.5 if low == high else (value - low) / (high - low))
    return out


@settings(deadline=None)
@given(st.lists(st.tuples(counts, counts, counts, st.floats(0, 1000)), min_size=1, max_size=20))
def test_the_raw_score_is_equation_1(rows: list[tuple[int, int, int, float]]) -> None:
    np.testing.assert_allclose(raw_score(*zip(*rows, strict=True)), [plain_raw(*row) for row in rows], atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from("abc")), min_size=1, max_size=20))
def test_the_normalised_score_is_equation_2_within_each_challenge(rows: list[tuple[float, str]]) -> None:
    raw, challenges = [list(column) for column in zip(*rows, strict=True)]
    found = normalise(raw, challenges)
    np.testing.assert_allclose(found, plain_normalised(raw, challenges), atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_clip_without_reactions_has_a_score() -> None:
    np.testing.assert_allclose(raw_score([0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 30]), [0, 0, -log2(7)])


def test_the_age_counts_from_one_day_to_seven() -> None:
    scores = raw_score([7] * 6, 0, 0, [0, 0.5, 1, 2, 7, 365])
    np.testing.assert_allclose(scores, [3, 3, 3, 2, 3 - log2(7), 3 - log2(7)])


@pytest.mark.parametrize("wrong", [-1, nan, inf])
@pytest.mark.parametrize("column", ["likes", "comments", "reposts", "days_online"])
def test_a_count_that_is_none_is_refused_by_name(column: str, wrong: float) -> None:
    values: dict[str, Any] = {name: [1.0, 2.0] for name in LABEL}
    values[column] = [1.0, wrong]
    with pytest.raises(DataSetError, match=f"{column} of clip 1"):
        raw_score(**values)


def test_equal_scores_and_a_challenge_of_one_clip_are_in_the_middle() -> None:
    np.testing.assert_array_equal(normalise([3, 3, 9, 1, 2], list("aabcc")), [0.5, 0.5, 0.5, 0, 1])
    assert normalise([], []).shape == (0,)


def test_huge_scores_of_both_signs_do_not_overflow() -> None:
    np.testing.assert_array_equal(normalise([-1.7e308, 0, 1.7e308], ["a"] * 3), [0, 0.5, 1])


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataSetError, match="clip 1 is nan"):
        normalise([0, nan], ["a", "a"])

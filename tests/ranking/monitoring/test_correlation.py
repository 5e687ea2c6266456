import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from ranking.monitoring.correlation import mean_ranks, spearman

few_values = st.integers(-3, 3).map(float)
pairs = st.lists(st.tuples(few_values, few_values), min_size=2, max_size=30)


@given(pairs)
def test_spearman_is_scipys_also_with_ties(values: list[tuple[float, float]]) -> None:
    first, second = zip(*values, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert math.isnan(spearman(first, second))
    else:
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


@given(st.lists(few_values, min_size=1, max_size=30))
def test_mean_ranks_are_scipys(values: list[float]) -> None:
    assert mean_ranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0]), ([1.0, 2.0], [1.0])])
def test_sequences_that_cannot_be_compared_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="one length"):
        spearman(first, second)

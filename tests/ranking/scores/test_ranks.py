import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import percentileofscore, rankdata

from ranking.scores.ranks import place, places_from_bottom, places_from_top

TIED_SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 1.0]) | st.floats(-5, 5), min_size=1, max_size=40)


@given(TIED_SCORES)
def test_rank_and_percentile_are_those_of_scipy(scores: list[float]) -> None:
    ranks = rankdata(-np.array(scores), method="min")
    for score, rank in zip(scores, ranks, strict=True):
        found = place(sum(s > score for s in scores), scores.count(score), len(scores))
        assert found.rank == rank
        np.testing.assert_allclose(found.percentile, percentileofscore(scores, score, kind="mean"))


@given(TIED_SCORES, st.integers(1, 45))
def test_either_end_of_a_ranking_has_the_places_of_the_whole(scores: list[float], k: int) -> None:
    whole = {s: place(sum(x > s for x in scores), scores.count(s), len(scores)) for s in scores}
    top, bottom = sorted(scores, reverse=True)[:k], sorted(scores)[:k]
    total = len(scores)
    from_top = places_from_top(top, total=total, equal_to_last=scores.count(top[-1]))
    from_bottom = places_from_bottom(bottom, total=total, equal_to_last=scores.count(bottom[-1]))
    assert from_top == [whole[s] for s in top]
    assert from_bottom == [whole[s] for s in bottom]


def test_an_empty_ranking_has_no_places() -> None:
    assert places_from_top([], total=0, equal_to_last=0) == []

"""The targets against plain Python, their parameters against worlds in which these are known, and what is refused."""

from math import isclose, log2
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.virality_target import EQ1, FittedTarget, ReactionWeights, Target, TargetSettings
from tests.vdv.data_sets import LABEL, annotation
from tests.vdv.test_virality import plain_normalised, plain_raw
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.targets import fit_rate, fit_target, is_labelled, raw_targets, target_findings, targets

PER_VIEW = TargetSettings(target=Target.PER_VIEW)
ADJUSTED = TargetSettings(target=Target.AUDIENCE_ADJUSTED)


def clip(number: int, **values: Any) -> Annotation:
    return annotation(f"clip-{number}", row=number + 2, **(LABEL | {"views": 1000, "followers": 50} | values))


def world(clips: int, seed: int = 0, *, mean: float = 0.1, spread: float = 0.03) -> list[Annotation]:
    """Poisson reactions at rates from a gamma distribution of ``mean`` and ``spread``, over 30 to 1,000,000 views."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma((mean / spread) ** 2, spread**2 / mean, clips)
    views = np.round(10 ** rng.uniform(1.5, 6, clips))
    likes = np.minimum(rng.poisson(rates * views), views)
    return [
        clip(i, likes=int(n), comments=0, reposts=0, views=int(v))
        for i, (n, v) in enumerate(zip(likes, views, strict=True))
    ]


def test_targets_come_from_counts_or_from_judged_scores_whichever_the_clips_have() -> None:
    counted = [annotation(str(i), **(LABEL | {"likes": likes})) for i, likes in enumerate((5, 60, 20))]
    raw = [plain_raw(likes, 2, 1, 3.0) for likes in (5, 60, 20)]
    np.testing.assert_allclose(targets(counted).raw, raw)
    np.testing.assert_allclose(targets(counted).normalised, plain_normalised(raw, ["a"] * 3))
    judged = targets([annotation(str(i), score=score) for i, score in enumerate((-9.0, -6.0, -5.0))])
    np.testing.assert_array_equal(judged.raw, [-9, -6, -5])
    np.testing.assert_array_equal(judged.normalised, [0, 0.75, 1])


@pytest.mark.parametrize("label", [{}, {"likes": 3}, LABEL | {"score": 1.0}])
def test_a_clip_without_a_label_or_with_two_is_refused_by_row(label: dict[str, Any]) -> None:
    unlabelled = annotation("c7", row=9, **label)
    assert not is_labelled(unlabelled)
    with pytest.raises(DataSetError, match=r"clip c7 \(row 9\)"):
        targets([unlabelled])


@given(
    st.lists(
        st.tuples(*[st.integers(0, 10**6)] * 3, st.integers(0, 10**9), st.integers(1, 10**8), st.floats(0, 400)),
        min_size=1,
        max_size=9,
    ),
    st.tuples(*[st.floats(0.125, 8)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_every_target_is_its_formula(rows: list[tuple[Any, ...]], factors: tuple[float, float, float]) -> None:
    weights = ReactionWeights(likes=factors[0], comments=factors[1], reposts=factors[2])
    clips = [
        clip(i, likes=a, comments=b, reposts=c, views=a + b + c + unseen, followers=f, days_online=d)
        for i, (a, b, c, unseen, f, d) in enumerate(rows)
    ]
    per_view = FittedTarget(target=Target.PER_VIEW, weights=weights, mean_rate=0.25, prior_views=40.0)
    adjusted = FittedTarget(target=Target.AUDIENCE_ADJUSTED, weights=weights, intercept=-3.0, slope=0.75)
    for row, rate, rest in zip(rows, raw_targets(clips, per_view), raw_targets(clips, adjusted), strict=True):
        a, b, c, unseen, followers, days = row
        weighted = factors[0] * a + factors[1] * b + factors[2] * c
        assert isclose(rate, log2((weighted + 10) / (a + b + c + unseen + 40)), abs_tol=1e-9)
        expected = -3 + 0.75 * log2(followers)
        assert isclose(rest, log2((weighted + 1) / min(max(days, 1), 7)) - expected, abs_tol=1e-9)
    np.testing.assert_allclose(raw_targets(clips), [plain_raw(*row[:3], row[5]) for row in rows], atol=1e-12)


def test_the_mean_rate_and_what_it_is_worth_are_those_that_the_clips_were_drawn_with() -> None:
    mean, prior = np.mean([fit_rate(world(400, seed), ReactionWeights()) for seed in range(12)], axis=0)
    assert mean == pytest.approx(0.1, rel=0.02)
    assert prior == pytest.approx(0.1 / 0.03**2, rel=0.1)  # the rate of the gamma distribution


def test_the_fitted_rate_solves_the_equations_of_bichsel_and_straub() -> None:
    clips = world(60)
    weights = ReactionWeights(likes=2.0)
    mean, prior = fit_rate(clips, weights)
    rates = [2 * (a.likes or 0) / (a.views or 0) for a in clips]
    process = 4 * sum(a.likes or 0 for a in clips) / sum(a.views or 0 for a in clips)
    credibility = [(a.views or 0) / ((a.views or 0) + prior) for a in clips]
    assert mean == pytest.approx(sum(z * r for z, r in zip(credibility, rates, strict=True)) / sum(credibility))
    between = sum(z * (r - mean) ** 2 for z, r in zip(credibility, rates, strict=True)) / 59
    assert prior == pytest.approx(process / between, rel=1e-6)


def test_shrinkage_ranks_clips_of_few_views_better_than_their_plain_rate() -> None:
    rng = np.random.default_rng(3)
    truth = rng.gamma(11.1, 0.009, 600)
    views = np.round(10 ** rng.uniform(0.5, 4, 600))
    likes = np.minimum(rng.poisson(truth * views), views)
    clips = [
        clip(i, likes=int(n), comments=0, reposts=0, views=int(v))
        for i, (n, v) in enumerate(zip(likes, views, strict=True))
    ]
    shrunk = 2 ** raw_targets(clips, fit_target(PER_VIEW, clips))
    assert np.mean((shrunk - truth) ** 2) < 0.5 * np.mean((likes / views - truth) ** 2)


def test_what_follows_from_followers_is_gone_and_what_does_not_is_kept() -> None:
    rng = np.random.default_rng(1)
    followers = np.round(10 ** rng.uniform(1, 7, 300))
    merit = rng.normal(size=300)
    likes = np.round(2 ** (6 + 0.8 * np.log2(followers) + merit))
    clips = [
        clip(i, likes=int(n), comments=0, reposts=0, followers=int(f), days_online=9.0)
        for i, (n, f) in enumerate(zip(likes, followers, strict=True))
    ]
    fitted = fit_target(ADJUSTED, clips)
    found = raw_targets(clips, fitted)
    slope, intercept = np.polyfit(np.log2(followers), raw_targets(clips), 1)
    assert (fitted.intercept, fitted.slope) == (pytest.approx(intercept), pytest.approx(slope))
    assert fitted.slope == pytest.approx(0.8, abs=0.05)
    assert abs(np.corrcoef(found, np.log2(followers))[0, 1]) < 1e-9
    assert np.corrcoef(found, merit)[0, 1] > 0.99


@pytest.mark.parametrize("asked", [PER_VIEW, ADJUSTED])
def test_the_target_of_a_clip_follows_from_the_training_clips_and_its_own_counts(asked: TargetSettings) -> None:
    clips = [msgspec.structs.replace(c, followers=10 + 7 * i) for i, c in enumerate(world(40))]
    fitted = fit_target(asked, clips[:30])
    alone = raw_targets(clips[30:31], fitted)
    others = [msgspec.structs.replace(c, likes=c.views, followers=10**6) for c in clips[31:]]
    assert raw_targets([*clips[:31], *others], fitted)[30] == alone[0]


def test_equal_weights_of_eq1_are_the_paper_s_and_others_are_refused() -> None:
    assert fit_target(TargetSettings(), [clip(0)]) == EQ1
    with pytest.raises(ValueError, match="choose the target per-view or audience-adjusted"):
        TargetSettings(weights=ReactionWeights(likes=2.0))


@pytest.mark.parametrize(
    ("asked", "clips", "message"),
    [
        (PER_VIEW, [clip(0), clip(1)], "fitted to 3 clips or more, there are 2"),
        (PER_VIEW, [clip(i, views=None) for i in range(3)], r"\(row 2\).*give likes, comments, reposts, views"),
        (PER_VIEW, [clip(i, views=12) for i in range(3)], "row 2, views: 12 views are fewer than 13 reactions"),
        (PER_VIEW, [clip(i, likes=0, comments=0, reposts=0) for i in range(3)], "no rate of reactions can be fitted"),
        (PER_VIEW, [clip(i) for i in range(3)], "differ by chance alone"),
        (ADJUSTED, [clip(i, followers=None) for i in range(3)], "likes, comments, reposts, days_online, followers"),
        (ADJUSTED, [clip(i, followers=i) for i in range(3)], "row 2, followers: 0 followers have no logarithm"),
        (ADJUSTED, [clip(i) for i in range(3)], "all 3 clips to learn from have 50 followers"),
        (ADJUSTED, [annotation(str(i), score=1.0 * i) for i in range(3)], "a judged score is learned as eq1"),
    ],
)  # fmt: skip
def test_what_a_target_cannot_be_made_of_is_refused_with_the_remedy(
    asked: TargetSettings, clips: list[Annotation], message: str
) -> None:
    with pytest.raises(DataSetError, match=message):
        fit_target(asked, clips)


def test_every_row_that_is_wrong_is_a_finding_and_eq1_looks_at_neither_column() -> None:
    clips = [clip(0, views=3), clip(1), clip(2, views=12, followers=0)]
    table = Path("clips.csv")
    found = [(f.row, f.field) for f in target_findings(table, clips, Target.PER_VIEW)]
    assert found == [(2, "views"), (4, "views")]
    assert [(f.row, f.field) for f in target_findings(table, clips, Target.AUDIENCE_ADJUSTED)] == [(4, "followers")]
    assert not list(target_findings(table, clips, Target.EQ1))
    assert len(raw_targets(clips)) == 3

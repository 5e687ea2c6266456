"""The comparison of targets on dances that are made up: likes follow the followers, ratings follow the rate."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from benchmarks.targets import Dances, compare, draw, held_out, interval, measured, pearson, read_dances
from networks.correlation import spearman
from schemas.virality_target import Target, TargetSettings
from vdv.errors import DataSetError
from vdv.targets import fit_target, raw_targets


@pytest.fixture
def dances(tmp_path: Path) -> Dances:
    rng = np.random.default_rng(4)
    followers = np.round(10 ** rng.uniform(2, 6, 200))
    merit = rng.normal(size=200)
    plays = followers * rng.integers(5, 50, 200)
    np.savez(
        tmp_path / "dance_reactions.npz",
        likes=np.round(plays * 0.1 * 2 ** (0.2 * merit)),
        comments=np.zeros(200),
        shares=np.zeros(200),
        plays=plays,
        days_online=np.full(200, 300.0),
        followers=followers,
        rater_1=np.repeat(merit[:, None], 3, axis=1),
        rater_2=np.repeat(merit[:, None], 3, axis=1),
    )
    return read_dances(tmp_path)


def test_each_target_correlates_with_what_was_planted_for_it(dances: Dances) -> None:
    rows = {row.name: row.correlations for row in compare(dances, 50)}
    assert rows["eq1"]["followers, Spearman"].estimate > 0.8
    assert rows["per-view"]["rating, Spearman"].estimate > 0.99
    assert abs(rows["audience-adjusted"]["log followers, Pearson"].estimate) < 0.1
    figures = {figure.name: figure for figure in measured(compare(dances, 10))}
    assert figures["per-view: followers, Spearman"].bar == 0.1
    assert figures["eq1: followers, Spearman"].bar is None


def test_parameters_come_from_the_other_folds(dances: Dances) -> None:
    asked = TargetSettings(target=Target.AUDIENCE_ADJUSTED)
    found = held_out(asked, dances.annotations, folds=2, seed=1)
    fold = np.random.default_rng(1).permutation(200) % 2
    fitted = fit_target(asked, [a for a, of in zip(dances.annotations, fold, strict=True) if of == 1])
    np.testing.assert_array_equal(found[fold == 0], raw_targets(dances.annotations, fitted)[fold == 0])


def test_correlations_are_those_of_scipy_inside_their_intervals() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=80)
    second = first + rng.normal(size=80)
    for statistic, reference in ((pearson, pearsonr), (spearman, spearmanr)):
        estimate, low, high = interval(statistic, first, second, 200)
        assert estimate == pytest.approx(reference(first, second).statistic)
        assert low < estimate < high


def test_the_plot_is_drawn_and_an_absent_archive_named(dances: Dances, tmp_path: Path) -> None:
    draw(dances, tmp_path / "out" / "targets.png")
    assert (tmp_path / "out" / "targets.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataSetError, match="dance_reactions"):
        read_dances(tmp_path / "out")

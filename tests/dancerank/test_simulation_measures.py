"""Measures of an allocation, against slow references; what a policy implies."""

import math

import numpy as np
import pytest

from dancerank.simulation.implications import implied
from dancerank.simulation.measures import by_dancer, discovered, gini, measure, top_share
from dancerank.simulation.tables import spread
from dancerank.simulation.world import World
from ranking.pools.bounds import wilson
from tests.dancerank.simulated import small_policy, small_world


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


@pytest.fixture(scope="module")
def exposures(world: World) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(1).geometric(0.001, len(world)) * (world.lots < 0.7)


def test_gini_is_the_mean_absolute_difference_over_twice_the_mean() -> None:
    for values in ([3.0, 1.0, 0.0, 8.0], [5.0], [1.0, 1.0, 1.0], list(np.random.default_rng(0).random(30))):
        differences = [abs(a - b) for a in values for b in values]
        expected = float(np.mean(differences)) / (2 * float(np.mean(values)))
        assert gini(np.array(values)) == pytest.approx(expected, abs=1e-12)
    assert gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)
    assert math.isnan(gini(np.zeros(3)))


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_top_share_is_what_the_best_of_each_challenge_got(world: World, exposures: np.ndarray, share: float) -> None:  # type: ignore[type-arg]
    best: set[int] = set()
    for challenge in {clip.challenge_id for clip in world.clips}:
        rows = [i for i, clip in enumerate(world.clips) if clip.challenge_id == challenge]
        rows.sort(key=lambda i: -world.clips[i].virality)
        best |= set(rows[: round(share * len(rows))])
    got = sum(int(exposures[i]) for i in best) / exposures.sum()
    assert top_share(world, exposures, share) == pytest.approx((got, got * len(world) / len(best)))


def test_everything_uniform_is_neither_better_nor_worse_and_discovers_no_dancer(world: World) -> None:
    even = np.full(len(world), 10)
    found = measure(world, even, oracle=even, use=0.5)
    assert (found.top_10_lift, found.regret, found.discovered) == (pytest.approx(1), 0, 0)
    assert found.granted == 10 * len(world)
    assert found.reactions == pytest.approx(10 * world.rates.sum())
    assert found.use == 0.5


def test_regret_is_the_share_of_the_oracles_expected_reactions_that_is_lost(world: World) -> None:
    best, chosen = np.zeros(len(world), np.int64), np.zeros(len(world), np.int64)
    best[np.argmax(world.rates)] = chosen[7] = 100
    expected = 1 - world.rates[7] / world.rates.max()
    assert measure(world, chosen, oracle=best, use=0).regret == pytest.approx(expected)


def test_views_are_summed_by_dancer_those_with_none_too(world: World, exposures: np.ndarray) -> None:  # type: ignore[type-arg]
    sums: dict[str, int] = {}
    for clip, views in zip(world.clips, exposures.tolist(), strict=True):
        sums[clip.dancer_id] = sums.get(clip.dancer_id, 0) + views
    assert by_dancer(world, exposures).tolist() == [sums[dancer] for dancer in sorted(sums)]


def test_a_newcomer_is_discovered_by_a_top_clip_with_twice_the_uniform_exposure(
    world: World,
    exposures: np.ndarray,  # type: ignore[type-arg]
) -> None:
    top = world.top(0.1)
    talents = {c.dancer_id for i, c in enumerate(world.clips) if top[i]} & world.newcomers
    shown = {
        c.dancer_id for i, c in enumerate(world.clips) if top[i] and exposures[i] / exposures.mean() >= 2
    } & world.newcomers
    assert 0 < len(shown) < len(talents)
    assert discovered(world, exposures) == pytest.approx(len(shown) / len(talents))


def test_without_anything_granted_there_is_nothing_to_share(world: World) -> None:
    nothing = np.zeros(len(world), np.int64)
    found = measure(world, nothing, oracle=nothing, use=0)
    assert all(map(math.isnan, (found.top_1, found.top_10, found.regret, found.gini, found.discovered)))


def test_several_seeds_are_shown_as_mean_and_sample_deviation_and_one_alone() -> None:
    assert spread([1.0, 2.0, 6.0]).text(".2f") == "3.00 ± 2.65"
    assert spread([0.125]).text(".1f", 100, "%") == "12.5%"
    assert spread([1.0, math.nan]).text(".2f") == "–"


def test_gates_and_floors_are_passed_by_just_the_reactions_that_a_slow_search_finds() -> None:
    policy = small_policy()
    for tier, means in zip(policy.tiers, implied(policy), strict=True):
        bounds = [wilson(reactions, tier.least_views, policy.z) for reactions in range(tier.least_views + 1)]
        passing = [r for r, b in enumerate(bounds) if tier.gate is not None and b.low >= tier.gate]
        failing = [r for r, b in enumerate(bounds) if b.high < tier.floor]
        assert means.passes == (passing[0] if passing else None)
        assert means.fails == (failing[-1] if failing else None)
    first, second, _ = implied(policy)
    assert (first.clips, first.nominated, first.explored) == (15, 12, 3)
    assert (second.clips, second.nominated, second.of_a_dancer) == (5, None, 5)

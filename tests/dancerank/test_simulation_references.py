"""References spend the same budgets as the policies that they are compared with, and so does the replay."""

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import linprog

from dancerank.simulation.audience import REPORT_MS, Audience, Grant, Reactions
from dancerank.simulation.comparison import ALLOCATIONS, POLICY, Outcome, compare, outcome
from dancerank.simulation.references import exposures_of, oracle, popularity_only, uniform
from dancerank.simulation.replay import Replayed, replay
from dancerank.simulation.world import World
from ranking.pools.budgets import lane_capacity
from ranking.pools.policy import Exploration, Nomination, Policy
from schemas.errors import ConfigurationError
from schemas.modalities import Dimension
from tests.dancerank.simulated import HOUR_S, small_policy, small_world, some_clips


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


@pytest.fixture(scope="module")
def replayed(world: World) -> Replayed:
    return replay(world, small_policy(), Reactions(world))


@pytest.fixture(scope="module")
def compared(world: World) -> Outcome:
    return outcome(world, small_policy(), Reactions(world))


def test_the_replay_grants_nothing_beyond_a_budget_and_nothing_before_the_upload(
    world: World, replayed: Replayed
) -> None:
    policy = small_policy()
    assert {grant.tier for grant in replayed.grants} == {0, 1, 2}
    for budget, views in replayed.spent.items():
        assert views <= lane_capacity(policy, budget, budget.window_start_ms + policy.window_ms)
    granted: Counter[tuple[int, int]] = Counter()
    for grant in replayed.grants:
        granted[grant.tier, policy.window_start_ms(grant.at_ms)] += grant.exposures
        assert grant.at_ms >= world.arrivals_ms[grant.clip]
        assert grant.exposures == policy.tiers[grant.tier].exposures
    assert all(views <= policy.tiers[tier].capacity for (tier, _), views in granted.items())
    assert [grant.at_ms for grant in replayed.grants] == sorted(grant.at_ms for grant in replayed.grants)


def test_a_replay_ends_when_nothing_is_left_to_decide(world: World, replayed: Replayed) -> None:
    assert replayed.rules["nominated"] + replayed.rules["not-nominated"] + replayed.rules["queued"] >= len(world)
    assert sum(replayed.rules[rule] for rule in ("nominated", "explored", "promoted")) == len(replayed.grants)


def test_equal_seeds_give_equal_replays_and_policies_share_uploads_and_outcomes(world: World) -> None:
    again = replay(small_world(), small_policy(), Reactions(small_world()))
    shared = Reactions(world)
    longer = small_policy(window_s=12 * HOUR_S, version="other-1")
    other = replay(world, longer, shared)  # asked first, it has drawn other portions
    assert replay(world, small_policy(), shared).grants == again.grants
    assert other.grants != again.grants


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_references_grant_exactly_the_views_of_the_policy(seed: int) -> None:
    found = outcome(small_world(seed=seed), small_policy(), Reactions(small_world(seed=seed)))
    assert tuple(found.allocations) == ALLOCATIONS
    total = found.allocations[POLICY].exposures.sum()
    assert total > 0
    for allocation in found.allocations.values():
        assert allocation.exposures.sum() == total == sum(grant.exposures for grant in allocation.grants)
        assert all(grant.at_ms >= found.world.arrivals_ms[grant.clip] for grant in allocation.grants)


def test_the_oracle_spends_each_windows_views_and_popularity_each_tiers_at_each_moment(compared: Outcome) -> None:
    policy, grants = compared.policy, compared.allocations[POLICY].grants

    def by_window(given: tuple[Grant, ...]) -> Counter[int]:
        views: Counter[int] = Counter()
        for grant in given:
            views[policy.window_start_ms(grant.at_ms)] += grant.exposures
        return views

    assert by_window(compared.allocations["oracle"].grants) == by_window(grants)
    popular = compared.allocations["popularity only"].grants
    assert [g._replace(clip=0) for g in popular] == [g._replace(clip=0) for g in grants]


def test_uniform_gives_everybody_the_same_but_for_one_view(world: World) -> None:
    grants = uniform(world, [Grant(0, 3, 0, 1000), Grant(5, 4, 1, 7)])
    exposures = exposures_of(world, grants)
    assert exposures.sum() == 1007
    assert set(exposures.tolist()) == {1007 // len(world), 1007 // len(world) + 1}


def test_popularity_promotes_the_most_reactions_in_the_tier_below_and_shows_each_once_at_first(world: World) -> None:
    """Against a slow replay that recounts everything at every grant."""
    reactions = Reactions(world)
    grants = replay(world, small_policy(), reactions).grants
    given: list[Grant] = []
    for grant in grants:
        audience = Audience(world, reactions)
        for before in given:
            audience.grant(before)
        audience.report(grant.at_ms // REPORT_MS * REPORT_MS)
        tiers = {clip: max(g.tier for g in given if g.clip == clip) for clip in {g.clip for g in given}}
        here = [c for c in range(len(world)) if world.arrivals_ms[c] <= grant.at_ms]
        below = [c for c in here if tiers.get(c, -1) == grant.tier - 1] or [c for c in here if tiers[c] >= grant.tier]
        chosen = min(below, key=lambda clip: (-audience.reactions[clip], world.lots[clip]))
        given.append(grant._replace(clip=chosen))
    assert popularity_only(world, grants, reactions) == tuple(given)


@pytest.mark.parametrize("seed", range(6))
def test_no_allocation_within_windows_and_room_brings_more_than_the_oracle(seed: int) -> None:
    """Against linear programming over (clip, window)."""
    policy, rng = small_policy(), np.random.default_rng(seed)
    world = small_world(some_clips(30, seed=seed), seed=seed, days=1.0)
    grants = []
    for _ in range(15):
        clip = int(rng.integers(len(world)))
        at_ms = int(world.arrivals_ms[clip] + rng.integers(20 * HOUR_S * 1000))
        grants.append(Grant(at_ms, clip, 0, int(rng.integers(1, 3000))))
    most = max(2600, int(exposures_of(world, grants).max()))
    starts = sorted({policy.window_start_ms(grant.at_ms) for grant in grants})
    views = [sum(g.exposures for g in grants if policy.window_start_ms(g.at_ms) == start) for start in starts]
    pairs = [(c, w) for c in range(len(world)) for w, start in enumerate(starts)
             if world.arrivals_ms[c] < start + policy.window_ms]  # fmt: skip
    clips, windows = np.array(pairs).T
    best = linprog(
        -world.rates[clips],
        A_ub=np.arange(len(world))[:, None] == clips,
        b_ub=np.full(len(world), most),
        A_eq=np.arange(len(starts))[:, None] == windows,
        b_eq=views,
    )
    found = exposures_of(world, oracle(world, grants, policy))
    assert found.max() <= most
    assert float(world.rates @ found) == pytest.approx(-best.fun)


def test_comparing_replays_every_policy_in_every_world_and_tells_how_far_it_is() -> None:
    worlds = [small_world(seed=1), small_world(seed=2)]
    policies: list[Policy] = [small_policy(), small_policy(version="other-1", window_s=12 * HOUR_S)]
    reported: list[tuple[str, int, int]] = []
    found = compare(worlds, policies, lambda *step: reported.append(step))
    assert [[(o.policy.version, o.world.seed) for o in row] for row in found] == [
        [("small-1", 1), ("small-1", 2)],
        [("other-1", 1), ("other-1", 2)],
    ]
    assert [done for _, done, _ in reported] == [1, 2, 3, 4]
    alone = compare(worlds[1:], policies[:1], lambda *_: None)[0][0]
    assert alone.allocations[POLICY].grants == found[0][1].allocations[POLICY].grants


def test_a_policy_that_grants_nothing_is_not_compared(world: World) -> None:
    nomination = Nomination(thresholds={Dimension.FUSED: 60.0}, fewest_clips=1000)
    without_entries = small_policy(nomination=nomination, exploration=Exploration(share=0.0))
    with pytest.raises(
        ConfigurationError, match=r"small-1 granted no impressions to the 128 clips of seed 1; .* is 1000"
    ):
        outcome(world, without_entries, Reactions(world))


def test_use_of_tiers_counts_the_windows_with_uploads(compared: Outcome) -> None:
    policy, end_ms = compared.policy, compared.world.end_ms
    for index, (tier, used) in enumerate(zip(policy.tiers, compared.tiers, strict=True)):
        grants = [g for g in compared.allocations[POLICY].grants if g.tier == index and g.at_ms < end_ms]
        assert (used.entries, used.granted) == (len(grants), len(grants) * tier.exposures)
        assert used.capacity == 8 * tier.capacity  # two days of six hours each

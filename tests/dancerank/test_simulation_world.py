"""The simulated world: who comes when, how good a clip is, which impression ends in a reaction."""

import numpy as np
import pytest
from scipy.stats import binom, percentileofscore

from dancerank.simulation.audience import DELIVERY_MS, Audience, Grant, Reactions
from dancerank.simulation.standings import Standings
from dancerank.simulation.world import (
    BEFORE,
    DAY_MS,
    LEAST_RATE,
    MOST_RATE,
    eventual_percentiles,
    make_world,
    reaction_rates,
)
from schemas.errors import ConfigurationError
from schemas.modalities import Dimension
from tests.dancerank.simulated import small_world, some_clips


def test_a_unit_of_virality_doubles_the_rate_and_a_challenges_median_clip_has_the_median_rate() -> None:
    virality = np.array([10.0, 11.0, 12.0, 3.0, 4.0, 5.0])
    challenges = ["a", "a", "a", "b", "b", "b"]
    np.testing.assert_allclose(reaction_rates(virality, challenges, 0.04), [0.02, 0.04, 0.08] * 2)
    extreme = reaction_rates(np.array([-500.0, 0.0, 500.0]), ["a"] * 3, 0.04)
    np.testing.assert_allclose(extreme, [LEAST_RATE, 0.04, MOST_RATE])


def test_rates_rise_with_virality_within_a_challenge() -> None:
    clips = some_clips(300)
    rates = reaction_rates(np.array([c.virality for c in clips]), [c.challenge_id for c in clips])
    for challenge in {clip.challenge_id for clip in clips}:
        rows = [i for i, clip in enumerate(clips) if clip.challenge_id == challenge]
        by_virality = sorted(rows, key=lambda i: clips[i].virality)
        assert (np.diff(rates[by_virality]) >= 0).all()


def test_percentiles_count_the_clips_that_came_so_far_as_a_slow_count_does() -> None:
    rng = np.random.default_rng(3)
    standings = Standings()
    seen: dict[tuple[str, Dimension], list[float]] = {}
    for number in range(200):
        challenge = f"challenge-{rng.integers(3)}"
        scores = {Dimension.FUSED: float(rng.integers(12))}  # ties
        if number % 3:
            scores[Dimension.FACIAL] = float(rng.normal())
        found = standings.place(challenge, scores)
        assert set(found) == set(scores)
        for dimension, score in scores.items():
            known = seen.setdefault((challenge, dimension), [])
            known.append(score)
            assert found[dimension] == pytest.approx(percentileofscore(known, score, "mean"))
            below, equal = sum(s < score for s in known), sum(s == score for s in known)
            assert found[dimension] == pytest.approx(100 * (below + equal / 2) / len(known))
        assert standings.clips(challenge) == len(seen[challenge, Dimension.FUSED])


def test_eventual_percentiles_are_those_of_each_challenge() -> None:
    clips = some_clips(90)
    virality = np.round([clip.virality for clip in clips])
    found = eventual_percentiles(virality, [clip.challenge_id for clip in clips])
    for i, clip in enumerate(clips):
        rivals = [virality[j] for j, other in enumerate(clips) if other.challenge_id == clip.challenge_id]
        below, equal = sum(v < virality[i] for v in rivals), sum(v == virality[i] for v in rivals)
        assert found[i] == pytest.approx(100 * (below + equal / 2) / len(rivals))


def test_the_first_clips_came_before_and_make_their_dancers_known() -> None:
    clips = some_clips(100)
    world = small_world(clips)
    before = int(BEFORE * 100)
    assert world.clips == tuple(clips[before:])
    known = {clip.dancer_id for clip in clips[:before]}
    assert world.newcomers == {clip.dancer_id for clip in world.clips} - known
    assert world.newcomers
    first = world.rated[0]
    assert first.challenge_clips == 1 + sum(c.challenge_id == first.challenge_id for c in clips[:before])
    assert [rated.clip_id for rated in world.rated] == [clip.clip_id for clip in world.clips]


def test_arrivals_are_in_order_and_within_the_period_and_recorded_ones_keep_their_distances() -> None:
    world = small_world(days=3.0)
    assert (np.diff(world.arrivals_ms) >= 0).all()
    assert 0 <= world.arrivals_ms[0] <= world.arrivals_ms[-1] < 3 * DAY_MS
    times = [10**12 + 1000 * i * i for i in range(160)]
    recorded = small_world(uploaded_at_ms=times, days=3.0).arrivals_ms
    original = np.array(times[-len(recorded) :])
    share = (original - original[0]) / (original[-1] - original[0])
    np.testing.assert_allclose(recorded / (3 * DAY_MS), share, atol=1e-6)
    assert recorded[-1] < 3 * DAY_MS
    same = small_world(uploaded_at_ms=[5] * 160).arrivals_ms
    assert (np.diff(same) > 0).all()


def test_equal_seeds_give_equal_worlds_and_others_other_arrivals() -> None:
    first, again, other = small_world(seed=4), small_world(seed=4), small_world(seed=5)
    np.testing.assert_array_equal(first.arrivals_ms, again.arrivals_ms)
    assert first.rated == again.rated
    assert not np.array_equal(first.arrivals_ms, other.arrivals_ms)


@pytest.mark.parametrize(
    ("count", "values", "field"),
    [
        (160, {"days": 0.0}, "days"),
        (160, {"days": float("nan")}, "days"),
        (160, {"days": 1000.0}, "days"),
        (160, {"median_rate": 0.0}, "median_rate"),
        (160, {"median_rate": 0.9}, "median_rate"),
        (10, {}, "clips"),
    ],
)
def test_a_world_that_cannot_be_is_refused_by_its_field(count: int, values: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_world(some_clips(count), **({"seed": 1, "days": 2.0} | values))  # type: ignore[arg-type]
    assert caught.value.field == field


def test_the_kth_view_of_a_clip_has_one_outcome_whoever_asks_and_in_whatever_portions() -> None:
    world = small_world()
    whole, parts = Reactions(world), Reactions(world)
    for clip in (0, 3, 100):
        counts = [whole.among_first(clip, views) for views in range(2001)]
        assert set(np.diff(counts).tolist()) <= {0, 1}
        assert parts.among_first(clip, 2000) == counts[2000]
        for views in (1999, 7, 0, 1000, 64, 65):
            assert parts.among_first(clip, views) == counts[views]
    assert Reactions(small_world(seed=2)).among_first(3, 2000) != whole.among_first(3, 2000)


def test_views_end_in_reactions_independently_at_the_true_rate() -> None:
    world = small_world()
    reactions = Reactions(world)
    for clip in range(0, len(world), 8):
        rate, views = world.rates[clip], 20_000
        low, high = binom.interval(1 - 1e-6, views, rate)
        assert low <= reactions.among_first(clip, views) <= high
    clip = int(np.argmax(world.rates))
    counts = np.array([reactions.among_first(clip, views) for views in range(20_001)])
    gaps = np.diff(np.flatnonzero(np.diff(counts)))
    rate = world.rates[clip]
    assert gaps.var() == pytest.approx((1 - rate) / rate**2, rel=0.2)  # geometric


def test_a_grant_is_delivered_evenly_and_whole_and_reactions_are_those_of_its_views() -> None:
    world = small_world()
    reactions = Reactions(world)
    audience = Audience(world, reactions)
    audience.grant(Grant(0, 5, 0, 1000))
    for quarter, views in enumerate((250, 500, 1500, 2500), start=1):
        at_ms = quarter * DELIVERY_MS // 4
        assert audience.report(at_ms) == [5]
        assert (audience.views[5], audience.reactions[5]) == (views, reactions.among_first(5, views))
        assert audience.report(at_ms) == []
        if quarter == 2:
            audience.grant(Grant(at_ms, 5, 1, 3000))
    assert not audience.is_idle
    assert audience.report(10 * DELIVERY_MS) == [5]
    assert audience.views[5] == 4000
    assert audience.is_idle
    assert audience.views.sum() == 4000

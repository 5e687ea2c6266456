"""Observations of a clip give the same result in any order and with any repetitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.pools.bounds import wilson
from ranking.pools.ledger import PoolLedger
from ranking.pools.machine import SKEW_MS
from ranking.pools.state import Counts, Engaged
from tests.ranking.pools.examples import (
    POLICY,
    WINDOW_MS,
    engaged,
    explored,
    in_tier_2,
    known,
    only,
    plain,
    policy,
    rated,
    removed,
)

LATE = WINDOW_MS - 1


@pytest.fixture
def ledger() -> PoolLedger:
    return PoolLedger(POLICY)


OBSERVATIONS = st.lists(
    st.builds(
        lambda clip_id, at_ms, reactions, views: engaged(clip_id, reactions, views, at_ms=1000, observed_at_ms=at_ms),
        st.sampled_from(["c1", "c2"]),
        st.integers(0, 5),
        st.integers(0, 12),
        st.none() | st.integers(0, 12),
    ),
    max_size=12,
)


def known_after(observations: list[Engaged]) -> tuple[list[Counts], list[Counts]]:
    ledger = PoolLedger(POLICY)
    for clip_id in ("c1", "c2"):
        ledger.handle(plain(clip_id, challenge_id=f"x{clip_id}"))
    for observation in observations:
        ledger.handle(observation)
    clips = [known(ledger, clip_id) for clip_id in ("c1", "c2")]
    return [clip.seen for clip in clips], [ledger.counts(clip.cohort) for clip in clips]


@given(OBSERVATIONS, st.data())
def test_order_and_duplicates_make_no_difference(observations: list[Engaged], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(observations), max_size=6)) if observations else []
    shuffled = data.draw(st.permutations([*observations, *again]))
    assert known_after(shuffled) == known_after(observations)


@given(OBSERVATIONS)
def test_the_latest_observation_holds(observations: list[Engaged]) -> None:
    seen, learned = known_after(observations)
    for position, clip_id in enumerate(("c1", "c2")):
        own = [each for each in observations if each.clip_id == clip_id]
        reactions = max(((each.observed_at_ms, each.reactions) for each in own), default=(0, 0))[1]
        views = max(((each.observed_at_ms, each.views) for each in own if each.views is not None), default=(0, 0))[1]
        assert seen[position] == learned[position] == (min(reactions, views), views)  # nothing was granted


def test_what_is_known_of_a_kind_is_the_sum_over_its_clips() -> None:
    ledger = PoolLedger(policy())
    for n in range(20):
        ledger.handle(plain(f"c{n}", challenge_id="x"))
        for moment in (3, 1, 2):
            ledger.handle(engaged(f"c{n}", n * moment, 100 * moment, at_ms=moment))
    assert ledger.counts(known(ledger, "c0").cohort) == (3 * sum(range(20)), 300 * 20)


def test_what_was_seen_before_a_clip_was_in_a_pool_counts_when_it_is(ledger: PoolLedger) -> None:
    ledger.handle(plain())
    assert ledger.handle(engaged(reactions=40, views=200, at_ms=10)) == ()
    assert ledger.counts(known(ledger).cohort) == Counts(40, 200)
    decision = only(ledger.handle(explored(at_ms=LATE)))
    assert (decision.rule, decision.reactions, decision.views) == ("explored", 40, 200)
    assert only(ledger.handle(engaged(reactions=41, views=201, at_ms=LATE))).rule == "promoted"


def test_counts_that_fall_are_believed(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(engaged(reactions=10, views=90, at_ms=10))
    ledger.handle(engaged(reactions=4, views=80, at_ms=20))
    assert known(ledger).seen == Counts(4, 80)
    assert ledger.counts(known(ledger).cohort) == Counts(4, 80)


def test_a_viewer_who_reacts_three_times_counts_once_at_most(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(engaged(reactions=150, views=50, at_ms=10))
    assert known(ledger).seen == Counts(50, 50)


def test_views_granted_stand_in_for_unknown_ones_to_promote(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    assert ledger.handle(engaged(reactions=14, views=None, at_ms=10)) == ()
    decision = only(ledger.handle(engaged(reactions=15, views=None, at_ms=20)))
    assert (decision.rule, decision.reactions, decision.views) == ("promoted", 15, 100)
    assert known(ledger).seen == Counts(15, 500)
    assert ledger.counts(known(ledger).cohort) == Counts(15, 500)


def test_unknown_views_count_against_no_clip(ledger: PoolLedger) -> None:
    in_tier_2(ledger)
    ledger.handle(rated("c2"))
    ledger.handle(engaged("c2", 16, None, at_ms=10))
    assert wilson(16, 500, POLICY.z).high < 0.1
    assert ledger.handle(engaged("c2", 15, None, at_ms=20)) == ()
    assert only(ledger.handle(engaged("c2", 15, 500, at_ms=30))).rule == "demoted"


def test_an_observation_without_views_keeps_those_last_known(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(engaged(reactions=90, views=5000, at_ms=10))
    ledger.handle(engaged(reactions=95, views=None, at_ms=20))
    assert known(ledger).seen == Counts(95, 5000)


def test_what_cannot_be_used_is_deferred_and_counted(ledger: PoolLedger) -> None:
    ledger.handle(rated("gone"))
    ledger.handle(removed("gone", at_ms=5))
    for clip_id in ("unknown", "gone", "gone"):
        assert ledger.handle(engaged(clip_id, 1, 1, at_ms=10)) == ()
    assert ledger.deferred == {"unknown_clip": 1, "deleted_clip": 2}


def test_an_observation_from_the_future_does_not_drown_those_to_come(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(engaged(reactions=1, views=9, at_ms=10, observed_at_ms=10 + SKEW_MS + 1))
    assert ledger.deferred == {"future_observation": 1}
    ledger.handle(engaged(reactions=2, views=20, at_ms=10, observed_at_ms=10 + SKEW_MS))
    assert known(ledger).seen == Counts(2, 20)

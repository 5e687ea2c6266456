"""How clips leave: they expire, are deleted, or have no tier in another policy."""

from typing import Any

import pytest

from ranking.pools.ledger import PoolLedger
from ranking.pools.machine import leaves_at_ms, transition
from ranking.pools.state import NOTHING, Counts
from tests.ranking.pools.examples import (
    POLICY,
    STAY_S,
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
    reviewed,
    tiers,
)

LATE = WINDOW_MS - 1


@pytest.fixture
def ledger() -> PoolLedger:
    return PoolLedger(POLICY)


@pytest.mark.parametrize("upload", [rated(at_ms=3), plain(at_ms=3)])
def test_a_clip_expires_when_its_stay_is_over(ledger: PoolLedger, upload: Any) -> None:
    ledger.handle(upload)
    tier = known(ledger).tier
    end_ms = 3 + STAY_S * 1000
    assert leaves_at_ms(POLICY, known(ledger)) == end_ms
    assert transition(POLICY, ledger, reviewed(at_ms=end_ms - 1)) == NOTHING
    decision = only(ledger.handle(reviewed(at_ms=end_ms)))
    assert (decision.rule, decision.previous_tier, decision.tier) == ("expired", tier, None)
    assert transition(POLICY, ledger, reviewed(at_ms=end_ms + 1)) == NOTHING


def test_each_entry_begins_a_new_stay(ledger: PoolLedger) -> None:
    in_tier_2(ledger)
    assert leaves_at_ms(POLICY, known(ledger)) == 10 + STAY_S * 1000


def test_a_queued_clip_expires_too(ledger: PoolLedger) -> None:
    for n in range(8):
        ledger.handle(rated(f"c{n}"))
    assert only(ledger.handle(reviewed("c7", at_ms=STAY_S * 1000))).rule == "expired"
    assert known(ledger, "c7").wants is None


def test_a_candidate_whose_stay_is_over_is_not_explored(ledger: PoolLedger) -> None:
    ledger.handle(plain())
    assert transition(POLICY, ledger, explored(at_ms=STAY_S * 1000)) == NOTHING


def test_what_is_seen_of_a_clip_that_left_is_still_learned_from(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(reviewed(at_ms=STAY_S * 1000))
    ledger.handle(engaged(reactions=5, views=60, at_ms=STAY_S * 1000 + 1))
    assert ledger.counts(known(ledger).cohort) == Counts(5, 60)


def test_a_deleted_clip_is_forgotten_and_never_returns(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.handle(engaged(reactions=9, views=90, at_ms=10))
    decision = only(ledger.handle(removed(at_ms=20)))
    assert (decision.number, decision.rule, decision.previous_tier, decision.tier) == (1, "deleted", "t1", None)
    assert ledger.counts(known(ledger).cohort) == Counts(0, 0)
    clip = known(ledger)
    assert (clip.dancer_id, clip.percentile, clip.nominated_by, clip.seen) == ("", None, None, Counts(0, 0))
    assert clip.granted == 100
    for event in (removed(at_ms=30), rated(at_ms=30), reviewed(at_ms=30), explored(at_ms=LATE)):
        assert transition(POLICY, ledger, event) == NOTHING


def test_an_upload_that_comes_after_its_deletion_is_ignored(ledger: PoolLedger) -> None:
    assert ledger.handle(removed(at_ms=1)) == ()
    assert transition(POLICY, ledger, rated(at_ms=2)) == NOTHING
    assert ledger.due(10**12) == []
    assert ledger.handle(engaged(at_ms=3)) == ()
    assert ledger.deferred == {"deleted_clip": 1}


def test_what_is_unknown_is_neither_reviewed_nor_explored(ledger: PoolLedger) -> None:
    assert transition(POLICY, ledger, reviewed(at_ms=1)) == NOTHING
    assert transition(POLICY, ledger, explored(at_ms=LATE)) == NOTHING


# Another policy


RENAMED = policy(version="p2", tiers=tiers(t2={"name": "other"}))


@pytest.mark.parametrize("event", [engaged(reactions=31, views=120, at_ms=20), reviewed(at_ms=20)])
def test_a_clip_whose_tier_is_no_more_is_retired(ledger: PoolLedger, event: Any) -> None:
    in_tier_2(ledger)
    ledger.adopt(RENAMED)
    assert [clip.clip_id for clip in ledger.due(20)] == ["c1"]
    decision = only(ledger.handle(event))
    assert (decision.rule, decision.previous_tier, decision.tier) == ("retired", "t2", None)
    assert decision.policy_version == "p2"


def test_a_clip_held_for_a_tier_that_is_no_more_goes_for_the_one_in_its_place(ledger: PoolLedger) -> None:
    for n in range(4):
        in_tier_2(ledger, f"c{n}") if n < 3 else ledger.handle(rated(f"c{n}"))
    ledger.handle(engaged("c3", 30, 100, at_ms=20))
    ledger.adopt(RENAMED)
    assert [d.tier for d in ledger.round(30) if d.clip_id == "c3"] == ["other"]


def test_a_clip_queued_for_a_first_tier_that_is_no_more_goes_for_the_new_one(ledger: PoolLedger) -> None:
    for n in range(8):
        ledger.handle(rated(f"c{n}"))
    ledger.adopt(policy(version="p2", tiers=tiers(t1={"name": "new"})))
    rules = {d.clip_id: (d.rule, d.tier) for d in ledger.round(10)}
    assert rules["c7"] == ("nominated", "new")
    assert rules["c0"] == ("retired", None)


def test_a_shorter_stay_counts_at_once(ledger: PoolLedger) -> None:
    ledger.handle(rated())
    ledger.adopt(policy(version="p2", tiers=tiers(t1={"stay_s": 1})))
    assert [d.rule for d in ledger.round(1000)] == ["expired"]

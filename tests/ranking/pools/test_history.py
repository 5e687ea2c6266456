"""The past of the pools, from their tables, equals what a ledger in memory granted and decided."""

from collections import Counter

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_leases
from ranking.pools.service.history import PoolHistory
from schemas.clock import ManualClock
from schemas.errors import NotReady, StoreUnavailable
from schemas.questions.pool_history import PoolHistoryAnswer
from tests.ranking.databases import UNREACHABLE
from tests.ranking.pools.examples import POLICY, WINDOW_MS, engaged, plain, policy, rated, removed, tiers
from tests.ranking.pools.rows import ADOPTED_MS, Pools


@pytest.fixture
def pools(any_database: Database) -> Pools:
    return Pools(any_database, POLICY)


def history(database: Database, at_ms: int) -> PoolHistory:
    return PoolHistory(database, ManualClock(start_ms=at_ms))


def used(answer: PoolHistoryAnswer) -> dict[int, dict[str, int]]:
    return {window.start_ms: {tier.tier: tier.used for tier in window.tiers} for window in answer.windows}


def test_budgets_by_window_are_the_sums_of_what_was_granted_in_it(pools: Pools) -> None:
    pools.handle(rated("c1"), engaged("c1", 30, 100, at_ms=10), rated("c2", at_ms=20))
    pools.handle(rated("c3", at_ms=2 * WINDOW_MS + 5), removed("c3", at_ms=2 * WINDOW_MS + 6))
    pools.write()
    expected = {start_ms: Counter[str]() for start_ms in range(0, 3 * WINDOW_MS, WINDOW_MS)}
    for decision in pools.decisions:
        if decision.exposures and decision.tier is not None:
            expected[decision.decided_at_ms // WINDOW_MS * WINDOW_MS][decision.tier] += decision.exposures
    answer = history(pools.database, 2 * WINDOW_MS + 50).windows(10)
    assert used(answer) == {at: {t.name: of[t.name] for t in POLICY.tiers} for at, of in expected.items()}
    first = answer.windows[0].tiers[0]
    assert [(lane.lane, lane.used) for lane in first.lanes] == [("nominated", 200)]
    assert [tier.capacity for tier in answer.windows[1].tiers] == [tier.capacity for tier in POLICY.tiers]
    assert used(history(pools.database, 2 * WINDOW_MS + 50).windows(2)).keys() == {WINDOW_MS, 2 * WINDOW_MS}


def test_what_a_worker_granted_from_its_lease_counts_and_the_rest_of_the_lease_does_not(pools: Pools) -> None:
    pools.handle(rated("c1"))
    pools.write()
    lease = {"tier": "t1", "window_start_ms": 0, "lane": "nominated", "worker": "w", "leased": 400, "used": 300}
    with pools.database.writing() as connection:
        connection.execute(sa.insert(pool_leases), [lease])
    (window,) = history(pools.database, 50).windows(1).windows
    assert (window.tiers[0].used, window.tiers[0].lanes[0].used) == (400, 400)


def test_a_window_has_the_capacities_of_the_policy_at_its_end(pools: Pools) -> None:
    pools.handle(rated("c1"))
    fewer = policy(version="p2", tiers=tiers(t1={"capacity": 900})[:1] + tiers()[1:])
    pools.adopt(fewer)
    pools.write()
    answer = history(pools.database, WINDOW_MS + 5).windows(5)
    assert [(window.policy_version, window.tiers[0].capacity) for window in answer.windows] == [("p2", 900)] * 2
    assert answer.windows[0].end_ms == answer.windows[1].start_ms == WINDOW_MS
    assert 2 * ADOPTED_MS < WINDOW_MS


def test_decisions_are_paged_from_the_newest_each_once(pools: Pools) -> None:
    pools.handle(rated("c1"), engaged("c1", 30, 100, at_ms=10), plain("c2"), rated("c3"), removed("c3", at_ms=20))
    pools.write()
    reader, after, found = history(pools.database, 50), None, []
    while True:
        page = reader.decisions(after, 2)
        found += page.decisions
        if (after := page.next_cursor) is None:
            break
    assert [(each.decision.clip_id, each.decision.number) for each in reversed(found)] == [
        (d.clip_id, d.number) for d in pools.decisions
    ]
    assert [each.sequence for each in found] == [5, 4, 3, 2, 1]
    assert found[-1].decision.sentence.startswith("nominated into t1")
    assert found[-1].challenge_id == "challenge-of-c1"


def test_without_a_policy_there_is_no_history_yet_and_no_decision(any_database: Database) -> None:
    with pytest.raises(NotReady, match="no policy yet"):
        history(any_database, 50).windows(1)
    assert history(any_database, 50).decisions(None, 10).decisions == []


def test_an_unreachable_database_is_a_retriable_error() -> None:
    reader = history(Database(UNREACHABLE), 0)
    with pytest.raises(StoreUnavailable):
        reader.windows(1)
    with pytest.raises(StoreUnavailable):
        reader.decisions(None, 1)

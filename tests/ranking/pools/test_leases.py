"""Leases: no order of workers, crashes and expiries overspends a budget, and workers do not wait for each other."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ranking.database.connection import Database
from ranking.database.tables import pool_budgets, pool_leases, pool_workers
from ranking.pools.budgets import lane_capacity
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Caps, Exploration, Policy
from ranking.pools.service.facts import Facts
from ranking.pools.service.leases import LEASE_S
from ranking.pools.service.rounds import hold_round
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PoolTransaction
from ranking.pools.state import Budget, PoolEvent
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import SCOPES, Limit
from tests.ranking.databases import migrated
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.audit import Owner, audit_database, stored_decisions
from tests.ranking.pools.examples import POLICY, WINDOW_MS, engaged, policy, rated, removed, tiers
from tests.ranking.pools.service import Service, observed, scored

LEASE_MS = round(LEASE_S * 1000)

SCARCE = policy(
    tiers=tiers(t1={"capacity": 900}, t2={"capacity": 1300}, t3={"capacity": 3100}),
    exploration=Exploration(share=0.3),
    caps=Caps(dancer=0.5, challenge=0.8),
)
PLENTY = policy(
    tiers=tiers(t1={"capacity": 10**6}, t2={"capacity": 10**6}, t3={"capacity": 10**6}),
    exploration=Exploration(share=0.3),
)


class Crash(Exception):
    """A worker ends here."""


class Workers:
    """Stores of one database; a worker that crashed is followed by another, which knows nothing of its leases."""

    def __init__(self, database: Database, policy: Policy, count: int) -> None:
        self.database, self.policy = database, policy
        self.stores = [PoolStore(database) for _ in range(count)]
        self.adoption = self.stores[0].adopt(policy, 0)

    def decide(self, number: int, events: list[PoolEvent], at_ms: int, *, crash: str | None = None) -> None:
        """``crash`` says where: before the lease was taken, with it, or in the middle."""
        calls = 0

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            nonlocal calls
            calls += 1
            for event in events:
                transaction.state.handle(event)
            if (crash, calls) in (("at once", 1), ("leased", 3)):
                raise Crash

        clip_ids = [event.clip_id for event in events]
        with suppress(Crash):
            self.stores[number].decide(self.policy, self.adoption, Batch(at_ms, clip_ids), handle)
        if crash is not None:
            self.stores[number] = PoolStore(self.database)

    def check(self, at_ms: int) -> None:
        """What is used and what is leased are within every budget that there is now."""
        gone: dict[Budget, int] = {}
        with self.database.reading() as connection:
            for row in connection.execute(sa.select(pool_budgets)):
                gone[Budget(row.tier, row.window_start_ms, SCOPES[row.scope], row.holder)] = row.used
            for row in connection.execute(sa.select(pool_leases)):
                assert 0 <= row.used <= row.leased
                for scope in (SCOPES[row.lane], Limit.TIER):
                    budget = Budget(row.tier, row.window_start_ms, scope)
                    gone[budget] = gone.get(budget, 0) + row.leased
        for budget, views in gone.items():
            assert views <= lane_capacity(self.policy, budget, at_ms), (budget, views)


def cleared(database: Database) -> Database:
    with database.writing() as connection:
        for table in sa.inspect(connection).get_table_names():
            if table.startswith("pool_") and table != "pool_counters":
                connection.execute(sa.text(f"DELETE FROM {table}"))
        connection.execute(sa.text("UPDATE pool_counters SET value = 0"))
    return database


WORKERS = st.integers(0, 2)
OWNERS = {f"c{number}": Owner("def"[number % 3], "xy"[number % 2]) for number in range(20)}
CLIPS = st.sampled_from(sorted(OWNERS))


class ManyWorkers(RuleBasedStateMachine):
    """Three workers on few clips and scarce budgets."""

    database: Database

    @initialize()
    def start(self) -> None:
        self.workers = Workers(cleared(self.database), SCARCE, 3)
        self.now_ms = WINDOW_MS

    def uploads(self, clip_ids: list[str], percentile: float) -> list[PoolEvent]:
        return [
            rated(clip_id, at_ms=self.now_ms, dancer_id=OWNERS[clip_id].dancer, challenge_id=OWNERS[clip_id].challenge,
                  percentiles={Dimension.FUSED: percentile})
            for clip_id in clip_ids
        ]  # fmt: skip

    @rule(number=WORKERS, clip_ids=st.lists(CLIPS, min_size=1, max_size=6), percentile=st.sampled_from([50.0, 90.0]))
    def rate(self, number: int, clip_ids: list[str], percentile: float) -> None:
        self.workers.decide(number, self.uploads(clip_ids, percentile), self.now_ms)

    @rule(number=WORKERS, clip_ids=st.lists(CLIPS, min_size=1, max_size=6), share=st.sampled_from([0.0, 0.5]))
    def engage(self, number: int, clip_ids: list[str], share: float) -> None:
        reports: list[PoolEvent] = [engaged(clip, int(2000 * share), 2000, at_ms=self.now_ms) for clip in clip_ids]
        self.workers.decide(number, reports, self.now_ms)

    @rule(number=WORKERS, clip_ids=st.lists(CLIPS, min_size=1, max_size=6),
          where=st.sampled_from(["at once", "leased", "afterwards"]))  # fmt: skip
    def crash(self, number: int, clip_ids: list[str], where: str) -> None:
        self.workers.decide(number, self.uploads(clip_ids, 90.0), self.now_ms, crash=where)

    @rule(number=WORKERS, clip_id=CLIPS)
    def remove(self, number: int, clip_id: str) -> None:
        self.workers.decide(number, [removed(clip_id, at_ms=self.now_ms)], self.now_ms)

    @rule(number=WORKERS)
    def round(self, number: int) -> None:
        for _ in hold_round(self.workers.stores[number], SCARCE, self.workers.adoption, lambda: self.now_ms):
            pass

    @rule(number=WORKERS)
    def tidy(self, number: int) -> None:
        self.workers.stores[number].tidy_leases(SCARCE, self.now_ms)

    @rule(number=WORKERS)
    def leave(self, number: int) -> None:
        self.workers.stores[number].leave()

    @rule(ms=st.sampled_from([1, WINDOW_MS // 4, LEASE_MS + 1, WINDOW_MS]))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @invariant()
    def no_budget_is_overspent_or_leased_twice(self) -> None:
        self.workers.check(self.now_ms)

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            audit_database(self.database, {SCARCE.version: SCARCE}, OWNERS)
            assert self.workers.stores[0].replay().difference is None


def test_no_order_of_workers_crashes_and_expiries_overspends_or_leases_twice() -> None:
    with migrated("sqlite://") as here:

        class Here(ManyWorkers):
            database = here

        run_state_machine_as_test(Here, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


@pytest.fixture
def service(any_database: Database) -> Service:
    made = Service(any_database)
    made.fill()
    return made


def comparable(decision: PoolDecision) -> PoolDecision:
    """What others have leased is not left for a worker."""
    return msgspec.structs.replace(decision, budget_left=None)


def test_several_workers_decide_as_one_where_no_budget_is_short(any_database: Database) -> None:
    workers, ledger = Workers(any_database, PLENTY, 3), PoolLedger(PLENTY)
    expected: list[PoolDecision] = []
    for step in range(24):
        at_ms = NOW_MS + 1000 * step
        events: list[PoolEvent] = [
            rated(f"c{step}-{n}", at_ms=at_ms, percentiles={Dimension.FUSED: 95.0 if n % 3 else 40.0}) for n in range(4)
        ]
        events += [
            engaged(f"c{before}-{n}", (7 * before + n) % 40, 150, at_ms=at_ms) for before in range(step) for n in (0, 1)
        ]
        workers.decide(step % 3, events, at_ms)
        expected += [decision for event in events for decision in ledger.handle(event)]
        if step % 5 == 4:
            parts = hold_round(workers.stores[step % 2], PLENTY, workers.adoption, lambda at_ms=at_ms: at_ms)
            made = [decision for part in parts for decision in part]
            again = ledger.round(at_ms)
            assert list(map(comparable, made)) == list(map(comparable, again))
            expected += again
        workers.check(at_ms)
    assert list(map(comparable, stored_decisions(any_database))) == list(map(comparable, expected))
    assert {"nominated", "explored", "promoted"} <= {decision.rule for decision in expected}
    assert workers.stores[0].replay().difference is None


def leased(service: Service) -> list[tuple[str, int, int]]:
    return [(row["lane"], row["leased"], row["used"]) for row in service.rows(pool_leases)]


def budgets(service: Service) -> dict[str, int]:
    return {row["scope"]: row["used"] for row in service.rows(pool_budgets) if not row["holder"]}


def test_a_lease_is_for_more_than_one_batch_and_what_is_not_used_is_returned(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    ((lane, views, used),) = leased(service)
    assert (lane, used, budgets(service)) == ("nominated", 100, {})
    assert 100 < views < 700, "another worker gets its share"
    service.worker.round()
    assert leased(service) == [(lane, views, used)], "it may be needed on the next batch"
    service.clock.advance(10)
    service.worker.round()
    assert leased(service) == []
    assert budgets(service) == {"nominated": 100, "tier": 100}


def test_a_worker_that_stops_returns_its_leases(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    service.worker.leave()
    assert leased(service) == []
    assert budgets(service) == {"nominated": 100, "tier": 100}
    assert [row["expires_at_ms"] for row in service.rows(pool_workers)] == [None]


def test_a_lease_of_a_dead_worker_expires_and_can_be_leased_again(any_database: Database) -> None:
    service = Service(any_database, SCARCE)
    service.fill()
    dead, heir = PoolStore(any_database), PoolStore(any_database)
    first = service.another(SCARCE, store=dead)
    service.feed(scored("c1", 0.9), worker=first)
    with any_database.writing() as connection:  # it leased all that there is
        connection.execute(sa.update(pool_leases).values(leased=630))
    second = service.another(SCARCE, store=heir)
    service.feed(scored("c2", 0.9, dancer_id="e"), worker=second)
    assert service.rules("c2") == ["queued"]
    service.clock.advance(LEASE_S - 1)
    second.round()
    assert service.rules("c2") == ["queued"]
    service.clock.advance(10)
    second.round()
    second.round()
    service.clock.advance(10)
    second.round()
    assert service.rules("c2") == ["queued", "nominated"]
    assert stored_decisions(any_database)[-1].budget_left == 630 - 200


def test_a_worker_whose_lease_has_expired_joins_again_and_loses_nothing(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    service.clock.advance(LEASE_S + 1)
    PoolStore(service.database).tidy_leases(POLICY, service.clock.now_ms())
    assert leased(service) == []
    service.feed(scored("c2", 0.95))
    assert service.rules("c2") == ["nominated"]
    assert len(service.rows(pool_workers)) == 2
    assert service.pools.replay().difference is None


@contextmanager
def elsewhere() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


@pytest.mark.postgresql
def test_workers_on_different_clips_do_not_wait_for_each_other(postgresql_database: Database) -> None:
    """Though both grant from one tier, one challenge's cap and one dancer's."""
    workers = Workers(postgresql_database, PLENTY, 2)
    same = {"dancer_id": "d", "challenge_id": "x"}
    workers.decide(1, [rated("c0", at_ms=NOW_MS, **same)], NOW_MS)

    with elsewhere() as run:

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            transaction.state.handle(rated("c1", at_ms=NOW_MS, **same))
            run(workers.decide, 1, [rated("c2", at_ms=NOW_MS, **same)], NOW_MS).result(timeout=60)

        workers.stores[0].decide(PLENTY, workers.adoption, Batch(NOW_MS, ["c1"]), handle)
    assert {decision.clip_id for decision in stored_decisions(postgresql_database)} == {"c0", "c1", "c2"}
    workers.check(NOW_MS)


@pytest.mark.postgresql
def test_a_cap_that_another_worker_has_used_up_meanwhile_is_not_overspent(postgresql_database: Database) -> None:
    roomy = tiers(t1={"capacity": 10**6}, t2={"capacity": 4 * 10**6}, t3={"capacity": 10**7})
    narrow = policy(tiers=roomy, caps=Caps(dancer=0.0001, challenge=1.0))
    workers = Workers(postgresql_database, narrow, 2)
    calls = 0

    with elsewhere() as run:

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            nonlocal calls
            calls += 1
            transaction.state.handle(rated("c1", at_ms=NOW_MS, dancer_id="d"))
            if calls == 1:
                run(workers.decide, 1, [rated("c2", at_ms=NOW_MS, dancer_id="d")], NOW_MS).result(timeout=60)

        workers.stores[0].decide(narrow, workers.adoption, Batch(NOW_MS, ["c1"]), handle)
    rules = {decision.clip_id: decision.rule for decision in stored_decisions(postgresql_database)}
    assert rules == {"c2": "nominated", "c1": "queued"}
    assert workers.stores[0].replay().difference is None


@pytest.mark.postgresql
def test_workers_on_the_same_clip_take_turns(postgresql_database: Database) -> None:
    workers = Workers(postgresql_database, PLENTY, 2)
    workers.decide(0, [rated("c1", at_ms=NOW_MS)], NOW_MS)
    later: list[Future[Any]] = []

    with elsewhere() as run:

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            transaction.state.handle(engaged("c1", 30, 100, at_ms=NOW_MS + 1))
            later.append(run(workers.decide, 1, [engaged("c1", 300, 500, at_ms=NOW_MS + 2)], NOW_MS + 2))
            with pytest.raises(TimeoutError):
                later[0].result(timeout=0.5)

        workers.stores[0].decide(PLENTY, workers.adoption, Batch(NOW_MS, ["c1"]), handle)
        later[0].result(timeout=60)
    made = stored_decisions(postgresql_database)
    assert [(decision.number, decision.rule, decision.tier) for decision in made] == [
        (0, "nominated", "t1"), (1, "promoted", "t2"), (2, "promoted", "t3"),
    ]  # fmt: skip


@pytest.mark.postgresql
@pytest.mark.parametrize("first", ["rated", "observed"])
def test_an_observation_counts_though_its_clip_is_brought_in_at_the_same_moment(
    postgresql_database: Database, first: str
) -> None:
    """The one that looks for deferred observations, and the one that looks for the clip, see each other."""
    service = Service(postgresql_database)
    service.fill()
    upload, report = service.entries(scored("c1", 0.9)), service.entries(observed("c1", 30, 100))
    service.rank(upload)
    workers = [service.another(store=PoolStore(postgresql_database)) for _ in range(2)]
    begins, follows = (upload, report) if first == "rated" else (report, upload)
    others: list[Future[Any]] = []

    with elsewhere() as run:
        finish = PoolTransaction.finish

        def interrupted(transaction: PoolTransaction) -> None:
            if not others:
                others.append(run(service.apply, follows, workers[1]))
                wait(others, timeout=0.3)
            finish(transaction)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PoolTransaction, "finish", interrupted)
            service.apply(begins, workers[0])
            others[0].result(timeout=60)
    assert service.rules("c1") == ["nominated", "promoted"]
    assert service.aside() == []

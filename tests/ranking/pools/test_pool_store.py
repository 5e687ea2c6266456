"""One database coordinates workers: policies, turns, rounds, windows, and publication."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.round_trip import Step, together
from ranking.database.tables import pool_budgets, pool_clips, pool_policies
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Caps, Exploration, Policy
from ranking.pools.service import store
from ranking.pools.service.facts import Facts
from ranking.pools.service.settings import PoolSettings
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PolicyReplaced, PoolTransaction
from schemas.errors import ConfigurationError, TransportError
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.audit import Owner, audit_database, stored_decisions
from tests.ranking.pools.examples import POLICY, STAY_S, WINDOW_S, policy, rated, tiers
from tests.ranking.pools.service import Service, observed, scored

OTHER = policy(version="p2", exploration=Exploration(share=0.1))


@pytest.fixture
def service(any_database: Database) -> Service:
    made = Service(any_database)
    made.fill()
    return made


def test_the_active_policy_is_adopted_once(service: Service) -> None:
    assert service.pools.adopt(POLICY, 5) == service.pools.adopt(POLICY, 6) == 1
    assert [(row["version"], row["adopted_at_ms"]) for row in service.rows(pool_policies)] == [("p1", NOW_MS)]


def test_a_version_means_one_policy_for_ever(service: Service) -> None:
    changed = policy(caps=Caps(dancer=0.8))
    service.pools.adopt(OTHER, 5)
    with pytest.raises(ConfigurationError, match="p1 was active before with another content") as caught:
        service.pools.adopt(changed, 6)
    assert caught.value.field == "version"
    assert len(service.rows(pool_policies)) == 2


def test_an_earlier_policy_may_come_back(service: Service) -> None:
    assert service.pools.adopt(OTHER, 5) == 2
    assert service.pools.adopt(POLICY, 6) == 3
    stored = [msgspec.msgpack.decode(row["content"], type=Policy) for row in service.rows(pool_policies)]
    assert stored == [POLICY, OTHER, POLICY]


@pytest.mark.parametrize("act", ["apply", "round"])
def test_a_worker_whose_policy_was_replaced_ends_and_changes_nothing(service: Service, act: str) -> None:
    service.feed(scored("c1", 0.9))
    replaced, now = service.worker, service.another(OTHER)
    entries = service.entries(scored("c2", 0.9))
    service.rank(entries)
    before = service.rows(pool_clips)
    with pytest.raises(PolicyReplaced, match="start this worker again") as caught:
        replaced.round() if act == "round" else service.apply(entries, replaced)
    assert caught.value.code == "policy_replaced"
    assert service.rows(pool_clips) == before
    service.apply(entries, now)
    assert stored_decisions(service.database)[-1].policy_version == "p2"


def test_another_policy_recomputes_when_clips_leave(service: Service) -> None:
    service.feed(scored("c1", 0.9), scored("c2", 0.1), scored("c3", 0.95))
    service.feed(observed("c3", 30, 100))
    longer = policy(version="p3", tiers=tiers(t1={"stay_s": 2 * STAY_S}, t2={"name": "t9"}))
    service.pools.adopt(longer, NOW_MS)
    leaves = {clip_id: service.clip(clip_id)["leaves_at_ms"] for clip_id in ("c1", "c2", "c3")}
    assert leaves == {"c1": NOW_MS + 2000 * STAY_S, "c2": NOW_MS + 2000 * STAY_S, "c3": NOW_MS}


def begins_round(store: PoolStore, at_ms: int) -> bool:
    begun: list[bool] = []
    store.decide(POLICY, 1, Batch(at_ms), lambda transaction, _: begun.append(transaction.begin_round(at_ms, 10_000)))
    return begun[-1]


def test_one_worker_makes_the_round_of_an_interval(service: Service) -> None:
    store = PoolStore(service.database)
    workers = [service.worker, service.another(store=store)]
    for _ in range(3):
        service.clock.advance(10)
        begun = []
        for worker in workers:
            begun.append(begins_round(store, service.clock.now_ms()))
            worker.round()
        assert begun == [True, False]


def test_a_round_waits_for_its_interval_but_not_for_a_clock_that_was_set_back(service: Service) -> None:
    ago_s = [(0, True), (8.9, False), (9.1, True), (0, False), (-3600, True), (-8.9, False)]
    begun = []
    for seconds, _ in ago_s:
        service.clock.advance(seconds)
        begun.append(begins_round(service.pools, service.clock.now_ms()))
    assert begun == [due for _, due in ago_s]


def test_caps_of_windows_that_are_over_are_forgotten_and_the_totals_kept(service: Service) -> None:
    service.feed(scored("c1", 0.9))
    for _ in range(4):
        service.clock.advance(WINDOW_S)
        service.worker.round()
    kept = service.rows(pool_budgets)
    assert {row["scope"] for row in kept} == {"nominated", "tier"}
    assert {row["used"] for row in kept} == {100}
    assert {row["holder"] for row in kept} == {""}


def test_caps_hold_though_a_policy_with_shorter_windows_was_active_between(any_database: Database) -> None:
    narrow = {"caps": Caps(dancer=0.1, challenge=1.0)}
    long = policy(
        version="long", window_s=36_000, tiers=tiers(t1={}, t2={"capacity": 4000}, t3={"capacity": 10_000}), **narrow
    )
    short = policy(version="short", window_s=60, tiers=long.tiers, **narrow)
    service = Service(any_database, long)
    service.fill()
    service.feed(scored("c1", 0.9, dancer_id="d"))
    service.clock.advance(20)
    service.another(short).round()
    service.clock.advance(600)
    service.another(short).round()
    service.feed(scored("c2", 0.95, dancer_id="d"), worker=service.another(long))
    owners = {clip_id: Owner("d", "ch") for clip_id in ("c1", "c2")}
    audit_database(any_database, {"long": long, "short": short}, owners)


def fed(service: Service, count: int, *, start: int = 0) -> None:
    """Decide without publishing."""

    def handle(transaction: PoolTransaction, _: Facts) -> None:
        for number in range(start, start + count):
            transaction.state.handle(rated(f"c{number}", at_ms=NOW_MS))

    service.pools.decide(POLICY, 1, Batch(NOW_MS), handle)


def publish_all(service: Service, deliver: Callable[[Sequence[PoolDecision]], None]) -> None:
    while (published := service.pools.publish(deliver, 3)) and published.is_more:
        pass


def test_decisions_are_handed_out_in_sequence_in_parts(service: Service) -> None:
    fed(service, 25)
    parts: list[list[PoolDecision]] = []
    counts = [service.pools.publish(lambda part: parts.append(list(part)), 10) for _ in range(4)]
    assert counts == [(10, True), (10, True), (5, False), (0, False)]
    assert [decision for part in parts for decision in part] == stored_decisions(service.database)


def test_what_was_not_delivered_comes_again_and_nothing_is_left_out(service: Service) -> None:
    fed(service, 5)
    got: list[PoolDecision] = []

    def refuses(part: object) -> None:
        raise TransportError("unreachable")

    for _ in range(2):
        with pytest.raises(TransportError):
            service.pools.publish(refuses, 3)
    fed(service, 2, start=5)
    publish_all(service, got.extend)
    assert got == stored_decisions(service.database)


def test_a_crash_after_delivery_repeats_the_same_bytes(service: Service) -> None:
    fed(service, 5)
    got: list[PoolDecision] = []

    def crashes(part: Any) -> None:
        got.extend(part)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        service.pools.publish(crashes, 3)
    publish_all(service, got.extend)
    made = stored_decisions(service.database)
    assert got == made[:3] + made


def test_others_decide_while_kafka_is_waited_for(service: Service) -> None:
    fed(service, 5)

    def slow(part: object) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(fed, service, 2, start=5).result(timeout=60)

    assert service.pools.publish(slow, 5) == (5, True)
    assert service.pools.publish(lambda part: None, 5) == (2, False)


@pytest.mark.postgresql
def test_what_is_decided_while_another_worker_publishes_is_published_too(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between that worker's last look and its end; with nothing to do, no worker would look again until a round."""
    service = Service(postgresql_database)
    publishing = PoolStore(postgresql_database)
    service.fill()
    slow = service.publisher(store=publishing)
    interrupted = threading.Event()

    def meanwhile(connection: sa.Connection, steps: Sequence[Step], **options: bool) -> list[Sequence[Any]]:
        found = together(connection, steps, **options)
        if any(step.statement is store._NEXT for step in steps) and not interrupted.is_set():
            interrupted.set()
            with ThreadPoolExecutor(1) as other:
                other.submit(service.feed, scored("c1", 0.9)).result()
        return found

    monkeypatch.setattr(store, "together", meanwhile)
    slow.publish()
    assert interrupted.is_set()
    assert service.rules("c1") == ["nominated"]


@pytest.mark.postgresql
def test_workers_at_once_overspend_no_budget_and_leave_no_gap(postgresql_database: Database) -> None:
    """Each on its own connection; every clip is given to all of them."""
    scarce = policy(
        tiers=tiers(t1={"capacity": 700}, t2={"capacity": 900}),
        exploration=Exploration(share=0.3),
        caps=Caps(dancer=0.5, challenge=0.9),
    )
    service = Service(postgresql_database, scarce, PoolSettings(round_interval_s=0.001))
    service.fill(clips=160)
    names = [f"c{n}" for n in range(40)]
    uploads = service.entries(*(scored(name, 0.6, dancer_id=f"d{n % 7}") for n, name in enumerate(names)))
    service.rank(uploads)

    def work(store: PoolStore) -> None:
        worker = service.another(scarce, store=store)
        for start in range(0, 40, 5):
            reports = service.entries(*(observed(name, 40, 100) for name in names[:start]))
            service.apply(uploads[start : start + 5] + reports, worker)
            service.clock.advance(2)
            worker.round()

    stores = [PoolStore(postgresql_database) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work, store) for store in stores]:
            done.result()
    # Those that no worker had a lease for waited while they were observed: they are judged by what is observed next.
    late = [observed(name, 41, 101, observed_at_ms=NOW_MS + 1) for name in names]
    service.apply(service.entries(*late), service.another(scarce, store=stores[0]))
    owners = {name: Owner(f"d{n % 7}", "ch") for n, name in enumerate(names)}
    found = audit_database(postgresql_database, {scarce.version: scarce}, owners)
    assert {"nominated", "queued", "promoted", "held"} <= set(found.rules)
    assert {decision.clip_id for decision in service.published()} == set(names)
    assert {(d.clip_id, d.number) for d in service.published()} == {
        (d.clip_id, d.number) for d in stored_decisions(postgresql_database)
    }
    assert service.pools.replay().difference is None


def test_a_ledger_in_memory_would_have_said_the_same(service: Service) -> None:
    fed(service, 3)
    ledger = PoolLedger(POLICY)
    made = [d for number in range(3) for d in ledger.handle(rated(f"c{number}", at_ms=NOW_MS))]
    assert made == stored_decisions(service.database)
    assert made[0].decided_by is Dimension.FUSED

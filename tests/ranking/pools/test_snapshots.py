"""Snapshots of the pools: they take the place of the journal, whoever crashes when, and a replay starts from them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_clips, pool_decisions, pool_journal, pool_snapshot_parts, pool_snapshots
from ranking.pools.service import snapshots
from ranking.pools.service.facts import Facts
from ranking.pools.service.journal import pseudonym
from ranking.pools.service.settings import PoolSettings
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PoolTransaction
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.examples import POLICY, WINDOW_S, rated
from tests.ranking.pools.service import Service, deleted, observed, scored
from tests.ranking.pools.test_journal import OTHER, busy


@pytest.fixture
def service(any_database: Database) -> Service:
    made = Service(any_database)
    busy(made)
    return made


def more(service: Service) -> None:
    worker = service.another(POLICY)
    clips = [scored(f"more{n}", 0.3 * n, dancer_id=f"d{n}") for n in range(4)]
    service.feed(
        *clips, *(observed(f"c8-{n}", 30, 100, observed_at_ms=NOW_MS + 10**6) for n in range(6)), worker=worker
    )
    service.clock.advance(WINDOW_S / 3)
    worker.round()


def test_a_snapshot_takes_the_place_of_the_journal_and_a_replay_starts_there(service: Service) -> None:
    decided = len(service.rows(pool_decisions))
    assert service.pools.take_snapshot(service.clock.now_ms())
    assert service.rows(pool_journal) == []
    assert service.pools.replay() == (0, 0, len(service.rows(pool_clips)), None)
    more(service)
    made = service.pools.replay()
    assert made.difference is None
    assert made.decisions == len(service.rows(pool_decisions)) - decided > 0
    assert service.pools.take_snapshot(service.clock.now_ms())
    assert len(service.rows(pool_snapshots)) == 1
    assert {row["batch"] for row in service.rows(pool_snapshot_parts)} == {service.rows(pool_snapshots)[0]["batch"]}
    assert service.pools.replay().difference is None


def test_a_replay_from_a_snapshot_finds_what_was_changed_since(service: Service) -> None:
    service.pools.take_snapshot(service.clock.now_ms())
    service.feed(scored("late", 0.99), worker=service.another(OTHER))
    row = service.rows(pool_clips)[3]
    with service.database.writing() as connection:
        one = pool_clips.c.clip_id == row["clip_id"]
        connection.execute(sa.update(pool_clips).where(one).values(granted=999_999))
    assert "999999" in str(service.pools.replay().difference)


def test_a_snapshot_that_is_broken_off_leaves_the_journal_and_the_one_before(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.pools.take_snapshot(service.clock.now_ms())
    more(service)
    before = {table: service.rows(table) for table in (pool_journal, pool_snapshots, pool_snapshot_parts)}

    def crashes(_: sa.Connection) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "granted", crashes)
        with pytest.raises(RuntimeError):
            service.pools.take_snapshot(service.clock.now_ms())
    assert {table: service.rows(table) for table in before} == before
    assert service.pools.replay().difference is None
    assert service.pools.take_snapshot(service.clock.now_ms())


def test_snapshots_are_taken_in_rounds_at_their_interval(any_database: Database) -> None:
    service = Service(any_database, settings=PoolSettings(snapshot_interval_s=25))
    sizes = []
    for step in range(6):
        service.feed(scored(f"c{step}"))
        service.clock.advance(10)
        service.worker.round()
        sizes.append(service.pools.journal_size())
    assert [size.batches > 0 for size in sizes] == [True, True, False, True, True, False]
    assert [size.taken_at_ms for size in sizes] == [None, None, *[NOW_MS + 30_000] * 3, NOW_MS + 60_000]
    assert sizes[-1].clips == 6


def test_without_a_journal_there_is_no_snapshot(any_database: Database) -> None:
    service = Service(any_database)
    store = PoolStore(any_database, keeps_journal=False)
    service.feed(scored("c1"), worker=service.another(store=store))
    assert not store.take_snapshot(NOW_MS)
    assert not service.pools.take_snapshot(NOW_MS)
    assert service.pools.journal_size() == (0, 0, None, 0, 0)


def test_a_gap_before_a_snapshot_does_not_matter(any_database: Database) -> None:
    service = Service(any_database)
    off = PoolStore(any_database, keeps_journal=False)
    service.feed(scored("c1"), worker=service.another(store=off))
    service.feed(scored("c2"))
    assert service.pools.take_snapshot(NOW_MS)
    service.feed(observed("c1", 30, 100))
    assert service.pools.replay() == (1, 0, 2, None)


def test_a_snapshot_after_a_deletion_does_not_name_the_dancer_even_by_pseudonym(any_database: Database) -> None:
    service = Service(any_database)
    service.feed(scored("c1", dancer_id="ann"), scored("c2", dancer_id="ben"))
    service.feed(deleted("c1"))
    service.pools.take_snapshot(NOW_MS)
    kept = b"".join(row["content"] for row in service.rows(pool_snapshot_parts))
    assert pseudonym("ann").encode() not in kept
    assert pseudonym("ben").encode() in kept
    assert b"ben" not in kept


@pytest.mark.postgresql
def test_a_snapshot_waits_for_transactions_that_decide_and_they_do_not_wait_for_it(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(postgresql_database)
    service.fill()
    others = [service.another(store=PoolStore(postgresql_database)) for _ in range(2)]
    service.feed(scored("c0", 0.9), worker=others[0])
    read, go_on = threading.Event(), threading.Event()
    granted = snapshots.granted

    def slow(connection: sa.Connection) -> object:
        read.set()
        assert go_on.wait(60)
        return granted(connection)

    monkeypatch.setattr(snapshots, "granted", slow)
    with ThreadPoolExecutor(2) as pool:

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            transaction.state.handle(rated("c1", at_ms=NOW_MS))
            taken.append(pool.submit(service.pools.take_snapshot, NOW_MS))
            assert not read.wait(0.5), "it would lack what this transaction is about to write"

        taken = []
        others[0]._store.decide(POLICY, 1, Batch(NOW_MS, ["c1"]), handle)
        assert read.wait(60)
        service.feed(scored("c2", 0.9), worker=others[1])
        go_on.set()
        assert taken[0].result(60)
    assert len(service.rows(pool_journal)) == 1, "that of c2"
    assert service.rows(pool_snapshots)[0]["clips"] == 2
    assert service.pools.replay() == (1, 1, 3, None)


@pytest.mark.postgresql
def test_a_worker_that_sees_the_state_keeps_others_from_taking_the_snapshot_of_it(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(postgresql_database)
    busy(service)
    first, other, at_ms = PoolStore(postgresql_database), PoolStore(postgresql_database), service.clock.now_ms()
    is_due, asked, others = snapshots.is_due, count(), list[bool]()

    def while_another_tries(*arguments: Any) -> bool:
        if next(asked) == 1:  # within the transaction of the first, which sees its state
            others.append(other.take_snapshot(at_ms))
        return is_due(*arguments)

    monkeypatch.setattr(snapshots, "is_due", while_another_tries)
    assert first.take_snapshot(at_ms)
    assert others == [False]
    assert service.pools.replay().difference is None


@pytest.mark.postgresql
def test_of_two_workers_one_takes_the_snapshot(postgresql_database: Database) -> None:
    service = Service(postgresql_database)
    busy(service)
    stores = [PoolStore(postgresql_database) for _ in range(3)]
    at_ms = service.clock.now_ms()
    with ThreadPoolExecutor(3) as pool:
        taken = [each.result(60) for each in [pool.submit(store.take_snapshot, at_ms) for store in stores]]
    assert taken.count(True) == 1
    assert service.pools.replay().difference is None

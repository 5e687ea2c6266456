"""The journal: every decision can be replayed from it, and changes made afterwards are found."""

from random import Random

import msgspec
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import metadata, pool_clips, pool_decisions, pool_journal
from ranking.pools.policy import Caps, Exploration
from ranking.pools.service.journal import pseudonym
from ranking.pools.service.replaying import JournalIncomplete
from ranking.pools.service.store import PoolStore
from schemas.codec import decode, encode
from schemas.events import PoolDecision
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.examples import POLICY, WINDOW_S, policy
from tests.ranking.pools.service import Service, deleted, observed, scored

OTHER = policy(version="p2", exploration=Exploration(share=0.5), caps=Caps(dancer=0.5))


def busy(service: Service) -> None:
    """Clips, reactions, deletions, rounds, and two changes of the policy."""
    random, worker = Random(4), service.worker
    service.fill()
    for step in range(12):
        if step in (4, 9):
            worker = service.another(OTHER if step == 4 else POLICY)
        clips = [scored(f"c{step}-{n}", random.random(), dancer_id=f"d{n}") for n in range(6)]
        reports = [
            observed(f"c{random.randrange(step + 2)}-{n % 6}", random.randrange(40), random.choice([None, 100]),
                     observed_at_ms=service.clock.now_ms() + random.randrange(-9, 9))
            for n in range(12)
        ]  # fmt: skip
        service.feed(*clips, *reports, deleted(f"c{random.randrange(step + 1)}-0"), worker=worker)
        service.clock.advance(WINDOW_S / 3)
        worker.round()


@pytest.fixture
def service(any_database: Database) -> Service:
    made = Service(any_database)
    busy(made)
    return made


@pytest.fixture
def sqlite_service(sqlite_database: Database) -> Service:
    made = Service(sqlite_database)
    busy(made)
    return made


def execute(service: Service, statement: sa.Executable) -> None:
    with service.database.writing() as connection:
        connection.execute(statement)


def test_the_journal_gives_the_same_decisions_and_clips(service: Service) -> None:
    made = service.pools.replay()
    assert made.difference is None
    assert made.decisions == len(service.rows(pool_decisions)) > 72
    assert made.clips == len(service.rows(pool_clips)) > 60
    assert made.events > made.decisions


def test_a_database_without_events_replays_to_nothing(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    assert service.pools.replay() == (0, 0, 0, None)


def test_a_decision_that_was_changed_is_named(sqlite_service: Service) -> None:
    row = sqlite_service.rows(pool_decisions)[5]
    changed = msgspec.structs.replace(decode(row["content"], PoolDecision), exposures=12_345)
    table = pool_decisions.c
    at = sa.and_(table.clip_id == row["clip_id"], table.number == row["number"])
    execute(sqlite_service, sa.update(pool_decisions).where(at).values(content=encode(changed)))
    difference = sqlite_service.pools.replay().difference
    assert difference is not None
    assert "12345" in difference
    assert row["clip_id"] in difference


def test_a_decision_that_was_removed_or_added_is_noticed(sqlite_service: Service) -> None:
    last = max(row["sequence"] for row in sqlite_service.rows(pool_decisions))
    row = next(row for row in sqlite_service.rows(pool_decisions) if row["sequence"] == last)
    execute(sqlite_service, sa.delete(pool_decisions).where(pool_decisions.c.sequence == last))
    assert "the database holds None" in str(sqlite_service.pools.replay().difference)
    execute(sqlite_service, sa.insert(pool_decisions).values(row))
    assert sqlite_service.pools.replay().difference is None
    execute(sqlite_service, sa.insert(pool_decisions).values(row | {"sequence": last + 1, "number": 99}))
    assert "the journal does not give" in str(sqlite_service.pools.replay().difference)


def test_a_clip_that_was_changed_removed_or_added_is_noticed(sqlite_service: Service) -> None:
    row = sqlite_service.rows(pool_clips)[3]
    one = pool_clips.c.clip_id == row["clip_id"]
    execute(sqlite_service, sa.update(pool_clips).where(one).values(granted=999_999))
    assert "999999" in str(sqlite_service.pools.replay().difference)
    execute(sqlite_service, sa.delete(pool_clips).where(one))
    assert "clips that the database does not hold" in str(sqlite_service.pools.replay().difference)
    execute(sqlite_service, sa.insert(pool_clips).values(row))
    assert sqlite_service.pools.replay().difference is None
    execute(sqlite_service, sa.insert(pool_clips).values(row | {"clip_id": "stranger"}))
    assert "stranger" in str(sqlite_service.pools.replay().difference)


@pytest.mark.parametrize("batch", [1, 7, None])
def test_a_journal_with_a_gap_is_refused(sqlite_service: Service, batch: int | None) -> None:
    batch = batch or len(sqlite_service.rows(pool_journal))
    execute(sqlite_service, sa.delete(pool_journal).where(pool_journal.c.batch == batch))
    with pytest.raises(JournalIncomplete, match=rf"gap after batch {batch - 1} of .*pools\.journal"):
        sqlite_service.pools.replay()


def test_a_journal_that_was_not_kept_from_the_beginning_is_refused(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    off = PoolStore(sqlite_database, keeps_journal=False)
    service.feed(scored("c1"), worker=service.another(store=off))
    service.feed(scored("c2"))
    with pytest.raises(JournalIncomplete, match=r"after batch 0 of 1 of worker .*pools\.journal"):
        service.pools.replay()


def test_dancers_stand_in_the_journal_under_pseudonyms(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    service.feed(scored("c1", dancer_id="ann"), scored("c2", dancer_id="ben"), scored("c3", dancer_id="ann"))
    content = b"".join(row["content"] for row in service.rows(pool_journal))
    assert b"ann" not in content
    assert content.count(pseudonym("ann").encode()) == 2
    assert content.count(pseudonym("ben").encode()) == 1
    assert pseudonym("") == ""


def test_rounds_and_observations_without_effect_replay_too(sqlite_database: Database) -> None:
    service = Service(sqlite_database)
    service.feed(observed("nobody", 4), deleted("never"), deleted("never"))
    service.worker.round()
    service.feed(observed("never", 4), observed("nobody", 4, observed_at_ms=NOW_MS + 10**8))
    assert service.pools.replay().difference is None
    assert {table.name for table in metadata.sorted_tables if service.rows(table)} >= {"pool_journal"}

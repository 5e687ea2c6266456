"""A database of the release in which workers took turns: what it holds is kept, and its journal replayed."""

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command

from ranking.database.connection import Database
from ranking.database.migrations import _config
from ranking.database.tables import pool_outbox
from ranking.pools.ledger import PoolLedger
from ranking.pools.service.journal import pseudonym
from ranking.pools.service.sql_state import clip_row
from ranking.pools.state import Rated
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.audit import stored_decisions
from tests.ranking.pools.examples import POLICY, engaged, rated
from tests.ranking.pools.rows import decision_rows
from tests.ranking.pools.service import Service, observed

ENCODED = msgspec.msgpack.encode(POLICY, order="deterministic")


def old_database(url: str) -> None:
    """Two batches, three decisions of which one was published."""
    database = Database(url)
    with database.writing() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        ledger = PoolLedger(POLICY)
        batches = [
            [rated("c1", at_ms=NOW_MS), rated("c2", at_ms=NOW_MS)],
            [engaged("c1", 30, 100, at_ms=NOW_MS + 5), engaged("c9", 1, 100, at_ms=NOW_MS + 5)],
        ]
        made = [decision for batch in batches for event in batch for decision in ledger.handle(event)]
        tables = sa.MetaData()
        tables.reflect(connection, only=lambda name, _: name.startswith("pool_"))
        rows = {
            "pool_policies": [{"adoption": 1, "version": "p1", "content": ENCODED, "adopted_at_ms": 1}],
            "pool_clips": [clip_row(POLICY, clip) for clip in ledger.clips()],
            "pool_budgets": [
                {**budget._asdict(), "scope": str(budget.scope), "used": used}
                for budget, used in ledger.budgets().items()
            ],
            "pool_decisions": decision_rows(made),
            "pool_journal": [
                {"batch": number, "adoption": 1, "content": msgspec.msgpack.encode([anonymous(each) for each in batch])}
                for number, batch in enumerate(batches, start=1)
            ],
        }
        for name, values in rows.items():
            connection.execute(sa.insert(tables.tables[name]), values)
        counters = tables.tables["pool_counters"]
        for name, value in (("decisions", 3), ("published", 1), ("batches", 2)):
            connection.execute(sa.update(counters).where(counters.c.name == name).values(value=value))
    database.close()


def anonymous(event: object) -> object:
    if isinstance(event, Rated):
        return msgspec.structs.replace(event, dancer_id=pseudonym(event.dancer_id))
    return event


@pytest.fixture
def service(any_url: str, tmp_path: Path) -> Service:
    old_database(any_url)
    database = Database(any_url)
    database.migrate()
    return Service(database)


def test_what_was_not_published_is_published_and_the_journal_replays_with_what_comes_after(service: Service) -> None:
    assert [row["sequence"] for row in service.rows(pool_outbox)] == [2, 3]
    assert service.pools.replay() == (4, 3, 2, None)
    service.feed(observed("c2", 30, 100))
    assert [(d.clip_id, d.number) for d in service.published()] == [("c2", 0), ("c1", 1), ("c2", 1)]
    assert len(stored_decisions(service.database)) == 4
    assert service.pools.replay() == (5, 4, 2, None)
    service.database.close()

"""What a batch reads does not grow with what was decided before, also while PostgreSQL has no statistics of the tables:
its server has none for the first minute, and none of what was written since it looked last.
"""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from ranking.database.connection import Database
from ranking.database.round_trip import POSTGRESQL, Step, together
from ranking.pools.service.sql_state import SqlPoolState
from ranking.pools.service.store import _NEXT
from ranking.scores.standings import asking
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.examples import POLICY
from tests.ranking.pools.service import Service, scored

CLIPS, ROWS = 20, 4000
MOST_PAGES = 60
"""Of 8 KiB. Each of the tables has more, by far; a row that is looked up takes two or three."""
EARLIER = f"""
    INSERT INTO pool_decisions (clip_id, number, sequence, decided_at_ms, content)
        SELECT 'old' || n, 1, -n, 0, repeat('x', 200)::bytea FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO pool_outbox (sequence) SELECT -n FROM generate_series(1, {ROWS}) AS n;
    DELETE FROM pool_outbox WHERE sequence < 0;
    INSERT INTO pool_outbox (sequence) SELECT max(sequence) FROM pool_decisions;
    INSERT INTO pool_budgets (tier, window_start_ms, scope, holder, used)
        SELECT 't1', {POLICY.window_start_ms(NOW_MS)}, 'dancer', 'other' || n, 1 FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO scores (generation, clip_id, dimension, challenge_id, score)
        SELECT 'g1', 'old' || n, dimension, 'other' || n % 9, n
        FROM generate_series(1, {ROWS}) AS n, (SELECT DISTINCT dimension FROM scores) AS of
"""


class Explained(sa.Executable, sa.ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(Explained)
def _explained(element: Explained, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiler.process(element.statement, **options)}"


def pages_read(connection: sa.Connection, step: Step) -> int:
    ((plan,),) = together(connection, [Step(Explained(step.statement), step.parameters)])[0]
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


@pytest.mark.postgresql
def test_what_was_decided_before_is_not_read_again(postgresql_database: Database) -> None:
    service, clips = Service(postgresql_database), [f"c{n}" for n in range(CLIPS)]
    service.feed(*(scored(f"c{n}", 0.9, dancer_id=f"d{n}") for n in range(CLIPS)))
    with postgresql_database.writing() as connection:
        for statement in EARLIER.split(";"):
            connection.execute(sa.text(statement))
    budgets = SqlPoolState(connection, POLICY, "worker").reading(NOW_MS, clips, ["d2"])[2:]
    asked = {"publishing": Step(_NEXT, {"most": 1000}), "standings": asking(POSTGRESQL, clips[:1], "g1")}
    asked |= {f"budgets {number}": step for number, step in enumerate(budgets)}
    with postgresql_database.writing() as connection:
        read = {name: pages_read(connection, step) for name, step in asked.items()}
    assert {name: pages for name, pages in read.items() if pages > MOST_PAGES} == {}

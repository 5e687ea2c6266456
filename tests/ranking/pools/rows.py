"""The tables of the pools, filled from a ledger in memory."""

from collections.abc import Sequence

import sqlalchemy as sa
from msgspec.msgpack import encode as encoded

from ranking.database.connection import Database
from ranking.database.tables import pool_budgets, pool_clips, pool_decisions, pool_outbox, pool_policies, pool_workers
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.service.sql_state import clip_row
from ranking.pools.state import PoolEvent
from schemas.codec import encode
from schemas.events import PoolDecision

ADOPTED_MS = 7
"""Between two adoptions, the first after as many."""


class Pools:
    """A ledger and its rows: ``handle`` decides, ``write`` puts all of it into the database."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self.database = database
        self.policies: list[Policy] = []
        self.start(policy)

    def start(self, policy: Policy) -> None:
        """Start without clips."""
        self.policies = [policy]
        self.ledger = PoolLedger(policy)
        self.decisions: list[PoolDecision] = []

    def handle(self, *events: PoolEvent) -> None:
        for event in events:
            self.decisions += self.ledger.handle(event)

    def round(self, at_ms: int) -> None:
        self.decisions += self.ledger.round(at_ms)

    def adopt(self, policy: Policy) -> None:
        self.policies.append(policy)
        self.ledger.adopt(policy)

    def write(self, *, published: int = 0) -> None:
        """Replace what the database holds."""
        budgets = [budget._asdict() | {"used": used} for budget, used in self.ledger.budgets().items()]
        policies = [
            {"adoption": n, "version": made.version, "content": encoded(made), "adopted_at_ms": n * ADOPTED_MS}
            for n, made in enumerate(self.policies, start=1)
        ]
        worker = {"worker": "w", "expires_at_ms": None, "batches": 0, "decisions": len(self.decisions)}
        decisions = decision_rows(self.decisions)
        with self.database.writing() as connection:
            for table, rows in {
                pool_policies: policies,
                pool_clips: [clip_row(self.ledger.policy, clip) for clip in self.ledger.clips()],
                pool_budgets: budgets,
                pool_decisions: decisions,
                pool_outbox: [{"sequence": row["sequence"]} for row in decisions[published:]],
                pool_workers: [worker],
            }.items():
                connection.execute(sa.delete(table))
                if rows:
                    connection.execute(sa.insert(table), rows)


def decision_rows(decisions: Sequence[PoolDecision]) -> list[dict[str, object]]:
    return [
        {
            "clip_id": decision.clip_id,
            "number": decision.number,
            "sequence": sequence,
            "decided_at_ms": decision.decided_at_ms,
            "content": encode(decision),
        }
        for sequence, decision in enumerate(decisions, start=1)
    ]

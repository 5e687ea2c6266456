"""Workers of the traffic pools with leases of budgets, and decisions that are still to be published."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ON_POSTGRESQL = (
    "COMMENT ON COLUMN pool_budgets.used IS 'views granted; of tiers and lanes those of no lease'",
    "COMMENT ON COLUMN pool_decisions.sequence IS 'rises with each decision about a clip'",
    "COMMENT ON COLUMN pool_journal.batch IS 'rises with each about a clip'",
    "CREATE SEQUENCE pool_batches",
    "SELECT setval('pool_batches', (SELECT value FROM pool_counters WHERE name = 'batches') + 1, false)",
    "CREATE SEQUENCE pool_decisions_made",
    "SELECT setval('pool_decisions_made', (SELECT value FROM pool_counters WHERE name = 'decisions') + 1, false)",
)
"""Comments, and sequences that continue the numbers of the counters."""
_BACK_ON_POSTGRESQL = (
    "COMMENT ON COLUMN pool_budgets.used IS 'views granted'",
    "COMMENT ON COLUMN pool_decisions.sequence IS 'of all decisions, from 1 without gaps'",
    "COMMENT ON COLUMN pool_journal.batch IS NULL",
    "DROP SEQUENCE pool_batches",
    "DROP SEQUENCE pool_decisions_made",
)


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pool_workers",
        sa.Column("worker", _identifier(), nullable=False, comment="empty for those before leases"),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True, comment="null: has left, and holds no lease"),
        sa.Column("batches", sa.BigInteger(), nullable=False, comment="with events, so far"),
        sa.Column("decisions", sa.BigInteger(), nullable=False, comment="so far"),
        sa.PrimaryKeyConstraint("worker", name="pk_pool_workers"),
    )
    op.create_table(
        "pool_leases",
        sa.Column("tier", _identifier(), nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("lane", sa.String(32), nullable=False),
        sa.Column("worker", _identifier(), nullable=False),
        sa.Column("leased", sa.BigInteger(), nullable=False, comment="views that it alone may grant"),
        sa.Column("used", sa.BigInteger(), nullable=False, comment="of these, granted"),
        sa.PrimaryKeyConstraint("tier", "window_start_ms", "lane", "worker", name="pk_pool_leases"),
    )
    op.create_table(
        "pool_outbox",
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False, comment="of a decision to publish"),
        sa.PrimaryKeyConstraint("sequence", name="pk_pool_outbox"),
    )
    op.create_index("ix_pool_budgets_holder_window_start_ms", "pool_budgets", ["holder", "window_start_ms"])
    op.add_column("pool_journal", sa.Column("worker", _identifier(), nullable=True))
    number = sa.Column("number", sa.BigInteger(), nullable=True, comment="of the worker's batches, from 1 without gaps")
    op.add_column("pool_journal", number)
    op.execute("UPDATE pool_journal SET worker = '', number = batch")
    op.execute(
        "INSERT INTO pool_workers (worker, expires_at_ms, batches, decisions) "
        "SELECT '', NULL, value, (SELECT value FROM pool_counters WHERE name = 'decisions') "
        "FROM pool_counters WHERE name = 'batches' AND value > 0"
    )
    op.execute(
        "INSERT INTO pool_outbox SELECT sequence FROM pool_decisions "
        "WHERE sequence > (SELECT value FROM pool_counters WHERE name = 'published')"
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in _ON_POSTGRESQL:
            op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in _BACK_ON_POSTGRESQL:
            op.execute(statement)
    op.drop_column("pool_journal", "number")
    op.drop_column("pool_journal", "worker")
    op.drop_index("ix_pool_budgets_holder_window_start_ms", "pool_budgets")
    for table in ("pool_outbox", "pool_leases", "pool_workers"):
        op.drop_table(table)

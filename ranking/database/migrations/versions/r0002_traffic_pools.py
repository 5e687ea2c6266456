"""Traffic pools, and what was observed of clips."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pool_clips",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("dancer_id", _identifier(), nullable=False, comment="empty once deleted"),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("rated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tenth", sa.Integer(), nullable=False, comment="of its challenge's fused percentiles; -1: unknown"),
        sa.Column("standing", sa.Double(), nullable=False),
        sa.Column("nominated_by", sa.String(32), nullable=True),
        sa.Column("percentile", sa.Double(), nullable=True),
        sa.Column("tier", _identifier(), nullable=True),
        sa.Column("wants", _identifier(), nullable=True),
        sa.Column("entered_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("reactions", sa.BigInteger(), nullable=False),
        sa.Column("observed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=True),
        sa.Column("views_observed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("leaves_at_ms", sa.BigInteger(), nullable=True, comment="null: has left for good"),
        sa.PrimaryKeyConstraint("clip_id", name="pk_pool_clips"),
    )
    op.create_index("ix_pool_clips_leaves_at_ms", "pool_clips", ["leaves_at_ms"])
    op.create_index("ix_pool_clips_wants", "pool_clips", ["wants"])
    op.create_index("ix_pool_clips_tier", "pool_clips", ["gone", "tier"])
    op.create_table(
        "pool_budgets",
        sa.Column("tier", _identifier(), nullable=False),
        sa.Column("window_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.String(32), nullable=False),
        sa.Column("holder", _identifier(), nullable=False, comment="a dancer or a challenge; empty for others"),
        sa.Column("used", sa.BigInteger(), nullable=False, comment="views granted"),
        sa.PrimaryKeyConstraint("tier", "window_start_ms", "scope", "holder", name="pk_pool_budgets"),
    )
    op.create_table(
        "pool_kinds",
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("tenth", sa.Integer(), nullable=False),
        sa.Column("reactions", sa.BigInteger(), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("challenge_id", "tenth", name="pk_pool_kinds"),
    )
    op.create_table(
        "pool_decisions",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of all decisions, from 1 without gaps"),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="pool-decision/1 as MessagePack"),
        sa.PrimaryKeyConstraint("clip_id", "number", name="pk_pool_decisions"),
    )
    op.create_index("ix_pool_decisions_sequence", "pool_decisions", ["sequence"], unique=True)
    op.create_table(
        "pool_policies",
        sa.Column("adoption", sa.BigInteger(), nullable=False, autoincrement=False, comment="the greatest is in force"),
        sa.Column("version", _identifier(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="the policy as MessagePack"),
        sa.Column("adopted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("adoption", name="pk_pool_policies"),
    )
    op.create_table(
        "pool_journal",
        sa.Column("batch", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("adoption", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="events as MessagePack, in the order handled"),
        sa.PrimaryKeyConstraint("batch", name="pk_pool_journal"),
    )
    op.create_table(
        "pool_counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pool_counters"),
    )
    op.create_table(
        "engagement",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("observed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("likes", sa.BigInteger(), nullable=False),
        sa.Column("comments", sa.BigInteger(), nullable=False),
        sa.Column("reposts", sa.BigInteger(), nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=True),
        sa.Column("views_observed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("days_online", sa.Double(), nullable=False, comment="when the reactions were counted"),
        sa.Column("virality", sa.Double(), nullable=False, comment="Eq. (1)"),
        sa.PrimaryKeyConstraint("clip_id", name="pk_engagement"),
    )
    op.create_index("ix_engagement_challenge_id_virality", "engagement", ["challenge_id", "virality"])
    op.create_index("ix_engagement_challenge_id_observed_at_ms", "engagement", ["challenge_id", "observed_at_ms"])
    op.create_table(
        "engagement_aside",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("observed_at_ms", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="engagement-observed/1 as MessagePack"),
        sa.PrimaryKeyConstraint("clip_id", "observed_at_ms", name="pk_engagement_aside"),
    )
    op.create_index("ix_engagement_aside_reason_observed_at_ms", "engagement_aside", ["reason", "observed_at_ms"])
    counters = sa.table("pool_counters", sa.column("name", sa.String), sa.column("value", sa.BigInteger))
    names = ("decisions", "published", "batches", "round")
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in names])


def downgrade() -> None:
    for table in (
        "engagement_aside",
        "engagement",
        "pool_counters",
        "pool_journal",
        "pool_policies",
        "pool_decisions",
        "pool_kinds",
        "pool_budgets",
        "pool_clips",
    ):
        op.drop_table(table)

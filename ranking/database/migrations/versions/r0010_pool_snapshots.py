"""Snapshots of the traffic pools, from which their journal replays."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pool_snapshots",
        sa.Column("batch", sa.BigInteger(), nullable=False, autoincrement=False, comment="the last one that it covers"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the last decision that it covers"),
        sa.Column("taken_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("clips", sa.BigInteger(), nullable=False),
        sa.Column(
            "content", sa.LargeBinary(), nullable=False, comment="policy, budgets and workers' batches as MessagePack"
        ),
        sa.PrimaryKeyConstraint("batch", name="pk_pool_snapshots"),
    )
    op.create_table(
        "pool_snapshot_parts",
        sa.Column("batch", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("part", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="clips as MessagePack, dancers by pseudonym"),
        sa.PrimaryKeyConstraint("batch", "part", name="pk_pool_snapshot_parts"),
    )


def downgrade() -> None:
    op.drop_table("pool_snapshot_parts")
    op.drop_table("pool_snapshots")

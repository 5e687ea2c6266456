"""Samples of scores and embedding norms, to tell drift."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "drift_samples",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, autoincrement=False, comment="in the order stored, from 1"
        ),
        sa.Column("reference", sa.Boolean(), nullable=False, comment="of the first clips; else of the latest"),
        sa.Column("clips", sa.BigInteger(), nullable=False),
        sa.Column("scored_at_ms", sa.BigInteger(), nullable=False, comment="of the clip scored last"),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="float64, a row per clip, NaN where absent"),
        sa.PrimaryKeyConstraint("generation", "number", name="pk_drift_samples"),
    )


def downgrade() -> None:
    op.drop_table("drift_samples")

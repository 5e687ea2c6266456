"""How right each model generation was, over time."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    identifier = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "model_measurements",
        sa.Column("generation", identifier, nullable=False),
        sa.Column("measured_at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False, comment="by dimension, as MessagePack"),
        sa.Column(
            "details", sa.LargeBinary(), nullable=True, comment="by challenge and decile; null if a later row has them"
        ),
        sa.PrimaryKeyConstraint("generation", "measured_at_ms", name="pk_model_measurements"),
    )


def downgrade() -> None:
    op.drop_table("model_measurements")

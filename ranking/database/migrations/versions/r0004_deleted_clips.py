"""Clips that were deleted, so that a late upload does not bring one back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deleted_clips",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger(), nullable=False, comment="when it was last asked for"),
        sa.PrimaryKeyConstraint("clip_id", name="pk_deleted_clips"),
    )


def downgrade() -> None:
    op.drop_table("deleted_clips")

"""How much each moment of a routine counts in its score."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    identifier = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
    op.create_table(
        "attended_clips",
        sa.Column("generation", identifier, nullable=False),
        sa.Column("clip_id", identifier, nullable=False),
        sa.Column("modality", sa.String(32), nullable=False, comment="whose attention it is"),
        sa.Column("rate_hz", sa.Double(), nullable=False, comment="steps per second"),
        sa.Column("parts", sa.LargeBinary(), nullable=False, comment="names of the attentions, as MessagePack"),
        sa.Column("weights", sa.LargeBinary(), nullable=False, comment="(parts, steps) float16, from 0 to 1"),
        sa.PrimaryKeyConstraint("generation", "clip_id", name="pk_attended_clips"),
    )


def downgrade() -> None:
    op.drop_table("attended_clips")

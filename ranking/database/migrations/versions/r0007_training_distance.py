"""How far clips are from what their model was trained on, and the scores of those outside, which are in no ranking."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    comment = "over the limit of its bundle; null where that states none"
    op.add_column("scored_clips", sa.Column("training_distance", sa.Double(), nullable=True, comment=comment))
    op.create_table(
        "unranked_scores",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("attention", sa.Double(), nullable=True, comment="Eq. (12); null for the fused score"),
        sa.ForeignKeyConstraint(
            ["generation", "clip_id"],
            ["scored_clips.generation", "scored_clips.clip_id"],
            name="fk_unranked_scores_scored_clips",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("generation", "clip_id", "dimension", name="pk_unranked_scores"),
    )


def downgrade() -> None:
    op.drop_table("unranked_scores")
    op.drop_column("scored_clips", "training_distance")

"""Clips, their scores under each generation, and the offsets applied."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "clips",
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("dancer_id", _identifier(), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("uploaded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("log_partition", sa.Integer(), nullable=False),
        sa.Column("log_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("clip_id", name="pk_clips"),
    )
    op.create_table(
        "scored_clips",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("uploaded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("scored_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.String(64), nullable=False, comment="modalities, separated by commas"),
        sa.Column("log_partition", sa.Integer(), nullable=False),
        sa.Column("log_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "clip_id", name="pk_scored_clips"),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name="fk_scored_clips_clips", ondelete="CASCADE"),
    )
    op.create_index("ix_scored_clips_generation_challenge_id", "scored_clips", ["generation", "challenge_id"])
    op.create_index("ix_scored_clips_clip_id", "scored_clips", ["clip_id"])
    op.create_table(
        "scores",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("attention", sa.Double(), nullable=True, comment="Eq. (12); null for the fused score"),
        sa.PrimaryKeyConstraint("generation", "clip_id", "dimension", name="pk_scores"),
        sa.ForeignKeyConstraint(
            ["generation", "clip_id"],
            ["scored_clips.generation", "scored_clips.clip_id"],
            name="fk_scores_scored_clips",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_scores_ranking", "scores", ["generation", "challenge_id", "dimension", "score", "clip_id"])
    op.create_table(
        "applied_offsets",
        sa.Column("view", _identifier(), nullable=False),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("view", "topic", "partition", name="pk_applied_offsets"),
    )


def downgrade() -> None:
    for table in ("applied_offsets", "scores", "scored_clips", "clips"):
        op.drop_table(table)

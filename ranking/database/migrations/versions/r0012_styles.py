"""The dance style of each clip, and room for the counts of a challenge's styles beside its own."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STYLE = 64
_PLACE = 128 + 1 + _STYLE
_COMMENT = "the challenge; with a slash and a style: its clips of that style"


def _named(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    comment = "unknown: none of the classifier's; null: not judged"
    op.add_column("scored_clips", sa.Column("style", _named(_STYLE), nullable=True, comment=comment))
    probability: sa.Column[float] = sa.Column(
        "style_probability", sa.Double(), nullable=True, comment="of the most probable style, calibrated"
    )
    op.add_column("scored_clips", probability)
    op.add_column("scores", sa.Column("style", _named(_STYLE), nullable=True, comment="that of the clip"))
    op.create_index(
        "ix_scores_ranking_of_style",
        "scores",
        ["generation", "challenge_id", "style", "dimension", "score", "clip_id"],
        postgresql_where=sa.text("style IS NOT NULL"),
        sqlite_where=sa.text("style IS NOT NULL"),
    )
    for table in ("ranking_runs", "joint_sums"):
        with op.batch_alter_table(table) as batch:  # SQLite can only copy the table
            batch.alter_column(
                "challenge_id",
                existing_type=_named(128),
                type_=_named(_PLACE),
                existing_nullable=False,
                comment=_COMMENT,
            )
    op.add_column(
        "drift_samples",
        sa.Column("styles", sa.LargeBinary(), nullable=True, comment="clips by style, as MessagePack"),
    )


def downgrade() -> None:
    op.drop_column("drift_samples", "styles")
    op.execute("DELETE FROM ranking_parts WHERE run IN (SELECT run FROM ranking_runs WHERE challenge_id LIKE '%/%')")
    op.execute("DELETE FROM ranking_runs WHERE challenge_id LIKE '%/%'")
    op.execute("DELETE FROM joint_sums WHERE challenge_id LIKE '%/%'")
    for table in ("ranking_runs", "joint_sums"):
        with op.batch_alter_table(table) as batch:
            batch.alter_column(
                "challenge_id", existing_type=_named(_PLACE), type_=_named(128), existing_nullable=False, comment=None
            )
    op.drop_index("ix_scores_ranking_of_style", "scores")
    op.drop_column("scores", "style")
    op.drop_column("scored_clips", "style_probability")
    op.drop_column("scored_clips", "style")

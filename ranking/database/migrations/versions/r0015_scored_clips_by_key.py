"""Scored clips are found by generation and clip: no index by clip alone."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_scored_clips_clip_id", "scored_clips")


def downgrade() -> None:
    op.create_index("ix_scored_clips_clip_id", "scored_clips", ["clip_id"])

"""Where the features of clips, or their videos, can be read again."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column(
            "source_kind", sa.String(32), nullable=True, comment="file or video; null where its features were not kept"
        ),
        sa.Column(
            "source_uri", sa.Text(), nullable=True, comment="where its features, or its video, can be read again"
        ),
        sa.Column("source_sha256", sa.String(64), nullable=True, comment="of that file, if the upload stated it"),
    ):
        op.add_column("scored_clips", column)


def downgrade() -> None:
    for name in ("source_sha256", "source_uri", "source_kind"):
        op.drop_column("scored_clips", name)

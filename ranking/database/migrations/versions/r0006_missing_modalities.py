"""Room for the names of all modalities that packages add: a record that misses many must not stop the view."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite has no lengths
        op.alter_column("scored_clips", "missing", type_=sa.Text(), existing_nullable=False)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("scored_clips", "missing", type_=sa.String(64), existing_nullable=False)

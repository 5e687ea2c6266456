"""Which model generation is in force, which are retired, and what each serving process holds."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEWEST_IN_FORCE = """
INSERT INTO generation_choices (number, generation, chosen_at_ms)
SELECT 1, generation, scored_at_ms FROM scored_clips ORDER BY scored_at_ms DESC, generation LIMIT 1
"""


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "generation_choices",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="the last one is in force"),
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("chosen_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_generation_choices"),
    )
    op.create_table(
        "retired_generations",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("retired_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_retired_generations"),
    )
    op.create_table(
        "replicas",
        sa.Column("replica", sa.String(256), nullable=False),
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("clips", sa.BigInteger(), nullable=False),
        sa.Column("caught_up", sa.Boolean(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("replica", "generation", name="pk_replicas"),
    )
    op.execute(_NEWEST_IN_FORCE)  # until now the rankings answered for the one scored last


def downgrade() -> None:
    op.drop_table("replicas")
    op.drop_table("retired_generations")
    op.drop_table("generation_choices")

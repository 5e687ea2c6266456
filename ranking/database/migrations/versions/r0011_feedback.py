"""Where the features of clips, or their videos, can be read again, and how strongly joints move scores."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


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
    op.create_table(
        "guided_clips",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("clip_id", _identifier(), nullable=False),
        sa.Column("joint_layout", _identifier(), nullable=False),
        sa.Column("rate_hz", sa.Double(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column(
            "scale", sa.Double(), nullable=False, comment="of the magnitudes, in score per mean absolute deviation"
        ),
        sa.Column("magnitudes", sa.LargeBinary(), nullable=False, comment="(bins, joints) float16, from 0 to 1"),
        sa.PrimaryKeyConstraint("generation", "clip_id", name="pk_guided_clips"),
    )
    op.create_table(
        "joint_sums",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("joint_layout", _identifier(), nullable=False),
        sa.Column("clips", sa.BigInteger(), nullable=False),
        sa.Column(
            "overall", sa.LargeBinary(), nullable=False, comment="by joint, in units of 2^-52: Eq. (9) times clips"
        ),
        sa.Column("temporal", sa.LargeBinary(), nullable=False, comment="by bin and joint, likewise: Eq. (8)"),
        sa.PrimaryKeyConstraint("generation", "challenge_id", "joint_layout", name="pk_joint_sums"),
    )


def downgrade() -> None:
    op.drop_table("joint_sums")
    op.drop_table("guided_clips")
    for name in ("source_sha256", "source_uri", "source_kind"):
        op.drop_column("scored_clips", name)

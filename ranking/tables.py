"""Tables of the SQL view.

``log_partition`` and ``log_offset`` say which record of the log a row comes from. The greater (``uploaded_at_ms``,
``log_partition``, ``log_offset``) wins, so that late duplicates and replays leave the same rows in whichever order they
are applied; the upload's time comes first because a clip that moves to another challenge moves to another partition.
"""

from typing import Final

import sqlalchemy as sa

IDENTIFIER_LENGTH: Final = 128

# PostgreSQL would sort by the database's locale; ties have to be listed in the same order everywhere: by code point.
_identifier: Final = sa.String(IDENTIFIER_LENGTH).with_variant(
    sa.String(IDENTIFIER_LENGTH, collation="C"), "postgresql"
)
_slug: Final = sa.String(32)

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

clips: Final = sa.Table(
    "clips",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dancer_id", _identifier, nullable=False),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("uploaded_at_ms", sa.BigInteger, nullable=False),
    sa.Column("duration_s", sa.Double, nullable=False),
    sa.Column("log_partition", sa.Integer, nullable=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False),
)

scored_clips: Final = sa.Table(
    "scored_clips",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, sa.ForeignKey("clips.clip_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("uploaded_at_ms", sa.BigInteger, nullable=False),
    sa.Column("scored_at_ms", sa.BigInteger, nullable=False),
    sa.Column("missing", sa.String(64), nullable=False, comment="modalities, separated by commas"),
    sa.Column("log_partition", sa.Integer, nullable=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False),
    sa.Index(None, "generation", "challenge_id"),
    sa.Index(None, "clip_id"),
)

scores: Final = sa.Table(
    "scores",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dimension", _slug, primary_key=True),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("attention", sa.Double, nullable=True, comment="Eq. (12); null for the fused score"),
    sa.ForeignKeyConstraint(
        ["generation", "clip_id"], ["scored_clips.generation", "scored_clips.clip_id"], ondelete="CASCADE"
    ),
    # Either end of a ranking, the place of one score and the mean attention are all ranges of this one index.
    sa.Index("ix_scores_ranking", "generation", "challenge_id", "dimension", "score", "clip_id"),
)

applied_offsets: Final = sa.Table(
    "applied_offsets",
    metadata,
    sa.Column("view", _identifier, primary_key=True),
    sa.Column("topic", sa.String(249), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
)

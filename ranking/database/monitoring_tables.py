"""Tables of what is measured of a model: how right it was, and samples of its scores; in the ``metadata`` of all."""

from typing import Final

import sqlalchemy as sa

from ranking.database.tables import clips, metadata

__all__ = ["drift_samples", "metadata", "model_measurements"]

_identifier: Final = clips.c.clip_id.type

model_measurements: Final = sa.Table(
    "model_measurements",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("measured_at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("summary", sa.LargeBinary, nullable=False, comment="by dimension, as MessagePack"),
    sa.Column(
        "details", sa.LargeBinary, nullable=True, comment="by challenge and decile; null if a later row has them"
    ),
)

drift_samples: Final = sa.Table(
    "drift_samples",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="in the order stored, from 1"),
    sa.Column("reference", sa.Boolean, nullable=False, comment="of the first clips; else of the latest"),
    sa.Column("clips", sa.BigInteger, nullable=False),
    sa.Column("scored_at_ms", sa.BigInteger, nullable=False, comment="of the clip scored last"),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="float64, a row per clip, NaN where absent"),
    sa.Column("styles", sa.LargeBinary, nullable=True, comment="clips by style, as MessagePack"),
)

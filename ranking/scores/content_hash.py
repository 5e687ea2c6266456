"""A hash of the SQL view's content; see ``ranking.views.content_hash``."""

from typing import Final

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import (
    attended_clips,
    clips,
    deleted_clips,
    guided_clips,
    joint_sums,
    scored_clips,
    scores,
    unranked_scores,
)
from ranking.views.content_hash import ContentHash

_TABLES: Final = (
    *(clips, scored_clips, scores, unranked_scores, guided_clips, joint_sums, attended_clips, deleted_clips),
)
"""All of their columns follow from the log. ``applied_offsets`` says how far a view has read, and is not content."""
_ROWS_AT_ONCE: Final = 1000


def score_content(database: Database) -> str:
    """Hash of clips, scored clips, scores and deleted clips, as of one moment; the same on SQLite and PostgreSQL.

    Raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """
    content = ContentHash()
    with database.reading() as connection:
        streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
        for table in _TABLES:
            content.add("table", str(table.name), *map(str, table.columns.keys()))
            # By the key, which sorts everywhere alike: identifiers by code point, dimensions as lower-case words.
            query = sa.select(table).order_by(*table.primary_key)
            if table is joint_sums:  # a row without clips says nothing
                query = query.where(joint_sums.c.clips > 0)
            for row in streaming.execute(query):
                content.add(*row)
    return content.hex()

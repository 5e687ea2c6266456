"""A database of rankings filled at once with what ``ScoreStore.apply`` would write, within minutes for a million clips.

Rows go in without the indexes of their tables, which are made afterwards, and runs are counted from the rows. A test
holds the filled database against one that was written through ``ScoreStore.apply``, by hash and by audit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from ranking.database.bulk import insert_rows
from ranking.database.connection import Database, lock_clips
from ranking.database.round_trip import Sending
from ranking.database.sqlite_files import CACHE_KIB
from ranking.database.tables import clips, scored_clips, scores
from ranking.scores.generations import activate_first
from ranking.scores.rows import by_dimension, clip_row, score_rows, scored_row
from ranking.scores.runs.audit import rebuild
from ranking.scores.sketches import Key, add_scores, asking_due, merge_sketches
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import advance
from schemas.clock import SystemClock
from schemas.ports import ScoredRecord, TopicPartition

_FILLED: Final = (clips, scored_clips, scores)
_CACHE_KIB: Final = 4_194_304


def fill(database: Database, batches: Iterable[Sequence[ScoredRecord]], positions: dict[TopicPartition, int]) -> None:
    """Fill an empty, migrated ``database`` with clips that lie within the training distribution, each scored once."""
    with database.writing() as connection:
        lock_clips(connection, alone=True)
        _without_indexes(connection)
        for batch in batches:
            entries = sorted(batch, key=lambda entry: entry.clip.clip_id)
            insert_rows(connection, clips, [clip_row(entry) for entry in entries])
            insert_rows(connection, scored_clips, [scored_row(entry) for entry in entries])
            rows = [row for entry in entries for row in score_rows(entry.clip)]
            insert_rows(connection, scores, rows)
            _add_scores(Sending(connection), by_dimension(rows))
            activate_first(connection, entries[0].clip.generation, entries[0].clip.scored_at_ms)
        _with_keys(connection)
        rebuild(
            connection, SystemClock().now_ms()
        )  # before the indexes: without statistics it would be planned by them
        _with_indexes(connection)
        advance(connection, SCORES_VIEW, positions)
    if database.dialect == "postgresql":
        with database.autocommitting() as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
            connection.execute(sa.text("CHECKPOINT"))


def _add_scores(sending: Sending, found: Mapping[Key, Sequence[float]]) -> None:
    add_scores(sending, found)
    for generation in sorted({generation for generation, _ in found}):
        (due,) = sending.rows(asking_due(generation))
        merge_sketches(sending, generation, [row.dimension for row in due])
    sending.flush()


def _without_indexes(connection: sa.Connection) -> None:
    """SQLite keeps primary keys, and a cache that holds them all."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")
    for table in _FILLED:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(DropIndex(index))
        if connection.dialect.name == "postgresql":
            connection.execute(DropConstraint(table.primary_key))


def _with_keys(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL maintenance_work_mem = '1GB'"))
        for table in _FILLED:
            connection.execute(AddConstraint(table.primary_key))
        connection.execute(sa.text("ANALYZE"))


def _with_indexes(connection: sa.Connection) -> None:
    for table in _FILLED:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index))
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")

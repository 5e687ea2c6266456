"""Positions of the views in the database, written in the same transaction as their data."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import sqlalchemy as sa

from ranking.database.connection import Database, upsert
from ranking.database.round_trip import Step, rows_into, together
from ranking.database.tables import applied_offsets
from schemas.ports import TopicPartition


class ViewPositions:
    """The positions of views in a database, to be looked at and set while no worker of theirs runs.

    Every method raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, view: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Next offset to apply, for those of ``partitions`` that ``view`` has a position of."""
        with self._database.reading() as connection:
            return stored_positions(connection, view, partitions)

    def set(self, view: str, positions: Mapping[TopicPartition, int]) -> None:
        """Let ``view`` continue at ``positions``, back or forth. What it holds stays as it is."""
        rows = [{"view": view, **at._asdict(), "next_offset": offset} for at, offset in sorted(positions.items())]
        with self._database.writing() as connection:
            upsert(connection, applied_offsets, rows)


def stored_positions(
    connection: sa.Connection, view: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Next offset to apply, for those of ``partitions`` that ``view`` has a position of."""
    wanted, table = set(partitions), applied_offsets.c
    rows = connection.execute(
        sa.select(table.topic, table.partition, table.next_offset).where(table.view == view)
    ).all()
    found = {TopicPartition(row.topic, row.partition): int(row.next_offset) for row in rows}
    return {partition: offset for partition, offset in found.items() if partition in wanted}


def advance(connection: sa.Connection, view: str, positions: Mapping[TopicPartition, int]) -> None:
    """Move ``view`` on to ``positions``; it never goes back."""
    together(connection, advancing(connection, view, positions))


def advancing(connection: sa.Connection, view: str, positions: Mapping[TopicPartition, int]) -> list[Step]:
    """``advance`` as a step beside others."""
    rows = [
        {"view": view, "topic": partition.topic, "partition": partition.partition, "next_offset": offset}
        for partition, offset in sorted(positions.items())
    ]
    return [Step(_advance(connection.dialect.name), rows)] if rows else []


@lru_cache
def _advance(dialect: str) -> sa.Insert:
    insert = rows_into(dialect, applied_offsets)
    return insert.on_conflict_do_update(
        index_elements=list(applied_offsets.primary_key),
        set_={"next_offset": insert.excluded.next_offset},
        where=insert.excluded.next_offset > applied_offsets.c.next_offset,
    )

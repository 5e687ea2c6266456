"""The table of replicas: each serving process reports periodically which model generations its indexes hold."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database, clock_ms
from ranking.database.tables import replicas

ALIVE_S: Final = 30.0
"""Seconds after which a process that says nothing no longer counts."""
_FORGOTTEN_S: Final = 86_400.0
_NOTHING: Final = "-"


class ReplicaState(NamedTuple):
    """A serving process: clips held by generation, and whether it has read the logs to their end."""

    replica: str
    clips: Mapping[str, int]
    caught_up: bool


class Replicas:
    """Times are of the database's clock, for hosts' clocks differ. Every method raises ``StoreUnavailable`` or
    ``StoreRefused`` if the database fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, state: ReplicaState) -> None:
        """A serving process says what it holds."""
        table = replicas.c
        held = sorted((state.clips or {_NOTHING: 0}).items())
        said = {"replica": state.replica, "caught_up": state.caught_up}
        with self._database.writing() as connection:
            at_ms = clock_ms(connection)
            stale = sa.or_(table.replica == state.replica, table.seen_at_ms < at_ms - round(_FORGOTTEN_S * 1000))
            connection.execute(sa.delete(replicas).where(stale))
            rows = [{**said, "generation": name, "clips": clips, "seen_at_ms": at_ms} for name, clips in held]
            connection.execute(sa.insert(replicas), rows)

    def leave(self, replica: str) -> None:
        """A serving process stops."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(replicas).where(replicas.c.replica == replica))

    def alive(self) -> list[ReplicaState]:
        """The serving processes that said something within ``ALIVE_S``, by name."""
        table = replicas.c
        query = sa.select(table.replica, table.generation, table.clips, table.caught_up)
        clips: dict[str, dict[str, int]] = {}
        caught_up: dict[str, bool] = {}
        with self._database.reading() as connection:
            since_ms = clock_ms(connection) - round(ALIVE_S * 1000)
            lately = query.where(table.seen_at_ms >= since_ms).order_by(table.replica, table.generation)
            for row in connection.execute(lately):
                caught_up[row.replica] = bool(row.caught_up)
                held = clips.setdefault(row.replica, {})
                if row.generation != _NOTHING:
                    held[row.generation] = int(row.clips)
        return [ReplicaState(name, held, caught_up[name]) for name, held in clips.items()]


def obstacles(generation: str, clips: int, serving: Sequence[ReplicaState]) -> list[str]:
    """Why some of ``serving`` could not answer for ``clips`` clips of ``generation``, a sentence each."""
    found = []
    for each in serving:
        held = each.clips.get(generation, 0)
        if held < clips:
            found.append(f"{each.replica} holds {held:,} of its {clips:,} clips")
        elif not each.caught_up:
            found.append(f"{each.replica} has not read the logs to their end")
    return found

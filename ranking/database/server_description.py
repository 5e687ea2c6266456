"""The database's server as it is, for whoever has to judge its settings."""

from typing import Any

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database, clock_ms
from ranking.database.migrations import current_revision, revisions

_SETTINGS = (
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "server_encoding",
    "server_version",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "fsync",
    "full_page_writes",
)


class ServerDescription(msgspec.Struct, frozen=True, kw_only=True):
    """``revision`` is that of the tables that are there, ``head`` that of this release; ``known``: whether this release
    knows ``revision``. ``settings``: PostgreSQL's, durations in milliseconds; empty for SQLite. ``connections``: those
    that are open now. ``clock_ms``: its clock, in milliseconds since 1970.
    """

    dialect: str
    revision: str | None
    head: str
    known: bool
    clock_ms: int
    settings: dict[str, str] = {}
    connections: int = 0
    in_recovery: bool = False


def describe_server(database: Database) -> ServerDescription:
    """Changes nothing. Raises ``StoreUnavailable`` if it does not answer and ``StoreRefused`` if it refuses."""
    with database.reading() as connection:
        ours: dict[str, Any] = {"settings": {}, "connections": 0, "in_recovery": False}
        if database.dialect == "postgresql":
            rows = connection.execute(
                sa.text("SELECT name, setting FROM pg_settings WHERE name IN :names").bindparams(
                    sa.bindparam("names", _SETTINGS, expanding=True)
                )
            )
            ours = {
                "settings": {row.name: row.setting for row in rows},
                "connections": connection.scalars(
                    sa.text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
                ).one(),
                "in_recovery": connection.scalars(sa.text("SELECT pg_is_in_recovery()")).one(),
            }
        revision, (head, known) = current_revision(connection), revisions()
        return ServerDescription(
            dialect=database.dialect,
            revision=revision,
            head=head,
            known=revision is None or revision in known,
            clock_ms=clock_ms(connection),
            **ours,
        )

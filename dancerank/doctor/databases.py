"""The database: whether it answers with this release's tables, and settings that break what is done with it."""

from collections.abc import Iterator
from typing import Final

from dancerank.doctor.findings import Finding, error, ok, warning
from dancerank.settings import Settings
from ranking.database.server_description import ServerDescription

_MORE_CONNECTIONS: Final = "raise max_connections, or lower ranking.database_connections"
_LATE_MS: Final = 1_000
_WRONG_MS: Final = 60_000
_STATEMENT_MS: Final = 60_000
"""A batch, a migration or a content hash of a large database may take about so long."""
_IDLE_MS: Final = 60_000
"""A transaction waits meanwhile for tombstones to be acknowledged, or for a decision's turn."""


def examine_database(settings: Settings, place: str, server: ServerDescription, now_ms: int) -> Iterator[Finding]:
    """``place``: its URL, without a password; ``now_ms``: this machine's clock."""
    where = f"database {place}"
    found = [*_schema(where, server), *_clock(where, server.clock_ms - now_ms)]
    if server.dialect == "postgresql":
        found += [*_postgresql(where, server), *_connections(where, settings, server)]
    else:
        found.append(
            warning(where, "is SQLite, which serves the processes of one host", "use PostgreSQL for several hosts")
        )
    yield ok(where, f"answers; {server.dialect} {server.settings.get('server_version', '')}".rstrip())
    yield from found


def _schema(where: str, server: ServerDescription) -> Iterator[Finding]:
    if not server.known:
        yield error(
            where,
            f"has tables of a newer release (revision {server.revision})",
            "install that release, or name a new database, which is filled from the log",
        )
    elif server.revision is None:
        yield warning(
            where,
            "has no tables of dancerank yet",
            "start a process, which creates them, or correct ranking.database_url",
        )
    elif server.revision != server.head:
        yield warning(
            where,
            f"has tables of an older release (revision {server.revision}, this one has {server.head})",
            "make a backup, then start a process: it brings them up to date",
        )


def _clock(where: str, ahead_ms: int) -> Iterator[Finding]:
    if abs(ahead_ms) > _LATE_MS:
        judged = error if abs(ahead_ms) > _WRONG_MS else warning
        side = "ahead of" if ahead_ms > 0 else "behind"
        yield judged(
            where, f"has a clock {abs(ahead_ms) / 1000:.1f} s {side} this machine's", "synchronize both clocks (NTP)"
        )


def _postgresql(where: str, server: ServerDescription) -> Iterator[Finding]:
    found = server.settings
    if (encoding := found.get("server_encoding", "UTF8")) != "UTF8":
        yield error(
            where,
            f"is encoded in {encoding}: ids in other scripts cannot be stored",
            "create a database WITH ENCODING 'UTF8' TEMPLATE template0",
        )
    if server.in_recovery or found.get("default_transaction_read_only") == "on":
        yield error(where, "takes no writes (a standby, or read-only)", "name the primary in ranking.database_url")
    for name in ("fsync", "full_page_writes"):
        if found.get(name) == "off":
            yield error(where, f"may be destroyed by a crash of its host ({name}=off)", f"set {name}=on")
    if (level := found.get("default_transaction_isolation", "read committed")) != "read committed":
        yield warning(
            where,
            f"runs transactions as {level} by default: workers that write at once fail and try again",
            "set default_transaction_isolation to 'read committed' for its user",
        )
    if 0 < (limit_ms := int(found.get("statement_timeout", 0))) < _STATEMENT_MS:
        yield warning(
            where,
            f"ends statements after {limit_ms / 1000:g} s (statement_timeout): large batches and migrations fail",
            "ALTER ROLE … SET statement_timeout = '60s', or 0",
        )
    if 0 < (limit_ms := int(found.get("idle_in_transaction_session_timeout", 0))) < _IDLE_MS:
        yield warning(
            where,
            f"ends transactions that are idle for {limit_ms / 1000:g} s (idle_in_transaction_session_timeout)",
            "ALTER ROLE … SET idle_in_transaction_session_timeout = '60s', or 0",
        )


def _connections(where: str, settings: Settings, server: ServerDescription) -> Iterator[Finding]:
    found, each = server.settings, settings.ranking.database_connections
    reserved = sum(int(found.get(f"{kind}reserved_connections", 0)) for kind in ("superuser_", ""))
    most = int(found.get("max_connections", 100)) - reserved
    free = most - server.connections
    says = f"takes {most} connections, {server.connections} are open, and each process may open {each}"
    if most < each:
        yield error(where, says, _MORE_CONNECTIONS)
    elif free < each:
        yield warning(where, f"{says}: another process may find none", _MORE_CONNECTIONS)
    else:
        yield ok(where, f"{says}: room for {free // each} processes more")

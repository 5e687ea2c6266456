"""Errors of the database and of index snapshots."""

from schemas.errors.families import FinalError, RetriableError, Surface


class SnapshotError(FinalError):
    """An index snapshot that cannot be loaded."""

    code = "snapshot"
    remedy = "Delete the snapshot that the message names; the index is rebuilt from the log."


class SnapshotNotWritten(RetriableError):
    """The disk refused an index snapshot; the previous one stays current, and the next interval tries again."""

    code = "snapshot_not_written"
    remedy = "Free space, or correct the permissions of `ranking.index_folder`. Until then the next start takes longer."
    surfaces = (Surface.LOG,)


class StoreRefused(FinalError):
    """The database refused a statement, or its schema is not the one of this release."""

    code = "store"
    remedy = "Run the migrations of this release (any process does at its start), or correct the rights of its user."
    surfaces = (Surface.COMMAND, Surface.HTTP)


class StoreUnavailable(RetriableError):
    """The database did not answer, or asked for the transaction to be tried again."""

    code = "store_unavailable"
    remedy = "Nothing if it passes; otherwise check the database and `ranking.database_url`."
    surfaces = (Surface.RECONNECT, Surface.COMMAND, Surface.HTTP)


class DatabaseBusy(StoreUnavailable):
    """All database connections of this process stayed in use for as long as a request may wait for one."""

    code = "database_busy"
    remedy = "Nothing if it passes; otherwise raise `ranking.database_connections`, or run more processes."


class RankingsBehind(RetriableError):
    """The rankings do not yet hold the clips that the traffic pools have to decide about."""

    code = "rankings_behind"
    remedy = "Run `dancerank rank` on the same database, or more of them if their lag grows."
    surfaces = (Surface.RECONNECT,)

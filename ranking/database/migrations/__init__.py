"""The database schema's history, applied from the installed package."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from schemas.errors import StoreRefused

_ADVISORY_LOCK: Final = 0x64616E6365  # "dance"


def upgrade(connection: sa.Connection) -> None:
    """Bring the database to the newest schema, within the transaction of ``connection``.

    Raises ``StoreRefused`` if the schema is of another release that this one does not know.
    """
    config = _config()
    # One process migrates at a time; the others wait and find nothing to do. SQLite has one writer at a time anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreRefused(
            f"the database's schema is of a newer release ({error}); install that release, or name a new database, "
            "which is filled from the log"
        ) from error


def current_revision(connection: sa.Connection) -> str | None:
    """The revision of the tables that are there; ``None`` without any."""
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> tuple[str, frozenset[str]]:
    """The newest schema's revision, and all that this release knows."""
    scripts = ScriptDirectory.from_config(_config())
    return str(scripts.get_current_head()), frozenset(each.revision for each in scripts.walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config

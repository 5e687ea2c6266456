"""The database schema's history, applied from the installed package."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

_ADVISORY_LOCK: Final = 0x64616E6365  # "dance"


def upgrade(connection: sa.Connection) -> None:
    """Bring the database to the newest schema, within the transaction of ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    # One process migrates at a time; the others wait and find nothing to do. SQLite has one writer at a time anyway.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

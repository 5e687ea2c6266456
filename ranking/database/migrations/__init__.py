"""The database schema's history, applied from the installed package."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from ranking.database.connection import open_engine, writing

_ADVISORY_LOCK: Final = 0x64616E6365  # "dance"


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest schema; it is safe to call at every start, from many processes.

    Raises ``ConfigurationError`` for an impossible URL, ``StoreUnavailable`` or ``StoreRefused`` if the database fails.
    """
    engine = open_engine(url)
    try:
        upgrade_engine(engine)
    finally:
        engine.dispose()


def upgrade_engine(engine: sa.Engine) -> None:
    """The same for an engine that is open already, which an in-memory database needs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with writing(engine) as connection:
        # One process migrates at a time; the others wait and find nothing to do. SQLite's writers queue by themselves.
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

"""The database that a command reads: it has to be there, for a command that reads creates none."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final, NamedTuple

from dancerank.processes import Processes
from dancerank.settings import Settings
from dancerank.settings_values import without_password
from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from schemas.clock import SystemClock
from schemas.errors import FinalError


class NoData(FinalError):
    """The database or index snapshot asked is empty; the message names it and the process that fills it."""

    code = "no_data"
    remedy = "Run the process that the message names, or correct the setting that it names."


class Sought(NamedTuple):
    """``what`` a command reads in the database, and the process that fills it, as half a sentence."""

    what: str
    filled_by: str


RANKINGS: Final = Sought("rankings", "dancerank rank, or dancerank serve --with-rank, fills it from the log")
POOLS: Final = Sought("traffic pools", "dancerank pools run adopts a policy for them")


@contextmanager
def existing_database(settings: Settings, sought: Sought) -> Iterator[Database]:
    """The database as it is. Raises ``NoData`` for one without tables, instead of creating the file or the tables."""
    with closing(Processes(settings).open_database()) as database:
        if (absence := database.absence()) is not None:
            raise lacking(settings, sought, absence)
        yield database


@contextmanager
def opened_rankings(settings: Settings) -> Iterator[Database]:
    """The database, brought to this release's schema. Raises ``NoData`` for one without tables."""
    with existing_database(settings, RANKINGS) as database:
        database.migrate()
        yield database


@contextmanager
def opened_pools(settings: Settings) -> Iterator[Database]:
    """The database, brought to this release's schema. Raises ``NoData`` if no policy was ever adopted in it."""
    with existing_database(settings, POOLS) as database:
        database.migrate()
        if not PoolReader(database, SystemClock()).has_policy():
            raise lacking(settings, POOLS)
        yield database


def lacking(settings: Settings, sought: Sought, absence: str | None = None) -> NoData:
    """The error that the database holds nothing of what is ``sought``, for ``absence`` if it has no tables."""
    url = without_password(settings.ranking.database_url)
    because = "" if absence is None else f": {absence}"
    return NoData(f"no {sought.what} in {url} (ranking.database_url){because}; {sought.filled_by}")

"""``content-hash``: what the views hold, as one SHA-256 each (docs/operation.md)."""

from contextlib import closing

import typer

from dancerank.commands.databases import NoData
from dancerank.commands.options import Config
from dancerank.console.progress import working
from dancerank.processes import Processes
from dancerank.settings import load_settings
from dancerank.settings_values import without_password
from ranking.scores.store import ScoreStore


def content_hash(config: Config = None) -> None:
    """Print the SHA-256 of what the database's rankings and the newest index snapshot hold, to compare two copies.

    Two databases, or two index snapshots, hash alike exactly if they hold the same clips, scores or vectors, and
    deletions, bit by bit; in which order and how often the records were applied does not count. Compare copies that
    have read the logs equally far, with one release. A database and an index never hash alike.
    """
    settings = load_settings(config)
    processes, found = Processes(settings), dict[str, str]()
    with closing(processes.open_database()) as database:
        if (absence := database.absence()) is None:
            with working("hashing the rankings"):
                found["rankings"] = ScoreStore(database).content()
    with working("hashing the index snapshot"):
        index = processes.open_index()
        if index.clips():
            found["index"] = index.content()
    if not found:
        url, folder = without_password(settings.ranking.database_url), settings.ranking.index_folder
        raise NoData(
            f"neither rankings in {url} (ranking.database_url): {absence}; nor an index snapshot in {folder} "
            "(ranking.index_folder); dancerank serve --with-rank makes both"
        )
    for name in ("rankings", "index"):
        typer.echo(f"{found.get(name, 'none'):64}  {name}")

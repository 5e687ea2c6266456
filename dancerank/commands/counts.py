"""``check-counts``: whether ranks are counted from what the database holds (docs/operation.md)."""

from typing import Annotated

import typer

from dancerank.commands.databases import opened_rankings
from dancerank.commands.options import Config
from dancerank.console.progress import working
from dancerank.settings import load_settings
from ranking.scores.store import ScoreStore


def check_counts(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Count again where they differ; writers wait.")] = False,
    config: Config = None,
) -> None:
    """Compare the counts that ranks, percentiles and means come from with the rows, clip by clip.

    Reads the whole database. Lists the challenges that differ and exits with status 1, unless --rebuild mends them. No
    process has to be stopped.
    """
    with opened_rankings(load_settings(config)) as database:
        store = ScoreStore(database)
        with working("comparing counts with rows"):
            found = store.count_differences()
        for difference in found:
            typer.echo(str(difference))
        if not found:
            typer.echo("every count is that of the rows")
        elif rebuild:
            with working("counting the rows"):
                store.rebuild_counts()
            typer.echo("counted again")
        else:
            typer.echo(
                "run dancerank check-counts --rebuild, and report what came before: counts never differ by themselves"
            )
            raise typer.Exit(1)

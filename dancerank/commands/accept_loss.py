"""``offsets accept-loss``: an operator's decision that views may continue without deletions that were dropped."""

import logging
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, existing_database
from dancerank.commands.options import Config
from dancerank.console.progress import working
from dancerank.console.terminal import Console, confirm
from dancerank.logs import configure_logs
from dancerank.processes import Processes
from dancerank.settings import load_settings
from dancerank.settings_values import without_password
from ranking.pools.service.transaction import POOLS_VIEW
from ranking.scores.store import SCORES_VIEW
from ranking.views.accepted_losses import AcceptedLosses
from ranking.views.applied_offsets import ViewPositions
from schemas.errors import ConfigurationError
from transport.group_offsets import partition_ends

log = logging.getLogger(__name__)

_NONE = "–"


def accept_loss(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: Config = None,
) -> None:
    """Let views continue without the deletions that their topic has dropped.

    Clips that only those deletions name stay visible wherever they were not applied: send the deletions again first.
    The decision is stored in the database, holds for every process on it, and is logged. No process has to be stopped.
    """
    settings = load_settings(config)
    processes, console, topic = Processes(settings), Console(), settings.ranking.deletions_topic
    with working(f"asking Kafka at {processes.connection}"):
        ends = partition_ends(processes.connection, [topic])
    if not ends:
        raise ConfigurationError(
            f"there is no topic {topic} (ranking.deletions_topic) that could have dropped anything",
            field="deletions_topic",
        )
    with existing_database(settings, RANKINGS) as database:
        place = without_password(settings.ranking.database_url)
        losses, positions = AcceptedLosses(database), ViewPositions(database)
        accepted = losses.of(ends)
        starts = {at: each.start for at, each in ends.items() if each.start > accepted.get(at, 0)}
        if not starts:
            console.print(f"Nothing was dropped from {topic} that is not accepted already.", highlight=False)
            return
        views = {"rankings at": positions.of(SCORES_VIEW, starts), "pools at": positions.of(POOLS_VIEW, starts)}
        columns = [Column(name, justify="right") for name in ("partition", "first", *views, "accepted before")]
        table = Table(Column("topic", overflow="fold"), *columns)
        for at, start in sorted(starts.items()):
            shown = [str(found.get(at, _NONE)) for found in (*views.values(), accepted)]
            table.add_row(Text(at.topic), str(at.partition), str(start), *shown)
        console.print(table)
        console.print(
            "Deletions from a view's position to the first offset are lost to it; an index lacks those since its "
            "snapshot, a view that is built again all before the first offset.",
            highlight=False,
        )
        if not yes:
            confirm("Continue without them?")
        losses.accept(starts)
    configure_logs(settings.log)
    for at, start in sorted(starts.items()):
        log.warning("deletions before offset %d of %s[%d] were accepted as lost, in %s", start, *at, place)

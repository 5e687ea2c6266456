"""``offsets``: how far each group of workers has come, and setting it to another place (docs/operation.md)."""

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Final

import typer

from dancerank.commands.databases import Sought, lacking
from dancerank.commands.options import Config, parse_moment
from dancerank.commands.tables.offsets import Standing, Workers, meaning, reset_table, standing_table
from dancerank.console.progress import working
from dancerank.console.terminal import Console, confirm
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from dancerank.settings_values import without_password
from dancerank.topics import topics_read
from ranking.pools.service.transaction import POOLS_VIEW
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import ViewPositions
from schemas.errors import ConfigurationError
from schemas.ports import TopicPartition
from transport.connection import KafkaConnection
from transport.group_offsets import (
    PartitionEnds,
    Place,
    check_empty,
    committed_offsets,
    members_of,
    offsets_at,
    partition_ends,
    set_offsets,
)

_VIEWS: Final = {"ranking": SCORES_VIEW, "pools": POOLS_VIEW}
_POSITIONS: Final = Sought("positions", "a new database is filled from the start of the topics")

_ENDS: Final[dict[str, Place]] = {"earliest": "earliest", "latest": "latest"}


def show(
    group: Annotated[Workers | None, typer.Option(help="Only this group. Default: all.")] = None,
    config: Config = None,
) -> None:
    """Show positions, ends, lag and members by partition, for each group."""
    settings = load_settings(config)
    connection, console = Processes(settings).connection, Console()
    used = [each for each in Workers if each is not Workers.VIDEOS or settings.streamer.extractor]
    for workers in [group] if group is not None else used:
        standing = _standing(settings, connection, workers)
        if standing.ends:
            console.print(standing_table(standing))
        else:
            console.print(
                f"{workers}: none of the topics that group {standing.group} reads exists yet", highlight=False
            )


def reset(
    group: Annotated[
        Workers, typer.Option(help="The group whose positions are set. Its processes have to be stopped.")
    ],
    to: Annotated[
        str,
        typer.Option(
            help="earliest, latest, or an ISO date or time (UTC without an offset): the first record since then."
        ),
    ],
    topic: Annotated[
        list[str] | None, typer.Option(help="Only partitions of this topic; may be given several times.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be set.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: Config = None,
) -> None:
    """Let a group of workers continue at another place of its topics.

    Records that are read again change nothing in the rankings and the pools, and uploads are scored again; records
    that are passed over are not read by this group at all.
    """
    place = _place(to)
    settings = load_settings(config)
    connection, console = Processes(settings).connection, Console()
    standing = _standing(settings, connection, group)
    ends = _chosen(standing, topic or ())
    if standing.absence is not None:
        raise lacking(settings, _POSITIONS, standing.absence)
    if not dry_run:
        check_empty(connection, standing.group)
    targets = offsets_at(connection, ends, place)
    console.print(reset_table(standing, targets))
    console.print(meaning(standing, targets), highlight=False)
    if dry_run:
        console.print("Nothing was set.")
        return
    if not yes:
        confirm("Set these positions?")
    if standing.view is not None:
        # Kafka's come last: lag tools alone read them, and if they cannot be set the same command does it again.
        check_empty(connection, standing.group)
        with closing(Processes(settings).open_database()) as database:
            ViewPositions(database).set(standing.view, targets)
    set_offsets(connection, standing.group, targets)
    console.print(f"The positions of {len(targets)} partitions are set; start the processes again.", highlight=False)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"show": show, "reset": reset}


def _standing(settings: Settings, connection: KafkaConnection, workers: Workers) -> Standing:
    groups = {
        Workers.STREAMER: settings.kafka.streamer_group,
        Workers.VIDEOS: settings.kafka.videos_group,
        Workers.RANKING: settings.kafka.ranking_group,
        Workers.POOLS: settings.kafka.pools_group,
    }
    group, view, absence = groups[workers], _VIEWS.get(workers), None
    place = without_password(settings.ranking.database_url)
    with working(f"asking Kafka at {connection} and {place} about group {group}"):
        ends = partition_ends(connection, topics_read(settings)[workers])
        if view is None:
            positions = committed_offsets(connection, group)
        else:
            with closing(Processes(settings).open_database()) as database:
                absence = database.absence()
                positions = {} if absence is not None else ViewPositions(database).of(view, ends)
        members = members_of(connection, group)
        return Standing(workers, group, view, place, ends, positions, members, absence)


def _place(text: str) -> Place:
    if (end := _ENDS.get(text)) is not None:
        return end
    try:
        return parse_moment(text, "to")
    except ConfigurationError as error:
        raise ConfigurationError(
            f"--to {text!r} is not a place; write earliest, latest, or a date or time such as 2026-03-01T12:00",
            field="to",
        ) from error


def _chosen(standing: Standing, topics: list[str] | tuple[str, ...]) -> dict[TopicPartition, PartitionEnds]:
    there = sorted({at.topic for at in standing.ends})
    for topic in topics:
        if topic not in there:
            raise ConfigurationError(
                f"group {standing.group} reads no topic {topic!r} that exists; those are {', '.join(there) or 'none'}",
                field="topic",
            )
    if not there:
        raise ConfigurationError(
            f"none of the topics that group {standing.group} reads exists; there is nothing to set", field="group"
        )
    return {at: ends for at, ends in standing.ends.items() if not topics or at.topic in topics}

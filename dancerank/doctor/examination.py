"""Connects to everything that the settings name, and examines each; what fails is a finding too."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from dancerank.doctor.clusters import examine_cluster
from dancerank.doctor.databases import examine_database
from dancerank.doctor.extraction import examine_extraction
from dancerank.doctor.findings import Finding, Level, error, ok
from dancerank.doctor.host import examine_host
from dancerank.doctor.positions import examine_deletions, examine_positions
from dancerank.doctor.topics import every_topic, examine_topics
from dancerank.doctor.vectors import examine_vectors
from dancerank.processes import Processes
from dancerank.settings_values import without_password
from dancerank.topics import topics_read
from ranking.database.connection import Database
from ranking.database.server_description import describe_server
from ranking.pools.service.transaction import POOLS_VIEW
from ranking.scores.store import SCORES_VIEW
from ranking.views.accepted_losses import AcceptedLosses
from ranking.views.applied_offsets import ViewPositions
from schemas.errors import DancerankError, TransportError
from schemas.local_files import is_folder
from transport.cluster import describe_cluster
from transport.group_offsets import committed_offsets, members_of, partition_ends
from transport.topics import allowed_operations, describe_topics

_VIEWS: Final = {"ranking": SCORES_VIEW, "pools": POOLS_VIEW}


def examine(processes: Processes) -> Iterator[Finding]:
    """Kafka, the database, a server of vectors, and this machine, in this order. Changes nothing."""
    yield from _kafka(processes)
    yield from _database(processes)
    yield from examine_vectors(processes)
    yield from _positions(processes)
    yield from examine_host(processes)
    yield from examine_extraction(processes.settings)


def has_errors(findings: list[Finding]) -> bool:
    """Whether any of them is an error."""
    return any(each.level is Level.ERROR for each in findings)


def _kafka(processes: Processes) -> Iterator[Finding]:
    settings, connection = processes.settings, processes.connection
    where = f"Kafka at {connection}"
    try:
        yield from examine_cluster(settings, describe_cluster(connection))
        names = every_topic(settings)
        topics, allowed = describe_topics(connection, names), allowed_operations(connection, names)
        yield from examine_topics(settings, topics, allowed)
        kafka = settings.kafka
        videos = [kafka.videos_group] if settings.streamer.extractor else []
        for group in (kafka.streamer_group, *videos, kafka.ranking_group, kafka.pools_group):
            members = len(members_of(connection, group))
            yield ok(f"group {group}", "has 1 member" if members == 1 else f"has {members} members")
    except DancerankError as problem:
        yield error(where, problem.message, type(problem).remedy)


def _database(processes: Processes) -> Iterator[Finding]:
    place = without_password(processes.settings.ranking.database_url)
    try:
        with closing(processes.open_database()) as database:
            if database.missing_file is not None:
                yield _absent(place, database)
                return
            server = describe_server(database)
        yield from examine_database(processes.settings, place, server, processes.clock.now_ms())
    except DancerankError as problem:
        yield error(f"database {place}", problem.message, type(problem).remedy)


def _absent(place: str, database: Database) -> Finding:
    file = database.missing_file
    if file is not None and is_folder(file.parent):
        return ok(f"database {place}", "is not there yet; the first process creates it")
    return error(
        f"database {place}", "is not there, nor its folder", "create the folder, or correct ranking.database_url"
    )


def _positions(processes: Processes) -> Iterator[Finding]:
    settings, connection = processes.settings, processes.connection
    deletions = settings.ranking.deletions_topic
    try:
        ends = {role: partition_ends(connection, topics) for role, topics in topics_read(settings).items()}
        groups = {"streamer": settings.kafka.streamer_group, "videos": settings.kafka.videos_group}
        for role, group in groups.items():
            if ends[role]:
                yield from examine_positions(f"group {group}", ends[role], committed_offsets(connection, group))
        with closing(processes.open_database()) as database:
            is_there = database.absence() is None
            losses = AcceptedLosses(database) if is_there else None
            for role, view in _VIEWS.items():
                positions = ViewPositions(database).of(view, ends[role]) if is_there else {}
                yield from examine_positions(f"view {view}", ends[role], positions)
            yield from examine_deletions(deletions, ends["ranking"], losses)
    except TransportError:
        return  # Kafka's own finding says so
    except DancerankError as problem:
        yield error("positions", f"cannot be compared with the logs: {problem.message}", type(problem).remedy)

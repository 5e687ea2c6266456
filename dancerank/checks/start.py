"""What a process needs before it starts: what is missing is said at once, each thing in a sentence."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from dancerank.checks.kafka import Process, check_rights, topic_warnings, topics_written
from dancerank.doctor.topics import kept_wrongly
from dancerank.logs import client_held_back
from dancerank.processes import Processes
from dancerank.settings import Settings
from dancerank.settings_values import without_password
from dancerank.topics import topics_read
from ranking.scores.store import ScoreStore
from schemas.bundle import read_manifest
from schemas.errors import (
    BundleError,
    DancerankError,
    FinalError,
    KafkaRefused,
    RetriableError,
    StoreRefused,
    StoreUnavailable,
    TransportError,
)
from streamer.roots import FeatureRoots
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.group_offsets import members_of
from transport.topics import describe_topics

log = logging.getLogger(__name__)


class CannotStart(FinalError):
    """Several things are missing, at least one of which a person has to provide; the message has a line for each."""

    code = "cannot_start"
    remedy = "Provide what each line of the message names, then start the process again."


class CannotStartYet(RetriableError):
    """Several things that the process needs do not answer; the message has a line for each."""

    code = "cannot_start_yet"
    remedy = "Start the process again once they answer; a supervisor that restarts it is enough."


def check_start(processes: Processes, process: Process) -> None:
    """Make sure that everything is there that ``process`` needs: Kafka and the topics, which are created if they are
    absent, the rights on them, a bundle to stream, a database for all others, which is brought up to date.

    Raises the error of what is missing; ``CannotStart`` or ``CannotStartYet`` naming all if it is more than one thing.
    Logs a warning for what lets the process run, but not as may be expected.
    """
    database_or_bundle = (lambda: processes.bundle) if process == "stream" else partial(_check_database, processes)
    needs: list[Callable[[], object]] = [partial(_check_topics, processes, process), database_or_bundle]
    if process == "serve":
        _ = processes.index_backend  # a wrong setting fails before Kafka is waited for
    log.info("connecting to Kafka at %s", processes.connection)
    missing: list[DancerankError] = []
    with client_held_back():
        for need in needs:
            try:
                need()
            except DancerankError as error:
                missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        kind = CannotStart if any(isinstance(error, FinalError) for error in missing) else CannotStartYet
        raise kind("\n".join(error.message for error in missing)) from missing[0]
    if process != "stream" and (sentence := _other_generation(processes)) is not None:
        log.warning(sentence)
    try:
        for sentence in start_warnings(processes.settings, processes.connection, process):
            log.warning(sentence)
    except (TransportError, KafkaRefused) as error:
        # Describing settings and groups takes rights that running does not.
        log.warning("cannot check the topics and groups any further: %s", error)


def start_warnings(settings: Settings, connection: KafkaConnection, process: Process) -> Iterator[str]:
    """What is not as it should be though ``process`` can run, a sentence each. Raises ``TransportError``."""
    read = {name for names in topics_read(settings).values() for name in names}
    topics = describe_topics(connection, {*read, *map(dead_letter_topic, read), *topics_written(settings, process)})
    for finding in kept_wrongly(settings, topics):
        yield finding.sentence
    if process == "stream" and not settings.streamer.feature_roots:
        yield (
            "streamer.feature_roots is empty: uploads that name feature files will be refused, only inline features "
            "are accepted"
        )
    if process == "stream":
        for root, reason in FeatureRoots(settings.streamer.feature_roots).unreadable_folders().items():
            yield (
                f"{root} of streamer.feature_roots cannot be read here ({reason}): uploads that name files below it "
                "are refused"
            )
    if process == "pools run" and not members_of(connection, settings.kafka.ranking_group):
        yield (
            f"group {settings.kafka.ranking_group} has no member: clips are looked at once the rankings hold them, so "
            "start dancerank rank on the same database"
        )
    yield from topic_warnings(settings, topics, process)
    yield from _idle(settings, connection, process, {name: topic.partitions for name, topic in topics.items()})


def _other_generation(processes: Processes) -> str | None:
    """Whether the bundle that these settings name is of another generation than the active one."""
    bundle = processes.settings.bundle
    if bundle is None:
        return None  # streamers elsewhere may have one of their own
    with processes.database() as database:
        active = ScoreStore(database).active_generation()
    try:
        generation = read_manifest(bundle).generation
    except BundleError as error:
        return f"this process runs without its bundle, which cannot be read: {error}"
    if active in (None, generation):
        return None
    return (
        f"bundle {bundle} is of generation {generation} and {active} is active: what streamers score with the bundle "
        f"is in no answer until it is activated, with dancerank generations use {generation}"
    )


def _idle(
    settings: Settings, connection: KafkaConnection, process: Process, partitions: dict[str, int]
) -> Iterator[str]:
    """Whether there are already as many workers as partitions: one more has nothing to do."""
    kafka = settings.kafka
    shared = {
        "stream": ("streamer", kafka.streamer_group),
        "rank": ("ranking", kafka.ranking_group),
        "pools run": ("pools", kafka.pools_group),
    }
    if process not in shared:
        return
    role, group = shared[process]
    most = max(partitions.get(topic, 0) for topic in topics_read(settings)[role])
    # A static member that is back takes its own place.
    others = [m for m in members_of(connection, group) if m.instance is None or m.instance != kafka.instance]
    if len(others) >= most > 0:
        yield (
            f"group {group} has a member for each of its {most} partitions: this process only stands by until one of "
            "them leaves; give the topics more partitions to use it"
        )


def _check_topics(processes: Processes, process: Process) -> None:
    processes.create_topics()
    check_rights(processes.settings, processes.connection, process)


def _check_database(processes: Processes) -> None:
    try:
        with processes.database():
            pass  # opened and brought to this release's schema
    except (StoreUnavailable, StoreRefused) as error:
        url = without_password(processes.settings.ranking.database_url)
        raise type(error)(f"the database {url} (ranking.database_url) cannot be used: {error.message}") from error

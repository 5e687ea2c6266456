"""The parts of each process, built from the settings. Every command and the demonstration build them here."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from dancerank.settings import Settings
from ranking.index import FaissIndexes
from ranking.index_view import IndexView
from ranking.loop import LoopSettings, LoopThread, StoredPositions, ViewLoop
from ranking.store import ScoreStore
from schemas.bundle import Bundle, read_bundle
from schemas.clock import Clock
from schemas.observation import Observer
from streamer.assembly import open_streamer
from streamer.pipeline import Streamer
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_spec
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

log = logging.getLogger(__name__)

_LOOP_STOP_S: Final = 30.0


def shipped_bundle() -> Path:
    """The small bundle inside this package, trained on synthetic clips."""
    return Path(str(files("dancerank") / "bundle"))


def bundle_folder(settings: Settings) -> Path:
    return settings.bundle or shipped_bundle()


def load_bundle(settings: Settings) -> Bundle:
    return read_bundle(bundle_folder(settings))


def connect(settings: Settings) -> KafkaConnection:
    kafka = settings.kafka
    secrets = {key: secret.get_secret_value() for key, secret in kafka.secrets.items()}
    return KafkaConnection(
        servers=kafka.bootstrap_servers, security={**kafka.security, **secrets}, timeout_s=kafka.timeout_s
    )


def create_topics(settings: Settings, connection: KafkaConnection) -> None:
    """Create the topics that are absent: uploads, the compacted log, and a dead-letter topic for each."""
    partitions, replication = settings.kafka.partitions, settings.kafka.replication
    uploads = TopicSpec(name=settings.streamer.uploads_topic, partitions=partitions, replication=replication)
    scored = TopicSpec(
        name=settings.streamer.scored_topic,
        partitions=partitions,
        replication=replication,
        config={"cleanup.policy": "compact"},
    )
    ensure_topics(connection, [uploads, scored, dead_letter_spec(uploads), dead_letter_spec(scored)])


def open_store(settings: Settings) -> ScoreStore:
    """The SQL view, its tables created or brought up to date."""
    store = ScoreStore(settings.ranking.database_url)
    store.migrate()
    return store


def open_index(settings: Settings, observer: Observer, clock: Clock) -> IndexView:
    """The index view as its newest snapshot left it, or empty."""
    ranking = settings.ranking
    view = IndexView(FaissIndexes(threads=ranking.index_threads), observer, clock, generation=ranking.generation)
    view.restore(ranking.index_folder)
    return view


@contextmanager
def streamer(
    settings: Settings, connection: KafkaConnection, bundle: Bundle, observer: Observer, clock: Clock
) -> Iterator[Streamer]:
    """A streamer in the streamer group, ready to run."""
    with closing(KafkaSink(connection)) as sink:
        opened = open_streamer(
            settings.streamer,
            bundle,
            open_source=lambda listener: KafkaSource(
                connection, [settings.streamer.uploads_topic], group=settings.kafka.streamer_group, listener=listener
            ),
            sink=sink,
            observer=observer,
            clock=clock,
        )
        with closing(opened):
            yield opened


@contextmanager
def sql_loop(
    settings: Settings, connection: KafkaConnection, store: ScoreStore, observer: Observer, clock: Clock
) -> Iterator[ViewLoop]:
    """Keeps the SQL view up to date, as a member of the ranking group."""
    topics = [settings.streamer.scored_topic]
    with closing(KafkaSink(connection)) as sink:
        source = KafkaSource(connection, topics, group=settings.kafka.ranking_group, listener=StoredPositions(store))
        yield ViewLoop(source, store, sink, observer, clock, _loop_settings(settings, commits=True))


def index_loop(
    settings: Settings, connection: KafkaConnection, view: IndexView, observer: Observer, clock: Clock
) -> ViewLoop:
    """Keeps the index view up to date: reads every partition, belongs to no group, and saves snapshots."""
    folder = settings.ranking.index_folder
    source = KafkaSource(connection, [settings.streamer.scored_topic], group=None, listener=StoredPositions(view))
    loop_settings = _loop_settings(settings, commits=False)
    return ViewLoop(source, view, None, observer, clock, loop_settings, save=lambda: view.save(folder))


@contextmanager
def in_thread(loop: ViewLoop, name: str) -> Iterator[LoopThread]:
    """Run a loop beside the caller; it finishes its batch at the end."""
    thread = LoopThread(loop, name=name)
    thread.start()
    try:
        yield thread
    finally:
        if not thread.stop(_LOOP_STOP_S):
            log.warning("%s was still busy after %s s; it continues from its last position", name, _LOOP_STOP_S)


def _loop_settings(settings: Settings, *, commits: bool) -> LoopSettings:
    ranking = settings.ranking
    return LoopSettings(max_records=ranking.batch_records, commits=commits, save_interval_s=ranking.snapshot_interval_s)

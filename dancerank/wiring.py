"""The parts of each process, built from the settings. Every command and the demonstration build them here."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import Settings
from ranking.index import FaissIndexes
from ranking.index_view import IndexView
from ranking.log import read_scored
from ranking.loop import LoopSettings, LoopThread, StoredPositions, ViewLoop
from ranking.monitoring.monitor import ModelMonitor, MonitorSettings
from ranking.monitoring.periodic import measuring
from ranking.pool_service.reading import PoolReader
from ranking.pool_service.store import PoolStore
from ranking.pool_service.worker import PoolEntry, PoolWorker, WorkerSettings, read_pool_entries
from ranking.pools.policy import Policy
from ranking.store import ScoreStore
from schemas.bundle import Bundle, read_bundle
from schemas.clock import Clock
from schemas.observation import Observer
from schemas.ports import ScoredRecord, View
from streamer.assembly import open_streamer
from streamer.pipeline import Streamer
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_spec
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource, SourceSettings
from transport.kafka_transactions import TransactionSettings
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
    """Create the topics that are absent: those read, the log compacted, with a dead-letter topic each; decisions."""
    pools = settings.pools
    uploads, engagement, deletions, decisions = (
        _topic(settings, name)
        for name in (
            settings.streamer.uploads_topic,
            pools.engagement_topic,
            pools.deletions_topic,
            pools.decisions_topic,
        )
    )
    scored = _topic(settings, settings.streamer.scored_topic, {"cleanup.policy": "compact"})
    read = [uploads, scored, engagement, deletions]
    ensure_topics(connection, [*read, *map(dead_letter_spec, read), decisions])


def _topic(settings: Settings, name: str, config: Mapping[str, str] | None = None) -> TopicSpec:
    kafka = settings.kafka
    return TopicSpec(name=name, partitions=kafka.partitions, replication=kafka.replication, config=config or {})


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
    group, patience_s = settings.kafka.streamer_group, settings.streamer.flush_timeout_s
    name = f"{group}-{settings.kafka.instance or uuid.uuid4().hex}"
    transactions = TransactionSettings(timeout_s=patience_s + connection.timeout_s, delivery_timeout_s=patience_s)
    with closing(open_results(connection, name, transactions)) as sink:
        opened = open_streamer(
            settings.streamer,
            bundle,
            open_source=lambda listener: KafkaSource(
                connection,
                [settings.streamer.uploads_topic],
                group=group,
                listener=listener,
                settings=_member(settings),
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
) -> Iterator[ViewLoop[ScoredRecord]]:
    """Keeps the SQL view up to date, as a member of the ranking group."""
    topics = [settings.streamer.scored_topic]
    with closing(KafkaSink(connection)) as sink:
        source = _shared_source(settings, connection, topics, settings.kafka.ranking_group, store)
        yield ViewLoop(source, store, read_scored, sink, observer, clock, _loop_settings(settings, commits=True))


def index_loop(
    settings: Settings, connection: KafkaConnection, view: IndexView, observer: Observer, clock: Clock
) -> ViewLoop[ScoredRecord]:
    """Keeps the index view up to date: reads every partition, belongs to no group, and saves snapshots."""
    folder = settings.ranking.index_folder
    source = KafkaSource(connection, [settings.streamer.scored_topic], group=None, listener=StoredPositions(view))
    loop_settings = _loop_settings(settings, commits=False)
    return ViewLoop(source, view, read_scored, None, observer, clock, loop_settings, upkeep=lambda: view.save(folder))


def open_pool_reader(settings: Settings, clock: Clock) -> PoolReader:
    """Answers about the traffic pools."""
    return PoolReader(settings.ranking.database_url, clock)


def _model_monitor(settings: Settings, observer: Observer, clock: Clock) -> ModelMonitor:
    values = settings.monitoring.model_dump(exclude={"measure_interval_s"})
    return ModelMonitor(settings.ranking.database_url, observer, clock, MonitorSettings(**values))


def pool_policy(settings: Settings) -> Policy:
    """The policy that the settings name, else the example that ships."""
    return read_policy(settings.pools.policy or shipped_policy())


@contextmanager
def pool_loop(
    settings: Settings, connection: KafkaConnection, observer: Observer, clock: Clock
) -> Iterator[ViewLoop[PoolEntry]]:
    """Decides about traffic pools, as a member of the pools' group; its policy is in force from now on. Measures how
    right the model was.
    """
    pools, policy = settings.pools, pool_policy(settings)
    topics = [settings.streamer.scored_topic, pools.engagement_topic, pools.deletions_topic]
    worker_settings = WorkerSettings(decisions_topic=pools.decisions_topic, round_interval_s=pools.round_interval_s)
    loop_settings = LoopSettings(max_records=pools.batch_records, upkeep_interval_s=pools.round_interval_s)
    measured_s = settings.monitoring.measure_interval_s
    with ExitStack() as stack:
        store = stack.enter_context(closing(PoolStore(settings.ranking.database_url, keeps_journal=pools.journal)))
        sink = stack.enter_context(closing(KafkaSink(connection)))
        reader = stack.enter_context(closing(open_pool_reader(settings, clock)))
        store.migrate()
        monitor = stack.enter_context(measuring(_model_monitor(settings, observer, clock), measured_s))
        worker = PoolWorker(store, policy, sink, observer, clock, worker_settings, seen=monitor.add, look=reader.pools)
        source = _shared_source(settings, connection, topics, settings.kafka.pools_group, worker)
        read = partial(read_pool_entries, scored_topic=settings.streamer.scored_topic)
        yield ViewLoop(source, worker, read, sink, observer, clock, loop_settings, upkeep=worker.round)


@contextmanager
def in_thread(loop: ViewLoop[Any], name: str) -> Iterator[LoopThread]:
    """Run a loop beside the caller; it finishes its batch at the end."""
    thread = LoopThread(loop, name=name)
    thread.start()
    try:
        yield thread
    finally:
        if not thread.stop(_LOOP_STOP_S):
            log.warning("%s was still busy after %s s; it continues from its last position", name, _LOOP_STOP_S)


def _member(settings: Settings) -> SourceSettings:
    """How this process is a member of its groups."""
    kafka = settings.kafka
    return SourceSettings(session_timeout_s=kafka.session_timeout_s, instance=kafka.instance)


def _shared_source(
    settings: Settings, connection: KafkaConnection, topics: list[str], group: str, view: View[Any]
) -> KafkaSource:
    """A member of ``group``, which continues where ``view`` stands."""
    return KafkaSource(connection, topics, group=group, listener=StoredPositions(view), settings=_member(settings))


def _loop_settings(settings: Settings, *, commits: bool) -> LoopSettings:
    ranking = settings.ranking
    return LoopSettings(
        max_records=ranking.batch_records, commits=commits, upkeep_interval_s=ranking.snapshot_interval_s
    )

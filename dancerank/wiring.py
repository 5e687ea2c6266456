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
from ranking.monitoring.monitor import ModelMonitor
from ranking.pools.policy import Policy
from ranking.pools.service.publishing import publishing
from ranking.pools.service.reading import PoolReader
from ranking.pools.service.store import PoolStore
from ranking.pools.service.worker import PoolEntry, PoolWorker, read_pool_entries
from ranking.scores.store import ScoreStore
from ranking.scores.view import ScoreView
from ranking.serving.api import Access, KeyRing
from ranking.serving.report import ServingReport
from ranking.vectors.backends.faiss_flat import FaissIndexes
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, read_log
from ranking.views.loop import LoopSettings, LoopThread, Reader, StoredPositions, ViewLoop
from ranking.views.periodic import every
from schemas.bundle import Bundle, read_bundle
from schemas.clock import Clock
from schemas.observation import Observer
from schemas.ports import View
from streamer.assembly import open_streamer
from streamer.pipeline import Streamer
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_spec
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink, SinkSettings
from transport.kafka_source import KafkaSource, SourceSettings
from transport.kafka_transactions import TransactionSettings
from transport.topics import TopicSpec, ensure_topics

log = logging.getLogger(__name__)

_LOOP_STOP_S: Final = 30.0
_COMMIT_INTERVAL_S: Final = 1.0
_REPORT_INTERVAL_S: Final = 1.0
_HEARTBEAT_S: Final = 3.0
_HEARTBEATS: Final = 5  # that may be lost before a member is given up


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
    """Create the topics that are absent: those read, with a dead-letter topic each, and decisions.

    Logs are compacted, and soon enough for a deletion to be one. Deletions are kept for ever and not compacted: one
    under a wrong key would drop another, and a view that is rebuilt needs them all.
    """
    uploads, engagement, decisions = (
        _topic(settings, name)
        for name in (
            settings.streamer.uploads_topic,
            settings.pools.engagement_topic,
            settings.pools.decisions_topic,
        )
    )
    lag_ms = str(round(settings.ranking.erased_within_s * 1000))
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": lag_ms}
    for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    logs = [_topic(settings, name, compacted) for name in {settings.streamer.scored_topic, *scored_topics(settings)}]
    deletions = _topic(settings, settings.ranking.deletions_topic, for_ever)
    read = [uploads, *logs, engagement, deletions]
    ensure_topics(connection, [*read, *map(dead_letter_spec, read), decisions])


def topics_read(settings: Settings) -> dict[str, list[str]]:
    """What the members of the groups ``streamer``, ``ranking`` and ``pools`` read."""
    log = _log_topics(settings)
    return {
        "streamer": [settings.streamer.uploads_topic],
        "ranking": log,
        "pools": [*log, settings.pools.engagement_topic],
    }


def scored_topics(settings: Settings) -> tuple[str, ...]:
    """The logs of scored clips that the views are built from."""
    return settings.ranking.scored_topics or (settings.streamer.scored_topic,)


def _log_topics(settings: Settings) -> list[str]:
    """What the views are built from."""
    return [*scored_topics(settings), settings.ranking.deletions_topic]


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
    view = IndexView(FaissIndexes(threads=ranking.index_threads), observer, clock)
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
    opened = open_streamer(
        settings.streamer,
        bundle,
        open_source=lambda listener: KafkaSource(
            connection,
            topics_read(settings)["streamer"],
            group=group,
            listener=listener,
            settings=_member(settings),
        ),
        open_sink=lambda: open_results(connection, name, transactions),
        observer=observer,
        clock=clock,
    )
    with closing(opened):
        yield opened


@contextmanager
def sql_loop(
    settings: Settings, connection: KafkaConnection, store: ScoreStore, observer: Observer, clock: Clock
) -> Iterator[ViewLoop[LogEntry]]:
    """Keeps the SQL view up to date, as a member of the ranking group."""
    topics = topics_read(settings)["ranking"]
    with closing(KafkaSink(connection)) as sink:
        view = ScoreView(store, sink, observer, scored_topics=scored_topics(settings))
        opened = partial(_shared_source, settings, connection, topics, settings.kafka.ranking_group, view)
        loop_settings, read = _loop_settings(settings, commits=True), _log_reader(settings)
        yield ViewLoop(opened(), view, read, sink, observer, clock, loop_settings, reopen=opened)


def index_loop(
    settings: Settings, connection: KafkaConnection, view: IndexView, observer: Observer, clock: Clock
) -> ViewLoop[LogEntry]:
    """Keeps the index view up to date: reads every partition, belongs to no group, and saves snapshots."""
    folder = settings.ranking.index_folder
    topics, listener = _log_topics(settings), StoredPositions(view)
    opened = partial(KafkaSource, connection, topics, group=None, listener=listener)
    loop_settings, read, save = (
        _loop_settings(settings, commits=False),
        _log_reader(settings),
        partial(view.save, folder),
    )
    return ViewLoop(opened(), view, read, None, observer, clock, loop_settings, maintenance=save, reopen=opened)


@contextmanager
def serving_report(
    settings: Settings, replica: str, index: IndexView, loop: ViewLoop[LogEntry], observer: Observer
) -> Iterator[None]:
    """Says from time to time, as ``replica``, what this process holds, and drops the generations that are retired."""
    url = settings.ranking.database_url
    report = ServingReport(replica, index, lambda: loop.caught_up, url, observer)
    with closing(report), every(_REPORT_INTERVAL_S, report.tell, name="serving-report", at_once=True):
        yield


def _log_reader(settings: Settings) -> Reader[LogEntry]:
    return partial(read_log, deletions_topic=settings.ranking.deletions_topic)


def api_access(settings: Settings, observer: Observer, clock: Clock) -> Access:
    """Who may use the HTTP API; raises ``ConfigurationError`` for a file of keys that cannot be read."""
    server = settings.server
    return Access(
        keys=None if server.api_keys is None else KeyRing(server.api_keys),
        requests_per_minute=server.requests_per_minute,
        metrics_are_open=server.metrics_without_key,
        max_request_bytes=server.max_request_bytes,
        clock=clock,
        observer=observer,
    )


def open_pool_reader(settings: Settings, clock: Clock) -> PoolReader:
    """Answers about the traffic pools."""
    return PoolReader(settings.ranking.database_url, clock)


def _model_monitor(settings: Settings, observer: Observer, clock: Clock) -> ModelMonitor:
    return ModelMonitor(settings.ranking.database_url, observer, clock, settings.monitoring)


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
    topics = topics_read(settings)["pools"]
    loop_settings = LoopSettings(
        max_records=pools.batch_records,
        maintenance_interval_s=pools.round_interval_s,
        commit_interval_s=_COMMIT_INTERVAL_S,
    )
    measured_s = settings.monitoring.measure_interval_s
    with ExitStack() as stack:
        store = stack.enter_context(closing(PoolStore(settings.ranking.database_url, keeps_journal=pools.journal)))
        sink = stack.enter_context(closing(KafkaSink(connection)))
        reader = stack.enter_context(closing(open_pool_reader(settings, clock)))
        store.migrate()
        monitor = stack.enter_context(closing(_model_monitor(settings, observer, clock)))
        stack.enter_context(every(measured_s, monitor.measure, name="model-monitor"))
        results = stack.enter_context(closing(KafkaSink(connection, SinkSettings(linger_s=0.0))))
        worker = PoolWorker(store, policy, results, observer, clock, pools, seen=monitor.add, look=reader.pools)
        worker.announce = stack.enter_context(publishing(worker.publish))
        opened = partial(_shared_source, settings, connection, topics, settings.kafka.pools_group, worker)
        read = partial(read_pool_entries, scored_topics=scored_topics(settings))
        maintenance = worker.round
        yield ViewLoop(
            opened(), worker, read, sink, observer, clock, loop_settings, maintenance=maintenance, reopen=opened
        )


@contextmanager
def in_thread(loop: ViewLoop[Any], name: str, within_s: float = _LOOP_STOP_S) -> Iterator[LoopThread]:
    """Run a loop beside the caller; at the end it has ``within_s`` seconds to finish its batch and its maintenance."""
    thread = LoopThread(loop, name=name)
    thread.start()
    try:
        yield thread
    finally:
        if not thread.stop(within_s):
            log.warning("%s was still busy after %s s; it continues from its last position", name, within_s)


def _member(settings: Settings) -> SourceSettings:
    """How this process is a member of its groups."""
    session_s = settings.kafka.session_timeout_s
    heartbeat_s = min(_HEARTBEAT_S, session_s / _HEARTBEATS)
    return SourceSettings(
        session_timeout_s=session_s, heartbeat_interval_s=heartbeat_s, instance=settings.kafka.instance
    )


def _shared_source(
    settings: Settings, connection: KafkaConnection, topics: list[str], group: str, view: View[Any]
) -> KafkaSource:
    """A member of ``group``, which continues where ``view`` stands."""
    return KafkaSource(connection, topics, group=group, listener=StoredPositions(view), settings=_member(settings))


def _loop_settings(settings: Settings, *, commits: bool) -> LoopSettings:
    ranking = settings.ranking
    return LoopSettings(
        max_records=ranking.batch_records, commits=commits, maintenance_interval_s=ranking.snapshot_interval_s
    )

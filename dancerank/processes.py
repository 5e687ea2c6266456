"""One object that builds every process of the system from its settings."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cached_property, partial
from typing import Final

from dancerank.feedback.clip_feedback import ClipFeedback
from dancerank.listening import ConnectionLimits
from dancerank.model_answers import model_reader
from dancerank.policies import read_policy, shipped_policy
from dancerank.running.client_limits import api_access, connection_limits
from dancerank.running.kafka_sources import every_partition, log_reader, member_of
from dancerank.running.live_events import announcing_decisions, live_events
from dancerank.running.loop_monitoring import MonitoredLoops, state_of
from dancerank.running.replica import Replica, in_thread
from dancerank.running.streaming import Streaming
from dancerank.scoring_on_request.opening import scoring_on_request
from dancerank.scoring_on_request.scoring import OnRequest
from dancerank.settings import Settings
from dancerank.topics import create_topics, scored_topics, topics_read
from ranking.database.connection import Database
from ranking.monitoring.monitor import ModelMonitor
from ranking.pools.policy import Policy
from ranking.pools.service.publishing import DecisionPublisher, publishing
from ranking.pools.service.ranked_source import RankedSource
from ranking.pools.service.reading import PoolReader
from ranking.pools.service.store import PoolStore
from ranking.pools.service.worker import PoolEntry, PoolWorker, read_pool_entries
from ranking.scores.store import ScoreStore
from ranking.scores.view import ScoreView
from ranking.serving.api import Access
from ranking.serving.live.announcing import AnnouncingView
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.readiness import ServingReadiness
from ranking.serving.report import ServingReport
from ranking.serving.service import RankingService
from ranking.vectors.backends.port import IndexBackend, resting_afterwards
from ranking.vectors.backends.selection import open_backend
from ranking.vectors.rebuilding import rebuilding
from ranking.vectors.saving import saving
from ranking.vectors.view import IndexView
from ranking.views.accepted_losses import AcceptedLosses
from ranking.views.dropped_records import NOTHING_ACCEPTED, DroppedRecords
from ranking.views.log_records import LogEntry
from ranking.views.loop import LoopOptions, ViewLoop
from ranking.views.periodic import every
from schemas.bundle import Bundle, read_bundle
from schemas.clock import Clock, SystemClock
from schemas.observation import Observer
from schemas.ports import ModelRuntime, View
from schemas.questions.feedback import Feedback
from schemas.questions.readiness import ProcessState
from schemas.unknown_modalities import UnknownModalities
from streamer.pipeline import Streamer
from streamer.tuning import Schedule, open_tuned
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

log = logging.getLogger(__name__)

_COMMIT_INTERVAL_S: Final = 1.0
"""Of positions that the database keeps: Kafka is told for the tools that measure lag, and nothing waits for that."""


class Processes:
    """Builds each process of the system: ``streamer``, ``ranker``, ``pools`` and ``replica``.

    Each is a context that closes what it opens. ``connection`` defaults to the brokers of ``settings``. Nothing is
    connected, and no bundle is read, before a process needs it; the bundle is then read once, and dropped when the
    streamer has opened it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        observer: Observer | None = None,
        clock: Clock | None = None,
        connection: KafkaConnection | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self.settings: Final = settings
        self.observer: Final = observer or Observer()
        self.clock: Final = clock or SystemClock()
        self._connection, self._bundle = connection, bundle
        self._monitored: list[MonitoredLoops] = []
        self._schedule: Schedule | None = None

    @cached_property
    def connection(self) -> KafkaConnection:
        """How every client reaches Kafka."""
        if self._connection is not None:
            return self._connection
        kafka = self.settings.kafka
        secrets = {key: secret.get_secret_value() for key, secret in kafka.secrets.items()}
        return KafkaConnection(
            servers=kafka.bootstrap_servers, security={**kafka.security, **secrets}, timeout_s=kafka.timeout_s
        )

    @cached_property
    def bundle(self) -> Bundle:
        """The verified model bundle. Raises ``BundleError``."""
        return self._read_bundle()

    def _read_bundle(self) -> Bundle:
        return self._bundle or read_bundle(self.settings.bundle_folder)

    @cached_property
    def policy(self) -> Policy:
        """The policy that the settings name, else the example that ships. Raises ``PolicyError``."""
        return read_policy(self.settings.pools.policy or shipped_policy())

    def state(self) -> ProcessState:
        """Whether the loops that were built here work, as their monitors found it."""
        return state_of(self._monitored)

    def create_topics(self) -> list[str]:
        """Create the topics that are absent; returns their names."""
        created = create_topics(self.settings, self.connection)
        if created:
            log.info("created topics: %s", ", ".join(created))
        return created

    def open_database(self) -> Database:
        """The database as it is, possibly without tables; the caller closes it."""
        ranking = self.settings.ranking
        return Database(ranking.database_url, connections=ranking.database_connections)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database, brought to this release's schema."""
        with closing(self.open_database()) as database:
            database.migrate()
            yield database

    @cached_property
    def index_backend(self) -> IndexBackend:
        """What holds the vectors. Raises ``ConfigurationError`` naming ``ranking.index`` if it cannot be had."""
        ranking = self.settings.ranking
        return open_backend(
            ranking.index,
            threads=ranking.index_threads,
            folder=ranking.index_folder,
            milvus_uri=ranking.milvus_uri,
            milvus_token=ranking.milvus_token.get_secret_value(),
            database_url=ranking.database_url,
            database_connections=ranking.database_connections,
        )

    def open_index(self) -> IndexView:
        """The index view as its newest snapshot left it, or empty."""
        ranking = self.settings.ranking
        view = IndexView(self.index_backend, self.observer, self.clock, erase_within_s=ranking.erased_within_s)
        log.info("reading the index snapshot in %s", ranking.index_folder)
        began_s = self.clock.monotonic_s()
        if view.restore(ranking.index_folder):
            log.info("%d clips are indexed from it, after %.0f s", view.clips(), self.clock.monotonic_s() - began_s)
        else:
            log.info("there is none; the index is read from the log")
        return view

    def api_access(self) -> Access:
        """The keys of the HTTP API; raises ``ConfigurationError`` for a file of keys that cannot be read."""
        return api_access(self.settings.server, self.clock, self.observer)

    def connection_limits(self) -> ConnectionLimits:
        """What each client of the HTTP API may take."""
        return connection_limits(self.settings.server)

    def scoring(self) -> AbstractContextManager[OnRequest]:
        """Scores clips that were never uploaded. Raises ``NotOffered`` as ``scoring_on_request`` does."""
        return scoring_on_request(self.settings, self._read_bundle, self.observer)

    def feedback(self, scoring: OnRequest) -> Feedback:
        """Says how clips would score higher, with the bundle that ``scoring`` loads."""
        return ClipFeedback(scoring, self.clock)

    @contextmanager
    def runtime(self) -> Iterator[ModelRuntime]:
        """Runs the networks of the bundle, as the streamer will: what is fastest is measured first."""
        tuned = open_tuned(self.settings.streamer, self.bundle, observer=self.observer, clock=self.clock)
        self._schedule = tuned.schedule
        with closing(tuned.runtime):
            yield tuned.runtime

    @contextmanager
    def streamer(self, runtime: ModelRuntime) -> Iterator[Streamer]:
        """Scores uploads with ``runtime`` as a member of the streamer group, and videos beside; drops the bundle."""
        streaming = Streaming(
            self.settings, self.connection, runtime, self._schedule, lambda: self.bundle, self.observer, self.clock
        )
        with streaming.running(self._loops) as opened:
            # What runs the graphs has its own copy of the weights: at the paper's width the files are 0.5 GB.
            self.__dict__.pop("bundle", None)
            yield opened

    @contextmanager
    def ranker(self, database: Database | None = None) -> Iterator[ViewLoop[LogEntry]]:
        """Keeps the SQL view up to date, as a member of the ranking group; in ``database``, or one of its own."""
        loops = self._loops()
        with self._ranker(database, loops) as loop, loops.monitored():
            yield loop

    @contextmanager
    def _ranker(self, database: Database | None, loops: MonitoredLoops) -> Iterator[ViewLoop[LogEntry]]:
        settings = self.settings
        with ExitStack() as stack:
            database = database or stack.enter_context(self.database())
            sink = stack.enter_context(closing(KafkaSink(self.connection)))
            view = ScoreView(
                ScoreStore(database, self.clock), sink, self.observer, scored_topics=scored_topics(settings)
            )
            topics, group = topics_read(settings)["ranking"], settings.kafka.ranking_group
            open_source = member_of(self.connection, settings.kafka, group, topics)
            options = LoopOptions(max_records=settings.ranking.batch_records, commit_interval_s=_COMMIT_INTERVAL_S)
            loop = ViewLoop(
                open_source,
                view,
                log_reader(self.settings, self.observer, self.clock),
                sink,
                self.observer,
                self.clock,
                options,
                dropped=self._dropped(database),
            )
            loops.add_view(loop, topics, group)
            yield loop

    def index_loop(
        self, index: IndexView, database: Database | None = None, events: Broadcast | None = None
    ) -> ViewLoop[LogEntry]:
        """Keeps the index view up to date: reads every partition and belongs to no group. The losses that operators
        accepted are in ``database``; new clips are announced as ``events``.
        """
        view: View[LogEntry] = index if events is None else AnnouncingView(index, events, self.clock)
        topics = topics_read(self.settings)["ranking"]

        options = LoopOptions(max_records=self.settings.ranking.batch_records, commits=False)
        return ViewLoop(
            every_partition(self.connection, self.settings.kafka, topics),
            view,
            log_reader(self.settings, self.observer, self.clock),
            None,
            self.observer,
            self.clock,
            options,
            dropped=self._dropped(database),
        )

    def _refilling_loop(self, view: View[LogEntry], between_steps: Callable[[], None]) -> ViewLoop[LogEntry]:
        """Reads all scored clips once more; what it reads is not counted again."""
        open_source = every_partition(self.connection, self.settings.kafka, scored_topics(self.settings))
        options = LoopOptions(
            max_records=self.settings.ranking.batch_records, commits=False, maintenance_interval_s=0.0
        )
        return ViewLoop(
            open_source,
            view,
            log_reader(self.settings, self.observer, self.clock),
            None,
            Observer(),
            self.clock,
            options,
            maintenance=between_steps,
        )

    def saving(self, index: IndexView) -> AbstractContextManager[None]:
        """Saves snapshots of the index view while the context lasts, and one at its end."""
        ranking = self.settings.ranking
        return saving(
            index,
            ranking.index_folder,
            self.observer,
            interval_s=ranking.snapshot_interval_s,
            last_call_s=self.settings.server.shutdown_timeout_s,
        )

    @contextmanager
    def pools(self, database: Database | None = None) -> Iterator[ViewLoop[PoolEntry]]:
        """Decides about traffic pools, as a member of the pools' group; its policy is active from now on. Measures how
        right the model was. In ``database``, or one of its own.
        """
        loops = self._loops()
        with self._pools(database, loops) as loop, loops.monitored():
            yield loop

    @contextmanager
    def _pools(self, database: Database | None, loops: MonitoredLoops) -> Iterator[ViewLoop[PoolEntry]]:
        settings, pools = self.settings, self.settings.pools
        options = LoopOptions(
            max_records=pools.batch_records,
            maintenance_interval_s=pools.round_interval_s,
            commit_interval_s=_COMMIT_INTERVAL_S,
        )
        policy = self.policy
        with ExitStack() as stack:
            database = database or stack.enter_context(self.database())
            sink = stack.enter_context(closing(KafkaSink(self.connection)))
            monitor = ModelMonitor(database, self.observer, self.clock, settings.monitoring)
            stack.enter_context(every(settings.monitoring.measure_interval_s, monitor.measure, name="model-monitor"))
            results = stack.enter_context(closing(KafkaSink(self.connection)))
            store = PoolStore(database, keeps_journal=pools.journal, lease_s=pools.lease_s)
            look = PoolReader(database, self.clock).pools
            publisher = DecisionPublisher(store, results, self.observer, pools.decisions_topic)
            announce = stack.enter_context(publishing(publisher.publish))
            worker = PoolWorker(store, policy, announce, self.observer, self.clock, pools, seen=monitor.add, look=look)
            stack.callback(worker.leave)
            topics, group = topics_read(settings)["pools"], settings.kafka.pools_group
            open_source = member_of(self.connection, settings.kafka, group, topics)
            unknown = UnknownModalities(self.observer)
            scored_in = scored_topics(settings)
            read = partial(
                read_pool_entries,
                scored_topics=scored_in,
                on_unknown_modality=unknown,
                clock=self.clock,
                observer=self.observer,
            )
            loop = ViewLoop(
                lambda listener: RankedSource(open_source, listener, scored_in, worker.ranked_to, self.observer),
                worker,
                read,
                sink,
                self.observer,
                self.clock,
                options,
                maintenance=worker.round_in_parts,
                dropped=self._dropped(database),
            )
            loops.add_view(loop, topics, group)
            yield loop

    @contextmanager
    def replica(
        self, *, with_rank: bool = False, with_pools: bool = False, reports_as: str | None = None
    ) -> Iterator[Replica]:
        """Answers questions: a whole index view that is kept up to date, and the database.

        ``with_rank`` and ``with_pools`` run these loops here too. ``reports_as`` names this replica among those that
        say in the database what they hold; without a name it says nothing. At the end each loop has
        ``server.shutdown_timeout_s`` seconds to finish.
        """
        within_s, monitored = self.settings.server.shutdown_timeout_s, self._loops()
        with ExitStack() as stack:
            database = stack.enter_context(self.database())
            store = ScoreStore(database, self.clock)
            stack.enter_context(resting_afterwards(self.index_backend))
            index = self.open_index()
            events = live_events(self.settings.server, self.observer)
            index_loop = self.index_loop(index, database, events)
            stack.enter_context(self.saving(index))
            monitored.add_index(index_loop, topics_read(self.settings)["ranking"])
            loops = [stack.enter_context(in_thread(index_loop, "index-view", within_s))]
            stack.enter_context(announcing_decisions(database, events, self.observer))
            stack.enter_context(rebuilding(index, self._refilling_loop, within_s))
            if reports_as is not None:
                report = ServingReport(reports_as, index, lambda: index_loop.caught_up, database, self.observer)
                stack.enter_context(report.periodically())
            if with_rank:
                ranker = stack.enter_context(self._ranker(database, monitored))
                loops.append(stack.enter_context(in_thread(ranker, "sql-view", within_s)))
            if with_pools:
                pools = stack.enter_context(self._pools(database, monitored))
                loops.append(stack.enter_context(in_thread(pools, "pools", within_s)))
            readiness = ServingReadiness(
                store,
                index,
                loops,
                self.clock,
                unread=monitored.unread,
                waits_for=monitored.waits_for,
                is_probed=True,
            )
            stack.enter_context(monitored.monitored(readiness.probe))
            pool_reader = PoolReader(database, self.clock)
            service = RankingService(
                store,
                index,
                pools=pool_reader,
                loops=loops,
                observer=self.observer,
                readiness=readiness,
                model=model_reader(self.settings, self._bundle, database, self.clock),
            )
            yield Replica(service, database, store, index, tuple(loops), events)

    def _loops(self) -> MonitoredLoops:
        made = MonitoredLoops(self.connection, self.observer, self.clock)
        self._monitored.append(made)
        return made

    def _dropped(self, database: Database | None) -> DroppedRecords:
        """No deletion may be missing, unless an operator has accepted that in ``database``."""
        accepted = NOTHING_ACCEPTED if database is None else AcceptedLosses(database).of
        return DroppedRecords(self.observer, complete=[self.settings.ranking.deletions_topic], accepted=accepted)

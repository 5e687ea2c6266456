"""The long-running ``stream``, ``rank``, ``pools run`` and ``serve``; ``settings`` shows what they would run with."""

import logging
import socket
from contextlib import ExitStack, closing
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax

from dancerank import wiring
from dancerank.commands.options import Config
from dancerank.listening import answer, bound, metrics
from dancerank.logs import configure_logs
from dancerank.providers import providers_in_use
from dancerank.settings import Settings, load_settings
from dancerank.signals import stop_on_signals
from dancerank.start_checks import check_start
from exporters.prometheus import PrometheusObserver
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from schemas.clock import SystemClock
from schemas.errors import DancerankError

log = logging.getLogger(__name__)


class ViewEnded(DancerankError):
    """A serving process whose view could not be kept up to date; the message says why."""

    code = "view_ended"


def stream(config: Config = None) -> None:
    """Score uploads: read clips.uploaded, run the bundle, write clips.scored. Stops cleanly on SIGTERM."""
    settings = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    observer, clock = PrometheusObserver(), SystemClock()
    server = settings.server
    connection = wiring.connect(settings)
    check_start(settings, connection, "stream")
    bundle = wiring.load_bundle(settings)
    with (
        metrics(observer, server.host, server.stream_metrics_port, "stream_metrics_port") as watched,
        wiring.streamer(settings, connection, bundle, observer, clock) as streamer,
    ):
        providers = ", ".join(f"{name} on {provider}" for name, provider in providers_in_use(observer).items())
        log.info("bundle %s, generation %s: %s", wiring.bundle_folder(settings), bundle.manifest.generation, providers)
        log.info("streaming %s to %s", settings.streamer.uploads_topic, settings.streamer.scored_topic)
        watched.part = streamer
        streamer.run(stop)
    log.info("drained and committed")


def rank(config: Config = None) -> None:
    """Keep the SQL view: read clips.scored into the database. Several workers divide the partitions."""
    settings = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    observer = PrometheusObserver()
    server = settings.server
    connection = wiring.connect(settings)
    check_start(settings, connection, "rank")
    with (
        metrics(observer, server.host, server.rank_metrics_port, "rank_metrics_port") as watched,
        closing(wiring.open_store(settings)) as store,
        wiring.sql_loop(settings, connection, store, observer, SystemClock()) as loop,
    ):
        log.info("ranking %s", ", ".join(wiring.scored_topics(settings)))
        watched.part = loop
        loop.run(stop)
    log.info("stopped")


def run_pools(config: Config = None) -> None:
    """Decide about traffic pools: read scored clips, engagement and deletions, write clips.pool-decisions.

    The policy of the settings (pools.policy) is in force from now on. Several workers may share one database. A clip
    is looked at once the rankings hold it, so a rank process has to run on that database too.
    """
    settings = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    observer = PrometheusObserver()
    server, pools = settings.server, settings.pools
    connection = wiring.connect(settings)
    check_start(settings, connection, "pools run")
    with (
        metrics(observer, server.host, server.pools_metrics_port, "pools_metrics_port") as watched,
        wiring.pool_loop(settings, connection, observer, SystemClock()) as loop,
    ):
        log.info("policy %s, decisions to %s", wiring.pool_policy(settings).version, pools.decisions_topic)
        watched.part = loop
        loop.run(stop)
    log.info("stopped")


def serve(
    with_rank: Annotated[
        bool, typer.Option("--with-rank", help="Also keep the SQL view in this process, as rank does.")
    ] = False,
    config: Config = None,
) -> None:
    """Answer over HTTP: keep a whole index view in memory, and serve /v1, /healthz, /readyz and /metrics.

    Rankings come from the database, which the rank process fills, or this one with --with-rank; without either they
    stay as they are.
    """
    settings = _start(config)
    observer, clock = PrometheusObserver(), SystemClock()
    host, port, patience_s = settings.server.host, settings.server.port, settings.server.shutdown_timeout_s
    access = wiring.api_access(settings, observer, clock)
    with ExitStack() as stack:
        taken = stack.enter_context(bound(host, port))
        connection = wiring.connect(settings)
        check_start(settings, connection, "serve")
        store = stack.enter_context(closing(wiring.open_store(settings)))
        index = wiring.open_index(settings, observer, clock)
        loop = wiring.index_loop(settings, connection, index, observer, clock)
        loops = [stack.enter_context(wiring.in_thread(loop, "index-view", patience_s))]
        replica = f"{settings.kafka.instance or socket.gethostname()}:{port}"
        stack.enter_context(wiring.serving_report(settings, replica, index, loop, observer))
        if with_rank:
            loop = stack.enter_context(wiring.sql_loop(settings, connection, store, observer, clock))
            loops.append(stack.enter_context(wiring.in_thread(loop, "sql-view", patience_s)))
        pools = stack.enter_context(closing(wiring.open_pool_reader(settings, clock)))
        service = RankingService(store, index, pools=pools, loops=loops, observer=observer)
        app = create_app(service, observer.render, access)
        stop_on_signals()  # uvicorn handles the signal first, and raises it again once it has shut down
        answer(app, taken, lambda: log.info("serving on http://%s:%d, described at /docs", host, port), patience_s)
    for thread in loops:
        if thread.failure is not None:
            raise ViewEnded(f"a view could not be kept up to date: {thread.failure}") from thread.failure


def settings(config: Config = None) -> None:
    """Show the settings in force, after file and environment; secrets stay hidden."""
    Console().print(Syntax(load_settings(config).model_dump_json(indent=2), "json", background_color="default"))


def _start(config: Config) -> Settings:
    settings = load_settings(config)
    configure_logs(settings.log)
    return settings

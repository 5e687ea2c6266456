"""The long-running processes ``stream``, ``rank`` and ``serve``; ``settings`` shows what they would run with."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Annotated

import typer
import uvicorn
from rich.console import Console
from rich.syntax import Syntax

from dancerank import wiring
from dancerank.commands.options import Config
from dancerank.logs import configure_logs
from dancerank.settings import Settings, load_settings
from dancerank.signals import stop_on_signals
from exporters.prometheus import PrometheusObserver
from ranking.api import create_app
from ranking.service import RankingService
from schemas.clock import SystemClock
from schemas.errors import DancerankError

log = logging.getLogger(__name__)


def stream(config: Config = None) -> None:
    """Score uploads: read clips.uploaded, run the bundle, write clips.scored. Stops cleanly on SIGTERM."""
    settings = _start(config)
    stop = stop_on_signals()
    observer, clock = PrometheusObserver(), SystemClock()
    connection, bundle = wiring.connect(settings), wiring.load_bundle(settings)
    wiring.create_topics(settings, connection)
    with (
        _metrics(observer, settings),
        wiring.streamer(settings, connection, bundle, observer, clock) as streamer,
    ):
        log.info("streaming %s to %s", settings.streamer.uploads_topic, settings.streamer.scored_topic)
        streamer.run(stop)
    log.info("drained and committed")


def rank(config: Config = None) -> None:
    """Keep the SQL view: read clips.scored into the database. Several workers divide the partitions."""
    settings = _start(config)
    stop = stop_on_signals()
    observer = PrometheusObserver()
    connection = wiring.connect(settings)
    wiring.create_topics(settings, connection)
    with (
        closing(wiring.open_store(settings)) as store,
        _metrics(observer, settings),
        wiring.sql_loop(settings, connection, store, observer, SystemClock()) as loop,
    ):
        log.info("ranking %s", settings.streamer.scored_topic)
        loop.run(stop)
    log.info("stopped")


def serve(
    with_rank: Annotated[
        bool, typer.Option("--with-rank", help="Also keep the SQL view in this process, as rank does.")
    ] = False,
    config: Config = None,
) -> None:
    """Answer over HTTP: keep a whole index view in memory, and serve /v1, /healthz, /readyz and /metrics."""
    settings = _start(config)
    observer, clock = PrometheusObserver(), SystemClock()
    connection = wiring.connect(settings)
    with ExitStack() as stack:
        store = stack.enter_context(closing(wiring.open_store(settings)))
        wiring.create_topics(settings, connection)
        index = wiring.open_index(settings, observer, clock)
        loop = wiring.index_loop(settings, connection, index, observer, clock)
        loops = [stack.enter_context(wiring.in_thread(loop, "index-view"))]
        if with_rank:
            loop = stack.enter_context(wiring.sql_loop(settings, connection, store, observer, clock))
            loops.append(stack.enter_context(wiring.in_thread(loop, "sql-view")))
        app = create_app(RankingService(store, index, loops=loops, observer=observer), observer.render)
        stop_on_signals()  # uvicorn handles the signal first, and raises it again once it has shut down
        log.info("serving on http://%s:%d, described at /docs", settings.server.host, settings.server.port)
        uvicorn.run(app, host=settings.server.host, port=settings.server.port, log_config=None)
    for thread in loops:
        if thread.failure is not None:
            raise DancerankError(f"a view could not be kept up to date: {thread.failure}") from thread.failure


def settings(config: Config = None) -> None:
    """Show the settings in force, after file and environment; secrets stay hidden."""
    Console().print(Syntax(load_settings(config).model_dump_json(indent=2), "json", background_color="default"))


def _start(config: Config) -> Settings:
    settings = load_settings(config)
    configure_logs(settings.log)
    return settings


@contextmanager
def _metrics(observer: PrometheusObserver, settings: Settings) -> Iterator[None]:
    """Serve ``/metrics`` of a process that has no HTTP API."""
    stop = observer.start_server(settings.server.metrics_port, host=settings.server.host)
    log.info("metrics on http://%s:%d/metrics", settings.server.host, settings.server.metrics_port)
    try:
        yield
    finally:
        stop()

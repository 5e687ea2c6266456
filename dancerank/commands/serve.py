"""The long-running ``stream``, ``rank``, ``pools run`` and ``serve``; ``settings`` shows what they would run with."""

import json
import logging
import socket
from contextlib import ExitStack, closing
from typing import Annotated

import typer
from rich.syntax import Syntax

from dancerank.answer_pictures import Drawings
from dancerank.checks.start import check_start
from dancerank.commands.options import Config
from dancerank.comparing import Comparisons
from dancerank.console.terminal import Console
from dancerank.listening import answer, bound, metrics
from dancerank.logs import configure_logs
from dancerank.processes import Processes
from dancerank.running.collector import leave_out_what_is_loaded
from dancerank.running.live_events import ending
from dancerank.running.signals import stop_on_signals
from dancerank.settings import Settings, load_settings
from dancerank.topics import scored_topics
from exporters.prometheus import PrometheusObserver
from ranking.serving.api import create_app
from schemas.bundle import SYNTHETIC_WARNING
from schemas.errors import FinalError

log = logging.getLogger(__name__)


class ViewEnded(FinalError):
    """A view of a serving process stopped being updated; the message says why."""

    code = "view_ended"
    remedy = "Look up the error in the message; remove its cause, then start the process again."


def stream(config: Config = None) -> None:
    """Score uploads: read clips.uploaded, run the bundle, write clips.scored. Stops cleanly on SIGTERM."""
    settings, processes, observer = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    server = settings.server
    check_start(processes, "stream")
    with (
        metrics(observer, "stream", server.host, server.stream_metrics_port, "stream_metrics_port", processes.state),
        processes.runtime() as runtime,
        processes.streamer(runtime) as streamer,
    ):
        providers = ", ".join(f"{name or 'fusion'} on {provider}" for name, provider in runtime.providers.items())
        log.info("bundle %s, generation %s: %s", settings.bundle_folder, runtime.manifest.generation, providers)
        if runtime.manifest.trained_on_synthetic_clips:
            log.warning("generation %s: %s", runtime.manifest.generation, SYNTHETIC_WARNING)
        log.info("streaming %s to %s", settings.streamer.uploads_topic, settings.streamer.scored_topic)
        leave_out_what_is_loaded()
        streamer.run(stop)
    log.info("drained and committed")


def rank(config: Config = None) -> None:
    """Keep the SQL view: read clips.scored into the database. Several workers divide the partitions."""
    settings, processes, observer = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    server = settings.server
    check_start(processes, "rank")
    with (
        metrics(observer, "rank", server.host, server.rank_metrics_port, "rank_metrics_port", processes.state),
        processes.ranker() as loop,
    ):
        log.info("ranking %s", ", ".join(scored_topics(settings)))
        leave_out_what_is_loaded()
        loop.run(stop)
    log.info("stopped")


def run_pools(config: Config = None) -> None:
    """Decide about traffic pools: read scored clips, engagement and deletions, write clips.pool-decisions.

    The policy of the settings (pools.policy) is active from now on. Several workers may share one database. A clip
    is looked at once the rankings hold it, so a rank process has to run on that database too.
    """
    settings, processes, observer = _start(config)
    stop = stop_on_signals(settings.server.shutdown_timeout_s)
    server = settings.server
    check_start(processes, "pools run")
    with (
        metrics(observer, "pools run", server.host, server.pools_metrics_port, "pools_metrics_port", processes.state),
        processes.pools() as loop,
    ):
        log.info("policy %s, decisions to %s", processes.policy.version, settings.pools.decisions_topic)
        leave_out_what_is_loaded()
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
    settings, processes, observer = _start(config)
    host, port, patience_s = settings.server.host, settings.server.port, settings.server.shutdown_timeout_s
    access = processes.api_access()
    with ExitStack() as stack:
        taken = stack.enter_context(bound(host, port))
        check_start(processes, "serve")
        name = f"{settings.kafka.instance or socket.gethostname()}:{port}"
        replica = stack.enter_context(processes.replica(with_rank=with_rank, reports_as=name))
        observer.watch("serve", replica.service.state)
        scoring = stack.enter_context(processes.scoring())
        comparisons = stack.enter_context(closing(Comparisons(settings)))
        app = create_app(
            replica.service,
            observer.render,
            access,
            events=replica.events,
            scoring=scoring,
            comparisons=comparisons,
            drawing=Drawings(),
            feedback=processes.feedback(scoring),
        )
        leave_out_what_is_loaded()
        stop_on_signals()  # uvicorn handles the signal first, and raises it again once it has shut down
        answer(
            app,
            taken,
            lambda: log.info("serving on http://%s:%d: a page at /, the API described at /docs", host, port),
            patience_s,
            limits=processes.connection_limits(),
            observer=observer,
            on_stop=ending(replica.events, comparisons),
        )
    for thread in replica.loops:
        if thread.failure is not None:
            raise ViewEnded(f"a view stopped being updated: {thread.failure}") from thread.failure


def settings(config: Config = None) -> None:
    """Show the settings that are used, after file and environment; secrets stay hidden."""
    shown = json.dumps(load_settings(config).model_dump(mode="json"), indent=2)  # ASCII: a path need not be UTF-8
    Console().print(Syntax(shown, "json", background_color="default"))


def _start(config: Config) -> tuple[Settings, Processes, PrometheusObserver]:
    settings = load_settings(config)
    configure_logs(settings.log)
    observer = PrometheusObserver()
    return settings, Processes(settings, observer=observer), observer

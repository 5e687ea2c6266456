"""Parts that both demonstrations share: the embedded system on a folder, its metrics, and serving."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from dancerank.answer_pictures import Drawings
from dancerank.comparing import Comparisons
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.terminal import Console
from dancerank.listening import answer
from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.running.live_events import ending
from dancerank.settings import KafkaSettings, RankingSettings, Settings
from exporters.prometheus import PrometheusObserver
from ranking.monitoring.settings import MonitoringSettings
from ranking.pools.service.settings import PoolSettings
from ranking.serving.api import create_app
from schemas.bundle import SYNTHETIC_WARNING, Bundle
from schemas.errors import ConfigurationError
from schemas.local_files import exists, is_folder
from schemas.ports import Record
from streamer.settings import StreamerSettings
from transport.dead_letter import reason
from transport.embedded import EmbeddedBroker


def check_folder(folder: Path) -> None:
    """Raise ``ConfigurationError`` unless ``folder`` is empty, lest old clips mix with the new ones, or can be made."""
    if exists(folder) and (not is_folder(folder) or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty; name an empty or new folder with --folder, or delete it")
    check_folder_to_write(folder)


def demo_settings(settings: Settings, folder: Path) -> Settings:
    """``settings`` with everything that the demonstration writes within ``folder``, and its own topics.

    Of the streamer's settings only those of inference are kept, of the ranking's only which index it uses.
    """
    streamer = StreamerSettings(
        feature_roots=(folder.resolve().as_uri(),),
        runtime=settings.streamer.runtime,
        providers=settings.streamer.providers,
        inference_threads=settings.streamer.inference_threads,
        inference_workers=settings.streamer.inference_workers,
        stream_batch_clips=settings.streamer.stream_batch_clips,
        tuning_s=settings.streamer.tuning_s,
        guidance_share=1.0,  # tips of few clips
    )
    ranking = RankingSettings(
        database_url=f"sqlite:///{folder / 'dancerank.db'}",
        index_folder=folder / "index",
        index=settings.ranking.index,
    )
    own = {"kafka": KafkaSettings(), "streamer": streamer, "ranking": ranking, "pools": PoolSettings()}
    # A demonstration is over within minutes, and its viewers react at once.
    monitoring = MonitoringSettings(measure_interval_s=10.0, least_days=0.0, reference_clips=100, drift_clips=100)
    return settings.model_copy(update=own | {"monitoring": monitoring})


@contextmanager
def running(settings: Settings, bundle: Bundle, observer: PrometheusObserver) -> Iterator[EmbeddedSystem]:
    """The whole system on the embedded broker."""
    with (
        EmbeddedBroker() as connection,
        run_embedded(
            Processes(settings, connection=connection, bundle=bundle, observer=observer), with_pools=True
        ) as system,
    ):
        yield system


def show_training(console: Console, bundle: Bundle) -> None:
    """What the scores are worth, where that is not much."""
    if bundle.manifest.trained_on_synthetic_clips:
        said = f"{SYNTHETIC_WARNING} ({bundle.manifest.training_data})"
        console.print(said, style="bold yellow", highlight=False, markup=False)


def show_throughput(
    console: Console, system: EmbeddedSystem, observer: PrometheusObserver, clips: int, duration_s: float
) -> None:
    """The run in the system's own metrics."""
    samples = [sample for metric in observer.registry.collect() for sample in metric.samples]
    value = {sample.name: sample.value for sample in samples if not sample.labels}
    providers = sorted(set(system.runtime.providers.values()))
    padding = 1 - value["dancerank_batch_frames_total"] / value["dancerank_batch_padded_frames_total"]
    batches = value["dancerank_batch_clips_count"]
    freshness_s = value["dancerank_freshness_seconds_sum"] / value["dancerank_freshness_seconds_count"]
    console.print(
        f"[bold]{clips} clips in {duration_s:.1f} s: {clips / duration_s:.0f} clips/s[/] from upload to retrievable, "
        f"on {', '.join(providers)}. {batches:.0f} batches of {clips / batches:.1f} clips, {padding:.1%} of them "
        f"padding; a clip was retrievable {freshness_s:.1f} s after its upload (mean; all were uploaded at once)."
    )


def show_dead_letters(console: Console, records: Sequence[Record]) -> None:
    """Records that could not be processed: position and reason."""
    table = Table("clip", "where", "why", title="Dead-lettered to clips.uploaded.dead-letter")
    for record in records:
        why = reason(record.headers)
        where = f"{why['topic']}\npartition {why['partition']}, offset {why['offset']}"
        cells = (why.get("clip_id", "–"), where, f"{why['code']}: {why['message']}")
        table.add_row(*map(Text, cells))
    console.print(table)


def keep_serving(
    console: Console,
    system: EmbeddedSystem,
    observer: PrometheusObserver,
    taken: socket.socket,
    bundle: Bundle,
    settings: Settings | None = None,
) -> None:
    """Answer over HTTP on the port ``taken`` until Ctrl-C. ``bundle``: what has scored the clips of ``system``.
    ``settings``: for what is scored on request, in place of the system's.
    """
    processes = Processes(settings or system.settings, observer=observer, bundle=bundle)
    limits, events = processes.connection_limits(), system.replica.events
    with processes.scoring() as scoring, closing(Comparisons(system.settings)) as comparisons:
        app = create_app(
            system.service,
            observer.render,
            processes.api_access(),
            events=events,
            scoring=scoring,
            comparisons=comparisons,
            drawing=Drawings(),
            feedback=processes.feedback(scoring),
        )
        answer(
            app,
            taken,
            lambda: _show_addresses(console, system),
            limits=limits,
            observer=observer,
            on_stop=ending(events, comparisons),
        )


def _show_addresses(console: Console, system: EmbeddedSystem) -> None:
    root = f"http://{system.settings.server.host}:{system.settings.server.port}"
    challenge_id = quote(system.service.challenges()[0].challenge_id)
    console.rule("[bold]Serving; Ctrl-C ends")
    console.print(f"  [bold]{root}/[/]  [dim]the page: open it in a browser[/]")
    for path, what in {
        "/docs": "the API, to try out",
        "/v1/challenges": "challenges",
        f"/v1/challenges/{challenge_id}/rankings?by=skeletal&k=5": "a ranking",
        "/metrics": "metrics for Prometheus",
        "/readyz": "readiness",
    }.items():
        console.print(f"  {root}{path}  [dim]{what}[/]")

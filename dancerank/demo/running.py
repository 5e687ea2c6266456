"""What both demonstrations share: the embedded system on a folder, what it did, and serving on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from rich.console import Console
from rich.table import Table

from dancerank.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import Settings
from exporters.prometheus import PrometheusObserver
from ranking.api import create_app
from schemas.bundle import Bundle
from schemas.ports import Record
from transport.dead_letter import reason
from transport.embedded import EmbeddedBroker


def demo_settings(folder: Path) -> Settings:
    """Everything within ``folder``."""
    return Settings.model_validate(
        {
            "streamer": {"feature_roots": [folder.resolve().as_uri()]},
            "ranking": {"database_url": f"sqlite:///{folder / 'dancerank.db'}", "index_folder": folder / "index"},
        }
    )


@contextmanager
def running(settings: Settings, bundle: Bundle, observer: PrometheusObserver) -> Iterator[EmbeddedSystem]:
    """The whole system on the embedded broker."""
    with EmbeddedBroker() as connection, run_embedded(settings, connection, bundle, observer) as system:
        yield system


def show_throughput(console: Console, observer: PrometheusObserver, clips: int, duration_s: float) -> None:
    """What the system's own metrics say about the run."""
    samples = [sample for metric in observer.registry.collect() for sample in metric.samples]
    value = {sample.name: sample.value for sample in samples if not sample.labels}
    provider_info = "dancerank_execution_provider_info"
    providers = sorted({s.labels["provider"] for s in samples if s.name == provider_info and s.value})
    padding = 1 - value["dancerank_batch_frames_total"] / value["dancerank_batch_padded_frames_total"]
    batches = value["dancerank_batch_clips_count"]
    freshness_s = value["dancerank_freshness_seconds_sum"] / value["dancerank_freshness_seconds_count"]
    console.print(
        f"[bold]{clips} clips in {duration_s:.1f} s: {clips / duration_s:.0f} clips/s[/] from upload to retrievable, "
        f"on {', '.join(providers)}. {batches:.0f} batches of {clips / batches:.1f} clips, {padding:.1%} of them "
        f"padding; a clip was retrievable {freshness_s:.1f} s after its upload (mean; all were uploaded at once)."
    )


def show_dead_letters(console: Console, letters: Sequence[Record]) -> None:
    """What could not be processed: where it stood, and why."""
    table = Table("clip", "where", "why", title="Put aside in clips.uploaded.dead-letter; nobody else is affected")
    for letter in letters:
        why = reason(letter.headers)
        where = f"{why['topic']}\npartition {why['partition']}, offset {why['offset']}"
        table.add_row(why.get("clip_id", "–"), where, f"{why['code']}: {why['message']}")
    console.print(table)


def keep_serving(console: Console, system: EmbeddedSystem, observer: PrometheusObserver) -> None:
    """Answer over HTTP until Ctrl-C."""
    server = system.settings.server
    root = f"http://{server.host}:{server.port}"
    console.rule("[bold]Serving; Ctrl-C ends")
    for path, what in {
        "/docs": "the API, to try out",
        "/v1/challenges": "challenges",
        "/v1/challenges/challenge-1/rankings?by=skeletal&k=5": "a ranking",
        "/metrics": "metrics for Prometheus",
        "/readyz": "readiness",
    }.items():
        console.print(f"  {root}{path}  [dim]{what}[/]")
    uvicorn.run(create_app(system.service, observer.render), host=server.host, port=server.port, log_level="warning")

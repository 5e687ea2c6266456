"""``demo``: the main job, from uploads to answers, on embedded defaults."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dancerank import wiring
from dancerank.commands.bundles import training
from dancerank.demo.recorded import run_recorded_demo
from dancerank.demo.synthetic import run_synthetic_demo
from dancerank.logs import configure_logs
from dancerank.recordings import recordings_folder
from dancerank.settings import LogSettings


def demo(
    clips: Annotated[int, typer.Option(min=16, help="Synthetic clips to stream.")] = 320,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic dancers and clips.")] = 42,
    train: Annotated[
        bool, typer.Option("--train", help="Train the bundle first, on other synthetic clips (needs [train]).")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(help="Bundle to use instead of the one that ships.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep clips, database and index here. Default: discard.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Go on answering over HTTP until Ctrl-C.")] = False,
) -> None:
    """Watch uploads arrive on Kafka, get scored, ranked and become retrievable: all in this process.

    Broker, database and indexes are embedded; nothing has to be installed or running. With DANCERANK_DATA set, recorded
    dance sequences are streamed instead of synthetic clips.
    """
    console = Console()
    configure_logs(LogSettings(level="error"))  # what is put aside is shown in a table
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        if train:
            bundle = folder / "bundle"
            checkpoint = folder / "small.safetensors"
            training().train_small_bundle(
                bundle, clips=480, epochs=10, checkpoint=checkpoint, progress=console.print, overwrite=True
            )
        chosen = bundle or wiring.shipped_bundle()
        recordings = recordings_folder()
        if recordings is not None:
            run_recorded_demo(console, recordings, folder, bundle=chosen, serve=serve)
        else:
            run_synthetic_demo(console, folder, clips=clips, seed=seed, bundle=chosen, serve=serve)

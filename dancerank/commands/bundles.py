"""``inspect``, ``export``, ``add-guidance`` and ``demo-bundle``: model bundles. All but the first need ``[train]``."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from dancerank.commands.styles import classifier_facts
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from dancerank.settings import shipped_bundle
from exporters.onnx.bundle_folders import check_bundle_folder
from exporters.onnx.inspect import describe
from schemas.bundle import SYNTHETIC_WARNING, Bundle, read_bundle
from schemas.errors import ConfigurationError
from schemas.export_profiles import DEFAULT_PROFILE, Precision, Profile, Server
from vdv.folder import open_data_set


def inspect(
    bundle: Annotated[Path | None, typer.Argument(help="Folder of the bundle; absent: the one that ships.")] = None,
) -> None:
    """Verify a bundle's checksums and show what is in it."""
    folder = bundle or shipped_bundle()
    Console().print(*bundle_tables(folder, read_bundle(folder)), sep="\n")


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a trained model (.safetensors).")],
    bundle: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")],
    profile: Annotated[
        Profile,
        typer.Option(
            help="How the graphs are made. exact: the network as it is written; fast: the same weights and "
            "scores (to 1e-5) in less time; bf16: computed in bfloat16, fp16: in float16, and int8: "
            "convolutions in eight bits, where order and neighbours of clips stay."
        ),
    ] = DEFAULT_PROFILE,
    calibrate_on: Annotated[
        Path | None, typer.Option(help="Data set whose clips calibrate and check bf16, fp16 or int8.", metavar="DATA")
    ] = None,
    runtime: Annotated[
        Server | None,
        typer.Option(help="What bf16 or int8 is for and checked in. openvino: what int8 leaves is in bfloat16."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
) -> None:
    """Turn a checkpoint into an ONNX bundle; refuse if ONNX Runtime and torch disagree."""
    console = Console()
    from networks.checkpoint_file import read_metadata

    if profile.calibrated != (calibrate_on is not None):
        raise ConfigurationError(
            "--profile bf16, fp16 or int8 goes with --calibrate-on: fewer bits are checked on the clips of a data set"
        )
    if runtime is not None and not profile.calibrated:
        raise ConfigurationError(f"--runtime goes with bf16, fp16 or int8: {profile} is the same for every runtime")
    read_metadata(checkpoint)
    data = None if calibrate_on is None else open_data_set(calibrate_on)
    check_bundle_folder(bundle, overwrite=overwrite)
    check_folder_to_write(bundle)
    loaded = training()
    with (
        steps(until="reading") as on_progress,
        working(f"exporting {checkpoint} and checking torch against ONNX Runtime"),
    ):
        loaded.export_checkpoint(
            checkpoint,
            bundle,
            profile=profile,
            calibrate_on=data,
            server=runtime,
            on_progress=on_progress,
            overwrite=overwrite,
        )
    console.print(*bundle_tables(bundle, read_bundle(bundle)), sep="\n")


def add_guidance(
    bundle: Annotated[
        Path, typer.Argument(help="Folder of the bundle; its scores and its generation stay as they are.")
    ],
) -> None:
    """Add gradient graphs to a bundle that was exported without them, so that it can say what would raise a score."""
    read_bundle(bundle)
    check_folder_to_write(bundle)
    with working(f"writing gradient graphs into {bundle} and comparing them with differences of its scores"):
        importlib.import_module("exporters.onnx.guidance_added").add_guidance(bundle)
    Console().print(*bundle_tables(bundle, read_bundle(bundle)), sep="\n")


def demo_bundle(
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle; replaced.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where to keep the checkpoint.")] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="Synthetic clips to train on.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs: passes over these clips.")] = None,
    for_videos: Annotated[
        bool, typer.Option("--for-videos", help="The bundle of demo-video, whose features have other widths.")
    ] = False,
) -> None:
    """Train the small bundle that ships with the package, on synthetic clips and planted routines (ten minutes)."""
    console = Console()
    bundle = bundle or Path("dancerank/video_bundle" if for_videos else "dancerank/bundle")
    checkpoint = checkpoint or Path("out/for-videos.safetensors" if for_videos else "out/small.safetensors")
    check_bundle_folder(bundle, overwrite=True)
    check_folder_to_write(bundle)
    check_folder_to_write(checkpoint.parent)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train = training().train_video_bundle if for_videos else training().train_small_bundle
    given = {name: value for name, value in (("clips", clips), ("epochs", epochs)) if value is not None}
    train(bundle, checkpoint=checkpoint, progress=console.print, overwrite=True, **given)
    if not for_videos:  # people on videos do not move as synthetic dancers do
        console.print("learning the movement styles of synthetic dancers")
        importlib.import_module("dancerank.fitting.styles").attach_synthetic_styles(bundle)
        with steps() as on_progress:
            learned = importlib.import_module("dancerank.fitting.routines")
            learned.attach_planted_routines(bundle, on_progress=on_progress)
    console.print(*bundle_tables(bundle, read_bundle(bundle)), sep="\n")


def training() -> ModuleType:
    """Import ``dancerank.fitting.training``; the other commands run without torch."""
    with working("loading torch"):
        return importlib.import_module("dancerank.fitting.training")


def bundle_tables(folder: Path, bundle: Bundle) -> list[Table]:
    """The manifest as a table, and the graphs with their sizes."""
    manifest = bundle.manifest
    facts = Table(title=Text(f"Bundle {folder}", style="table.title"), show_header=False)
    facts.add_row("generation", Text(manifest.generation))
    facts.add_row("joint layout", manifest.joint_layout or "–")
    facts.add_row("opset", str(manifest.opset))
    facts.add_row("export profile", str(manifest.profile.name))
    if manifest.profile.quantised:
        facts.add_row("in eight bits", Text(", ".join(manifest.profile.quantised)))
    if in_bf16 := [stream.modality for stream in manifest.streams if stream.precision is Precision.BFLOAT16]:
        facts.add_row("computed in bfloat16", Text(", ".join(in_bf16)))
    if manifest.profile.calibration:
        facts.add_row("calibrated on", Text(manifest.profile.calibration))
    for modality, longest in manifest.profile.longest.items():
        facts.add_row(f"longest clip of {modality}", f"{longest} steps, {longest / modality.rate_hz:g} s")
    for name, value in manifest.profile.agreement.items():
        facts.add_row(f"torch against ONNX: {name}", f"{value:.3g}")
    if isinstance(manifest.guidance, msgspec.UnsetType):
        facts.add_row("gradient graphs", "none; `dancerank add-guidance` writes them")
    else:
        facts.add_row(
            f"gradient graphs of {manifest.guidance.modality}: agreement", f"{manifest.guidance.agreement:.3g}"
        )
    facts.add_row("virality target", Text(manifest.target.described()))
    if manifest.classifier is not None:
        for name, text in classifier_facts(manifest.classifier).items():
            facts.add_row(name, Text(text))
    facts.add_row("trained on", Text(manifest.training_data or "–"))
    if manifest.trained_on_synthetic_clips:
        facts.add_row("", Text(SYNTHETIC_WARNING, style="bold yellow"))
    for name, value in manifest.metrics.items():
        facts.add_row(name, f"{value:.3f}")
    for name, text in manifest.architecture.items():
        if not name.startswith("parameters."):
            facts.add_row(Text(name), Text(text))
    graphs = Table("graph", "file", "inputs", "outputs", "parameters", "KiB", title="Graphs (checksums match)")
    for graph in describe(bundle):
        parameters = "–" if graph.parameters is None else f"{graph.parameters:,}"
        ports = ("\n".join(graph.inputs), "\n".join(graph.outputs))
        graphs.add_row(graph.name, graph.file, *ports, parameters, f"{graph.size_bytes / 1024:.0f}")
    return [facts, graphs]

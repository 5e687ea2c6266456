"""In a folder with modules that bear our packages' names, one sentence names the stranger and the remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dancerank_installation
from dancerank_installation import PACKAGES

COMMAND = ("-c", "from dancerank_installation import run_command; run_command()", "--version")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder``, whose modules come first, with our packages on the path."""
    environment = {**os.environ, "PYTHONPATH": str(dancerank_installation.FOLDER)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def plant(folder: Path, stranger: str) -> Path:
    path = folder / stranger
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('the stranger was imported')\n")
    return path


@pytest.mark.parametrize("stranger", ["schemas.py", "transport/__init__.py", "ranking.py"])
def test_a_package_names_the_stranger_that_hides_another_one(tmp_path: Path, stranger: str) -> None:
    path = plant(tmp_path, stranger)
    done = python(tmp_path, "-c", "import streamer.settings")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"{path} hides the package {Path(stranger).parts[0].removesuffix('.py')} of dancerank" in last
    assert "rename it" in last


@pytest.mark.parametrize("package", PACKAGES)
def test_the_command_names_the_stranger_in_one_line(tmp_path: Path, package: str) -> None:
    path = plant(tmp_path, f"{package}.py")
    done = python(tmp_path, *COMMAND)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {path} hides the package {package} of dancerank")


def test_a_stranger_that_was_imported_first_is_named_as_well(tmp_path: Path) -> None:
    (tmp_path / "schemas.py").write_text("")
    done = python(tmp_path, "-c", "import schemas, streamer")
    assert f"{tmp_path / 'schemas.py'} hides the package schemas" in done.stderr.splitlines()[-1]


def test_modules_of_other_names_hide_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "schema.py")
    assert python(tmp_path, "-c", "import streamer.settings").returncode == 0
    done = python(tmp_path, *COMMAND)
    assert (done.returncode, done.stdout.split()[0]) == (0, "dancerank")


def test_python_m_dancerank_is_the_command(tmp_path: Path) -> None:
    assert python(tmp_path, "-m", "dancerank", "--version").stdout == python(tmp_path, *COMMAND).stdout

"""Commands in terminals, locales and folders that are not UTF-8: nothing is lost and nothing is a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vdv.data_sets import annotation, written

PLAIN = {"LC_ALL": "C.UTF-8"}
ASCII_TERMINAL = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C"}
ASCII_SYSTEM = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SYSTEMS = [
    pytest.param(PLAIN, id="utf-8"),
    pytest.param(ASCII_TERMINAL, id="ascii-terminal"),
    pytest.param(C_LOCALE, id="c-locale"),
    pytest.param(ASCII_SYSTEM, id="ascii-system"),
]


def dancerank(*arguments: str | bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dancerank", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="a terminal of ASCII, LC_ALL=C, names that are not UTF-8",
    outcome="data check names the file, its bytes escaped",
)
@pytest.mark.parametrize("environment", SYSTEMS)
def test_findings_name_files_that_are_not_utf8_on_any_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xe4nze"))
    data = written(folder, [annotation("clip-0"), annotation("größe-舞")])
    data.table.write_bytes(data.table.read_bytes().replace(b"clip-0.safe", b"cl\xefp.safe"))
    checked = dancerank("data", "check", os.fsencode(folder), "--unlabelled", environment=environment)
    assert b"Traceback" not in checked.stderr + checked.stdout, checked.stderr.decode(errors="replace")
    assert checked.returncode == 1
    (named,) = (line for line in (checked.stdout + checked.stderr).splitlines() if b"cannot be read" in line)
    assert b"t\\udce4nze/clips.csv, row 2, features: features/cl\\udcefp.safetensors" in named
    (folder / "features/clip-0.safetensors").rename(folder / os.fsdecode(b"features/cl\xefp.safetensors"))
    assert dancerank("data", "check", os.fsencode(folder), "--unlabelled", environment=environment).returncode == 0


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="DANCERANK_BUNDLE names a folder that is not UTF-8",
    outcome="settings shows it in JSON that reads back to the same bytes",
)
@pytest.mark.parametrize("environment", SYSTEMS)
def test_settings_are_json_on_any_terminal(environment: dict[str, str]) -> None:
    folder = b"/srv/b\xfcndel/\xe8\x88\x9e"
    shown = dancerank("settings", environment=environment | {"DANCERANK_BUNDLE": os.fsdecode(folder)})
    assert os.fsencode(json.loads(shown.stdout)["bundle"]) == folder


@pytest.mark.parametrize("environment", SYSTEMS)
def test_help_is_shown_on_any_terminal(environment: dict[str, str]) -> None:
    assert dancerank("labels", "export", "--help", environment=environment).returncode == 0

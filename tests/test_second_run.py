"""Tests that failed run once more; what fails twice fails."""

import os
import subprocess
import sys
from pathlib import Path

from tests.second_run import AT_MOST, REPORT

ROOT = Path(__file__).parents[1]
BARE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins are what takes time
TESTS = """
from pathlib import Path
import pytest

def test_fails_the_first_time():
    seen = Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first, "a port was taken"

def test_fails_always():
    assert False

@pytest.mark.parametrize("number", range({many}))
def test_fails_with_many(number):
    assert False
"""


def runs(folder: Path, *chosen: str) -> tuple[int, int, str]:
    """The exit codes of a run and of the second, and what the second printed."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_some.py").write_text(TESTS.format(many=AT_MOST + 1))
    command = [sys.executable, "-m", "pytest", "-q", "--junitxml", REPORT, *chosen]
    first = subprocess.run(command, cwd=folder, env=BARE, capture_output=True)
    second = subprocess.run(
        [sys.executable, ROOT / "tests" / "second_run.py"], cwd=folder, env=BARE, capture_output=True, text=True
    )
    return first.returncode, second.returncode, second.stdout + second.stderr


def test_what_passes_alone_is_named_flaky(tmp_path: Path) -> None:
    first, second, said = runs(tmp_path, "test_some.py::test_fails_the_first_time")
    assert (first, second) == (1, 0)
    named, reason = said.splitlines()[-2:]
    assert named == "FLAKY (failed once, passed alone): test_some.py::test_fails_the_first_time"
    assert reason.startswith("    at first: AssertionError: a port was taken")


def test_what_fails_twice_fails_beside_what_passes_alone(tmp_path: Path) -> None:
    first, second, said = runs(tmp_path, "-k", "first_time or always")
    assert (first, second) == (1, 1)
    assert "FAILED TWICE: test_some.py::test_fails_always" in said
    assert "FLAKY (failed once, passed alone): test_some.py::test_fails_the_first_time" in said


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    first, second, said = runs(tmp_path, "-k", "many")
    assert (first, second) == (1, 1)
    assert said == f"{AT_MOST + 1} tests failed, more than the {AT_MOST} that are run a second time\n"


def test_a_run_that_failed_without_a_failed_test_fails(tmp_path: Path) -> None:
    first, second, said = runs(tmp_path, "--no-such-option")
    assert (first, second) == (4, 1)
    assert said == "no test is known to have failed: pytest itself did\n"

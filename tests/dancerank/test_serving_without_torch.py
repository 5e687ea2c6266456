"""A serving host never imports torch, and needs no package beyond the ``[cpu]`` extra."""

import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BLOCKING = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

blocked = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Blocked())
"""


def needed_by(extra: str) -> set[str]:
    """Every distribution that ``dancerank[extra]`` asks for, directly or not."""
    needed, open_ends = set(), [("dancerank", frozenset({extra}))]
    while open_ends:
        name, extras = open_ends.pop()
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": each}) for each in (*extras, "")
            )
            key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if wanted and key[0] not in needed:
                needed.add(key[0])
                open_ends.append(key)
    return needed


def run_without(blocked: set[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKING + code, ",".join(sorted(blocked)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize(
    "package", ["streamer.assembly", "ranking.serving.service", "ranking.serving.api", "dancerank.cli"]
)
def test_importing_what_serves_never_imports_torch(package: str) -> None:
    code = f"import {package}; print(sorted({{'torch', 'lightning', 'onnx', 'networks'}} & set(sys.modules)))"
    done = run_without(set(), code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_demo_runs_with_only_the_cpu_extra_installed(tmp_path: Path) -> None:
    allowed = needed_by("cpu") | {"dancerank", "pip", "setuptools"}
    modules = packages_distributions()
    blocked = {m for m, owners in modules.items() if not {canonicalize_name(o) for o in owners} & allowed}
    assert {"torch", "onnx", "pytest", "scipy"} <= blocked
    assert "onnxruntime" not in blocked
    code = "sys.argv[0] = 'dancerank'; from dancerank.cli import app; app()"
    done = run_without(blocked, code, "demo", "--clips", "32", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "32 clips in" in done.stdout

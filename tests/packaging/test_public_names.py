"""The public Python API: what each package lists, loads when it is used, and is heavy only then."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dancerank_installation import FOLDER, PACKAGES

PUBLIC = ("schemas", "transport", "streamer", "ranking", "dancerank")
PORTS = ("ranking.vectors.backends.port",)
"""Modules, beside the packages, whose public names are for implementations of one's own; the guides explain them."""
HEAVY = ("onnxruntime", "faiss", "kafka", "confluent_kafka", "torch", "sqlalchemy", "fastapi", "pydantic", "numpy")


@pytest.fixture(params=PUBLIC)
def package(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_every_public_name_can_be_imported_and_is_documented(package: ModuleType) -> None:
    for name in package.__all__:
        found = getattr(package, name)
        assert name in dir(package)
        assert not callable(found) or (found.__doc__ or "").strip(), f"{package.__name__}.{name} has no docstring"


def test_type_checkers_see_the_names_that_are_imported(package: ModuleType) -> None:
    tree = ast.parse((FOLDER / package.__name__ / "__init__.py").read_text())
    seen = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.keys() == set(package.__all__)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(importlib.import_module(str(module)), name)


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = f"import sys, {', '.join(PUBLIC)}; print(sorted({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_what_needs_an_extra_names_it_when_it_is_missing() -> None:
    code = "import sys; sys.modules['onnxruntime'] = None; from streamer import open_scorer; open_scorer(None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'dancerank[cpu]'" in done.stderr.splitlines()[-1]


def test_a_name_that_a_package_does_not_have_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"{package.__name__!r} has no attribute 'absent'"):
        package.absent  # noqa: B018


@pytest.mark.parametrize("example", sorted((FOLDER / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short_and_use_public_names_only(example: Path) -> None:
    text = example.read_text()
    assert len(text.splitlines()) <= 40
    for node in ast.walk(ast.parse(text)):
        module = str(node.module) if isinstance(node, ast.ImportFrom) else ""
        if module.partition(".")[0] in PACKAGES and module not in PORTS:
            names = {alias.name for alias in node.names if isinstance(node, ast.ImportFrom)}
            assert names <= set(importlib.import_module(module).__all__), module

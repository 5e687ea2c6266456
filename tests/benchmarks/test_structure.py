import json
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.figures import Measured, write_figures
from benchmarks.structure import code_lines, structure, too_long


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "schemas/errors.py": '"""Errors."""\n\n# why\nBASE = 1\n',
        "ranking/loop.py": "from schemas.errors import BASE\n\nX = BASE\n",
        "ranking/pools/__init__.py": "",
        "ranking/pools/state.py": "import ranking.loop\nfrom ranking.pools import rounds\n",
        "ranking/pools/rounds.py": "import numpy\n",
        "tests/test_loop.py": "assert True\nassert 1\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_modules_lines_and_imports_between_rooms_are_counted(tree: Path) -> None:
    found = structure(tree)
    assert (found.modules, found.lines, found.test_lines) == (5, 6, 2)
    assert found.crossing == 2  # from ranking to schemas, and from the pools to ranking
    assert (found.longest, found.longest_name) == (4, "schemas.errors")
    assert found.flat == 2


def test_modules_that_are_too_long_are_named_in_the_code_and_the_tests(tree: Path) -> None:
    assert too_long(tree, 4) == []
    assert too_long(tree, 2) == [
        "schemas/errors.py: 4 lines, 2 at most; split it by what it holds",
        "ranking/loop.py: 3 lines, 2 at most; split it by what it holds",
    ]
    (tree / "tests" / "test_loop.py").write_text("assert 1\n" * 5)
    assert too_long(tree, 4) == ["tests/test_loop.py: 5 lines, 4 at most; split it by what it holds"]


def test_docstrings_comments_and_blank_lines_are_not_code() -> None:
    assert code_lines('"""A\n\nb."""\n\n# c\nx = """d\ne"""\n\n\ndef f():\n    """g."""\n    return 1\n') == 4


@pytest.mark.parametrize(
    ("value", "bar", "lower", "met"),
    [(2, 1, False, True), (2, 3, False, False), (2, 3, True, True), (2, None, True, None)],
)
def test_a_figure_says_whether_its_bar_is_met(
    value: float, bar: float | None, lower: bool, met: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path / "out")
    path = write_figures("some", [Measured("speed", value, "clips/s", bar, lower)], rounds=3)
    expected = {"name": "speed", "value": value, "unit": "clips/s", "bar": bar, "met": met}
    assert json.loads(path.read_text()) == {"figures": [expected], "rounds": 3}

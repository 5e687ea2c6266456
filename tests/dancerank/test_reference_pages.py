"""The generated pages are up to date with the code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dancerank.reference import errors as errors_reference
from dancerank.reference import metrics as metrics_reference
from dancerank.reference.pages import section
from tests import inputs_reference


@pytest.mark.parametrize(
    ("page", "module", "generate"),
    [
        ("errors", "dancerank.reference.errors", errors_reference.reference),
        ("metrics", "dancerank.reference.metrics", metrics_reference.reference),
        ("inputs", "tests.inputs_reference", inputs_reference.reference),
    ],
)
def test_the_generated_pages_are_current(page: str, module: str, generate: Callable[[], str]) -> None:
    path = Path("docs") / f"{page}.md"
    assert path.read_text() == generate(), f"python -m {module} > {path}"


def test_cells_of_tables_hold_no_line_break_and_no_bar() -> None:
    text = section("Title", "Text.", ("a", "b"), [("one\n  two", "x | y")])
    assert text == "\n## Title\n\nText.\n\n| a | b |\n|---|---|\n| one two | x \\| y |\n"

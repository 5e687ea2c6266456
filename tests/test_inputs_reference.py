"""The page of inputs tried: each kind has some, and a mark that the page cannot show is refused."""

from collections import Counter
from pathlib import Path

import pytest

from tests.inputs_reference import FEWEST, KINDS, Tried, reference, tried_inputs


@pytest.fixture(scope="module")
def tried() -> Counter[str]:
    """How many inputs of each kind."""
    return Counter(each.kind for each in tried_inputs())


@pytest.mark.parametrize("kind", KINDS)
def test_several_inputs_of_each_kind_are_tried(tried: Counter[str], kind: str) -> None:
    assert tried[kind] >= FEWEST


@pytest.mark.parametrize(
    ("mark", "named"),
    [
        ('"leftovers", given="a", outcome="b"', "tried takes kind, given, outcome, each by name"),
        ('kind="leftovers", given="a"', "tried takes kind, given, outcome"),
        ('kind="leftovers", given="a", outcome=OUTCOME', "as a literal text"),
        ('kind="leftovers", given="a", outcome="b", more="c"', "tried takes"),
        ('kind="left", given="a", outcome="b"', "'left' is not a kind; the kinds are: unreadable batches, "),
    ],
)
def test_a_mark_that_the_page_cannot_show_is_refused_with_file_and_line(tmp_path: Path, mark: str, named: str) -> None:
    (tmp_path / "test_a.py").write_text(f"\n@pytest.mark.tried({mark})\ndef test_it(): ...\n")
    with pytest.raises(ValueError, match=f"tests/test_a.py:2: .*{named}"):
        tried_inputs(tmp_path)


def test_marks_of_tests_of_parameters_and_of_constants_are_found_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "test_b.py").write_text(
        'CASE = pytest.param(1, marks=[pytest.mark.tried(kind="HTTP edges", given="a|b", outcome="c")])\n'
        '@pytest.mark.tried(kind="leftovers", given="one", outcome="gone")\n'
        '@pytest.mark.parametrize("n", [CASE, '
        'pytest.param(2, marks=pytest.mark.tried(kind="leftovers", given="two", outcome="gone"))])\n'
        "def test_it(n): ...\n"
    )
    found = tried_inputs(tmp_path)
    assert [(each.given, each.path.as_posix(), each.line) for each in found] == [
        ("a|b", "b/test_b.py", 1),
        ("one", "b/test_b.py", 2),
        ("two", "b/test_b.py", 3),
    ]
    assert "| a\\|b | c | [b/test_b](../tests/b/test_b.py) |" in reference(found)


def test_the_page_shows_the_kinds_that_were_tried_in_their_order() -> None:
    tried = [Tried(kind, "a", "b", Path("test_a.py"), 1) for kind in ("leftovers", "unreadable batches")]
    headings = [line for line in reference(tried).splitlines() if line.startswith("## ")]
    assert headings == ["## Unreadable batches", "## Leftovers"]

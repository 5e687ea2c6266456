"""What the files around the code say of it is true."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dancerank_installation import FOLDER, PACKAGES

PROJECT: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
NAMED = re.compile(rf"`((?:{'|'.join((*PACKAGES, 'tests', 'benchmarks', 'deploy', 'docs', 'examples'))})/[^`*<\s]+)`")
PAGES = sorted(path for path in (*FOLDER.glob("*.md"), *(FOLDER / "docs").glob("*.md")))


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((FOLDER / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert "10.1145/3477533" in {reference["doi"] for reference in citation["references"]}


def test_what_each_extra_names_is_pinned() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (FOLDER / "constraints.txt").read_text().splitlines()
    }
    extras = {name: needed for name, needed in PROJECT["optional-dependencies"].items() if name != "gpu"}
    for needed in (PROJECT["dependencies"], *extras.values()):
        assert {re.split(r"[\[<>=]", each)[0].lower().replace("_", "-") for each in needed} - {"dancerank"} <= pinned


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(FOLDER).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    named = {path.rstrip("/").partition("::")[0] for path in NAMED.findall(text)}
    assert [path for path in sorted(named) if not list(FOLDER.glob(path))] == []
    tests = {path.name for path in (FOLDER / "tests").rglob("*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", text)) <= tests

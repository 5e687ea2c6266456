"""``docs/inputs.md`` from the marks of the tests: ``python -m tests.inputs_reference > docs/inputs.md``.

A test, or one of its parameters, is marked with ``@pytest.mark.tried(kind="…", given="…", outcome="…")``: keyword
arguments, texts as literals, because the tests are parsed and not imported.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dancerank.reference.pages import page, section

TESTS: Final = Path(__file__).parent
KINDS: Final[Mapping[str, str]] = {
    "unreadable batches": "Batches of a topic that Kafka's client cannot parse.",
    "metrics of a loop that stands still": "What the metrics say while a process does nothing.",
    "metadata looked up once": "Topics that change while processes run.",
    "positions before the log's beginning": "Records that retention removed before they were read.",
    "legal and absurd values": "Values that a field's type admits and that cannot be meant.",
    "missing values in disguise": "Joints that were not detected and are written as numbers.",
    "collapse by key": "Different things whose names lead to one key.",
    "identity lost": "Several people in the pictures of one clip.",
    "bounds on compressed bytes": "Little data that becomes much when it is decompressed.",
    "text where the system has bytes": "Names of files and folders that are not UTF-8.",
    "untrusted text in output": "Texts of producers on a terminal or in a log.",
    "decoding errors": "Files that a decoder fails on in another way than its reader expects.",
    "importers that trust types": "Archives and tables whose values have other types.",
    "two readers, two truths": "Inputs that two readers could understand differently.",
    "trust in features": "Features that are well-formed and show no dance.",
    "waits that forget": "Outages, and how often processes try to reconnect.",
    "readiness by memory": "What `/readyz` says while dependencies fail.",
    "first steps that fail silently": "What a newcomer sends first.",
    "HTTP edges": "Requests at the edges of HTTP.",
    "leftovers": "What a failed write leaves on the disk.",
    "videos": "Files that an upload calls a video.",
    "waiting in the dark": "Commands that take long before they say something.",
}
FEWEST: Final = 3
"""Inputs of each kind."""
_INTRODUCTION: Final = """\
What was sent to dancerank that its manuals do not ask for, and what it did. Each row is a test, or a parameter of one;
[guarantees](guarantees.md) states the rules."""
_FIELDS: Final = ("kind", "given", "outcome")


class Tried(NamedTuple):
    """One mark. ``path`` is relative to ``tests``."""

    kind: str
    given: str
    outcome: str
    path: Path
    line: int


def tried_inputs(tests: Path = TESTS) -> list[Tried]:
    """Every mark below the folder, by file and line. Raises ``ValueError`` with file and line for a wrong mark."""
    found = []
    for path in sorted(tests.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "tried(" in text:
            found += sorted(_marks(ast.parse(text), path.relative_to(tests)), key=lambda each: each.line)
    return found


def reference(tried: Sequence[Tried] | None = None) -> str:
    """The whole page, in Markdown: a table for each kind that was tried."""
    by_kind = defaultdict(list)
    for each in tried_inputs() if tried is None else tried:
        by_kind[each.kind].append(each)
    tables = [
        section(kind[0].upper() + kind[1:], text, ("given", "outcome", "held by"), map(_row, by_kind[kind]))
        for kind, text in KINDS.items()
        if by_kind[kind]
    ]
    return page("Inputs", _INTRODUCTION, "tests.inputs_reference", tables)


def _row(tried: Tried) -> Sequence[str]:
    path = tried.path.as_posix()
    return tried.given, tried.outcome, f"[{path.removesuffix('.py')}](../tests/{path})"


def _marks(module: ast.Module, path: Path) -> Iterator[Tried]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.tried":
            place = f"tests/{path.as_posix()}:{node.lineno}"
            named = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
            if node.args or set(named) != set(_FIELDS) or len(named) != len(node.keywords):
                raise ValueError(f"{place}: tried takes {', '.join(_FIELDS)}, each by name and as a literal text")
            if named["kind"] not in KINDS:
                raise ValueError(f"{place}: {named['kind']!r} is not a kind; the kinds are: {', '.join(KINDS)}")
            kind, given, outcome = (str(named[each]) for each in _FIELDS)
            yield Tried(kind, given, outcome, path, node.lineno)


if __name__ == "__main__":
    sys.stdout.write(reference())

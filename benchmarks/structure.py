"""How the code is divided: modules, lines, and imports between packages, of this tree and of an earlier revision.

    python -m benchmarks.structure [--against REVISION] [--longest LINES]

A room is a top-level package, or a package directly below ``ranking``. An import crosses if it leads from one room into
another. Lines are those that hold code: neither blank nor a comment nor a docstring.
"""

import argparse
import ast
import io
import statistics
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures

PACKAGES: Final = ("schemas", "transport", "vdv", "networks", "exporters", "streamer", "ranking", "dancerank")


class Module(NamedTuple):
    """``lines`` hold code; ``length`` counts all. ``imports`` are modules of the same tree, as they are written."""

    name: str
    lines: int
    length: int
    imports: tuple[str, ...]


class Structure(NamedTuple):
    modules: int
    lines: int
    median_length: float
    longest: int
    longest_name: str
    crossing: int
    flat: int
    test_lines: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="an earlier revision to compare with")
    parser.add_argument("--quick", action="store_true", help="the same; it takes seconds")
    parser.add_argument("--longest", type=int, metavar="LINES", help="only exit with 1 if a module is longer")
    arguments = parser.parse_args()
    if arguments.longest:
        sys.exit("\n".join(too_long(Path(), arguments.longest)) or None)
    found = {"now": structure(Path())}
    if arguments.against:
        with TemporaryDirectory() as folder:
            archive = subprocess.run(["git", "archive", arguments.against], check=True, capture_output=True).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(folder, filter="data")
            found = {arguments.against: structure(Path(folder))} | found
    report(Console(), found)


def structure(root: Path) -> Structure:
    """Measure the tree below ``root``."""
    modules = [module for package in PACKAGES for module in read_modules(root, package)]
    tests = sum(code_lines(path.read_text()) for path in (root / "tests").rglob("*.py"))
    names = {module.name for module in modules}
    packages = {module.name.rpartition(".")[0] for module in modules}
    crossing = {
        (module.name, target)
        for module in modules
        for imported in module.imports
        if (target := nearest(imported, names)) is not None and room(target, packages) != room(module.name, packages)
    }
    lengths = [module.length for module in modules]
    longest = max(modules, key=lambda module: module.length)
    folders = Counter(module.name.rpartition(".")[0] for module in modules)
    return Structure(
        modules=len(modules),
        lines=sum(module.lines for module in modules),
        median_length=statistics.median(lengths),
        longest=longest.length,
        longest_name=longest.name,
        crossing=len(crossing),
        flat=max(folders.values()),
        test_lines=tests,
    )


def too_long(root: Path, most: int) -> list[str]:
    """A sentence for each module of the code, tests, benchmarks and examples with more than ``most`` lines."""
    lengths = {
        path.relative_to(root): path.read_text().count("\n")
        for folder in (*PACKAGES, "tests", "benchmarks", "examples")
        for path in sorted((root / folder).rglob("*.py"))
    }
    return [
        f"{path}: {length} lines, {most} at most; split it by what it holds"
        for path, length in lengths.items()
        if length > most
    ]


def read_modules(root: Path, package: str) -> Iterator[Module]:
    for path in sorted((root / package).rglob("*.py")):
        text = path.read_text()
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, code_lines(text), text.count("\n"), tuple(imports_of(ast.parse(text))))


def code_lines(text: str) -> int:
    """Lines that hold code: neither blank, nor a comment, nor part of a docstring."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in documented
        for number, line in enumerate(text.splitlines(), 1)
    )


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def nearest(imported: str, names: set[str]) -> str | None:
    """The module that an import leads to: ``a.b.c`` may be the object ``c`` of the module ``a.b``."""
    while imported and imported not in names:
        imported = imported.rpartition(".")[0]
    return imported or None


def room(module: str, packages: set[str]) -> str:
    """The package directly below ``ranking`` that holds a module, else its top-level package."""
    first, *rest = module.split(".")
    below = ".".join((first, *rest[:1]))
    return below if first == "ranking" and below in packages else first


def report(console: Console, found: Mapping[str, Structure]) -> None:
    table = Table("", *found, title="Structure")
    for field in Structure._fields:
        table.add_row(field.replace("_", " "), *(f"{getattr(each, field)}" for each in found.values()))
    ratios = (f"{each.test_lines / each.lines:.2f}" for each in found.values())
    table.add_row("tests / code", *ratios)
    console.print(table)
    *before, now = found.values()
    lines = before[0].lines if before else None
    figures = [
        Measured("lines of code", now.lines, "lines", lines, lower_is_better=True),
        Measured("modules", now.modules, "modules"),
        Measured("most modules in one folder", now.flat, "modules", before[0].flat if before else None, True),
        Measured("imports that cross rooms", now.crossing, "imports"),
    ]
    path = write_figures("structure", figures, structures={name: each._asdict() for name, each in found.items()})
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()

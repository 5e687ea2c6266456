"""Long routines with judges' scores: Rhythmic Gymnastics (Zeng et al. 2020) and MIT-Skating (Pirsiavash et al. 2014).

Features are in the layout of ACTION-NET's public code: ``dynamic_feat/<name>.npy`` (T, 1024) of segments, by I3D, and
``static_feat/<name>.npy`` (T, 2048) of athletes in frames, by ResNet-50. Scores:

- Rhythmic Gymnastics: ``train.txt`` and ``test.txt`` with the header ``Video_Name Difficulty_Score Execution_Score
  Total_Score Penalty Video_length``, names such as ``Ball_001``.
- MIT-Skating: ``scores.txt``, in the form of Xu et al.'s tables of skating: name, total element score, total program
  component score, without header. The final score is their sum.

Columns are separated by spaces or tabs; spaces around them do not count. Legend: T segments or frames.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from schemas.escaping import shortened
from vdv.errors import DataSetError, Finding, refusal
from vdv.importers.step_features import read_steps

Target = Literal["difficulty", "execution", "elements", "components", "total"]

APPARATUS: Final = ("Ball", "Clubs", "Hoop", "Ribbon")
DYNAMIC: Final = "dynamic_feat"
STATIC: Final = "static_feat"
WIDTHS: Final = {DYNAMIC: 1024, STATIC: 2048}
HEADER: Final = ("Video_Name", "Difficulty_Score", "Execution_Score", "Total_Score", "Penalty", "Video_length")
SKATING_TABLE: Final = "scores.txt"
GYMNASTICS_TARGETS: Final[tuple[Target, ...]] = ("difficulty", "execution", "total")
SKATING_TARGETS: Final[tuple[Target, ...]] = ("elements", "components", "total")


@dataclass(frozen=True)
class Routine:
    """One routine, from ``row`` of ``table``. ``scores`` are in points; ``part`` is ``train`` or ``test`` where the
    data set divides itself; ``dynamic`` (T, 1024), ``static`` (T, 2048), with no frame if the athlete was never
    detected."""

    table: Path
    row: int
    name: str
    scores: dict[Target, float]
    part: str | None
    dynamic: npt.NDArray[np.float32]
    static: npt.NDArray[np.float32]


def read_gymnastics(source: Path, apparatus: str, *, static: str = STATIC) -> list[Routine]:
    """The routines with ``apparatus``, those of ``train.txt`` first; ``static`` is the folder of static features.

    Raises ``DataSetError`` with all findings: tables and feature files of another form, by file and row.
    """
    if apparatus not in APPARATUS:
        raise DataSetError(
            f"no apparatus is called {apparatus!r}; give one of {', '.join(APPARATUS)}", field="apparatus"
        )
    rows = [
        row
        for part in ("train", "test")
        for row in _rows(source / f"{part}.txt", GYMNASTICS_TARGETS, part, header=HEADER)
        if row.name.startswith(f"{apparatus}_")
    ]
    if not rows:
        raise refusal([Finding(source / "train.txt", f"names no routine {apparatus}_…", "give the published tables")])
    return _routines(source, rows, static)


def read_skating(source: Path, *, static: str = STATIC) -> list[Routine]:
    """All skating routines, with ``elements``, ``components`` and their sum ``total``; errors as those above."""
    rows = list(_rows(source / SKATING_TABLE, SKATING_TARGETS[:-1], None, header=None))
    for row in rows:
        row.scores["total"] = sum(row.scores.values())
    return _routines(source, rows, static)


@dataclass(frozen=True)
class _Row:
    path: Path
    number: int
    name: str
    scores: dict[Target, float]
    part: str | None


def _rows(path: Path, targets: Sequence[Target], part: str | None, *, header: tuple[str, ...] | None) -> Iterator[_Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataSetError(f"{path} cannot be read ({error.strerror or error}); give the published folder") from error
    except UnicodeDecodeError as error:
        raise DataSetError(f"{path} is not UTF-8 text ({error.reason}); give the published table") from error
    findings: list[Finding] = []
    rows: list[_Row] = []
    columns = len(header) if header else 1 + len(targets)
    if header and (not lines or tuple(lines[0].split()) != header):
        raise refusal([Finding(path, f"does not begin with {' '.join(header)}", "give the published table", row=1)])
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells or (header and number == 1):
            continue
        if len(cells) != columns:
            findings.append(
                Finding(path, f"has {len(cells)} columns, expected {columns}", "correct the row", row=number)
            )
            continue
        try:
            values = [float(cell) for cell in cells[1:]]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            problem = f"{shortened(line.strip())!r} has a score that is not a finite number"
            findings.append(Finding(path, problem, "correct it, or remove the row", row=number))
            continue
        rows.append(_Row(path, number, cells[0], dict(zip(targets, values, strict=False)), part))
    if not findings and not rows:
        findings.append(Finding(path, "has no routine", "give the published table"))
    if findings:
        raise refusal(findings)
    yield from rows


def _routines(source: Path, rows: Sequence[_Row], static: str) -> list[Routine]:
    findings: list[Finding] = []
    first: dict[str, _Row] = {}
    routines = []
    for row in rows:
        if row.name in first:
            before = first[row.name]
            problem = f"{row.name} is also row {before.number} of {before.path.name}"
            findings.append(Finding(row.path, problem, "remove one of them", row=row.number, field="Video_Name"))
            continue
        first[row.name] = row
        try:
            owner = f"of row {row.number} of {row.path.name}"
            dynamic = read_steps(source / DYNAMIC / f"{row.name}.npy", WIDTHS[DYNAMIC], owner=owner)
            frames = read_steps(source / static / f"{row.name}.npy", WIDTHS[STATIC], owner=owner, fewest=0)
        except DataSetError as error:
            findings += error.findings
            continue
        routines.append(Routine(row.path, row.number, row.name, row.scores, row.part, dynamic, frames))
    if findings:
        raise refusal(findings)
    return routines

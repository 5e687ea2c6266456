"""``clips.csv``: the annotations of a data set, one row per clip.

Every column is a field of ``Annotation``; columns of other names are kept as they are in ``Annotation.extra``. An empty
cell is an absent value.
"""

import csv
import math
import os
import re
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from schemas.decoder_messages import of_msgspec
from schemas.escaping import shortened
from schemas.events import Count, TimestampMs
from schemas.identifiers import Identifier
from schemas.local_files import exists, open_file
from vdv.errors import DataSetError, Finding

TABLE_NAME: Final = "clips.csv"
REQUIRED: Final = ("clip_id", "dancer_id", "challenge_id", "duration_s", "features")
COUNTS: Final = ("likes", "comments", "reposts", "days_online")
PARTITIONS: Final = ("split", "fold")
SPLITS: Final = ("train", "test")

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """The annotation of one clip.

    ``features`` is the path of its feature file, relative to the folder of the table; the writer of a data set chooses
    it. The label is either the four counts, ``days_online`` being the age of the clip when they were taken, or
    ``score``: a judged score, higher is better. ``views`` of the clip and ``followers`` of its author, at that time,
    are for the targets that need them (``vdv.targets``). ``split`` or ``fold`` is the part that the clip was given.
    ``row`` is the line of the table, 0 if it was not read from one.
    """

    clip_id: Identifier
    dancer_id: Identifier
    challenge_id: Identifier
    duration_s: Duration
    features: Annotated[str, msgspec.Meta(min_length=1)] = ""
    uploaded_at_ms: TimestampMs | None = None
    likes: Count | None = None
    comments: Count | None = None
    reposts: Count | None = None
    days_online: NotNegative | None = None
    views: Count | None = None
    followers: Count | None = None
    score: float | None = None
    split: Literal["train", "test"] | None = None
    fold: Annotated[int, msgspec.Meta(ge=0)] | None = None
    extra: dict[str, str] = {}
    row: int = 0


_TYPES: Final[dict[str, Any]] = {
    field.name: field.type for field in msgspec.structs.fields(Annotation) if field.name not in ("extra", "row")
}
COLUMNS: Final = tuple(_TYPES)
_PATHS: Final = frozenset({"features", "poses", "video"})
"""Columns of names on disk, which are bytes: what is not UTF-8 in them is kept, as ``os.fsdecode`` writes it."""
_REMEDIES: Final = {
    **dict.fromkeys(("clip_id", "dancer_id", "challenge_id"), "use 1 to 128 characters, no white space and no slash"),
    **dict.fromkeys(("likes", "comments", "reposts", "views", "followers"), "give a whole number, 0 or more"),
    "days_online": "give the clip's age in days, 0 or more",
    "duration_s": "give the clip's length in seconds, a day at most",
    "features": "give the path of the feature file, relative to the folder",
    "uploaded_at_ms": "give milliseconds since 1970, UTC",
    "score": "give a finite number, higher is better",
    "split": "write train or test",
    "fold": "number the folds 0, 1, …",
}


_WHOLE_NUMBERS: Final = frozenset(
    (*(c for c in COUNTS if c != "days_online"), "views", "followers", "fold", "uploaded_at_ms")
)
_DIGITS: Final = re.compile(r"[+-]?[0-9]+")
_OTHER_SEPARATORS: Final = ";\t|"


class Cells(NamedTuple):
    """One row of a table as text: its line number and its cells by column."""

    row: int
    values: dict[str, str]


def read_cells(path: Path, required: Sequence[str] = REQUIRED) -> tuple[list[Cells], list[Finding]]:
    """The rows of a CSV table and the findings about the table: unreadable, no CSV, columns of ``required`` missing
    or given twice, rows of another width or with text that is not UTF-8, which are left out of the rows.

    Columns of paths keep bytes that are not UTF-8, as ``os.fsdecode`` writes them.
    """
    cells: list[Cells] = []
    findings: list[Finding] = []
    try:
        # Spreadsheets put a byte order mark first.
        table = TextIOWrapper(open_file(path), newline="", encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        remedy = f"a folder of clips needs this table, with the columns {', '.join(required)}"
        return [], [Finding(path, f"cannot be read ({error.strerror})", remedy)]
    with table:
        reader = csv.reader(table)
        try:
            header = [name.strip() for name in next(reader, [])]
            if byte := _not_utf8("".join(header)):
                return [], [Finding(path, f"byte {byte} in the first row is not UTF-8", "save the table as UTF-8")]
            findings += _header_findings(path, header, required)
            if findings:
                return [], findings
            for values in reader:
                if not any(values):  # spreadsheets leave rows of commas behind the last
                    continue
                if len(values) != len(header):
                    problem = f"has {len(values)} values, expected {len(header)}"
                    findings.append(Finding(path, problem, "quote values that hold a comma", row=reader.line_num))
                    continue
                row = dict(zip(header, values, strict=True))
                row |= {column: _as_path(row[column]) for column in _PATHS & row.keys()}
                texts = [
                    Finding(path, f"byte {byte} is not UTF-8", "save the table as UTF-8", reader.line_num, column)
                    for column, text in row.items()
                    if column not in _PATHS and (byte := _not_utf8(text))
                ]
                findings += texts
                if not texts:
                    cells.append(Cells(reader.line_num, row))
        except csv.Error as error:
            findings.append(Finding(path, f"no CSV ({error})", "write it again", row=reader.line_num))
    return cells, findings


def annotation_of(path: Path, cells: Cells) -> Annotation | list[Finding]:
    """A row as an ``Annotation``, or all findings about it. Columns of ``REQUIRED`` must be there."""
    values: dict[str, Any] = {}
    findings = []
    for column, kind in _TYPES.items():
        text = _stripped(path.parent, column, cells.values.get(column, ""))
        if not text and column not in REQUIRED:
            continue
        try:
            if text and column in _WHOLE_NUMBERS and not _DIGITS.fullmatch(text):
                raise msgspec.ValidationError("ambiguous; write a whole number with digits alone, such as 1000")
            value = msgspec.convert(text, kind, strict=False)
            if isinstance(value, float) and not math.isfinite(value):
                raise msgspec.ValidationError("Expected a finite number")
        except msgspec.ValidationError as error:
            problem = f"{text[:80]!r} is refused ({shortened(of_msgspec(str(error)))})" if text else "is empty"
            findings.append(Finding(path, problem, _REMEDIES[column], row=cells.row, field=column))
        else:
            values[column] = value
    if findings:
        return findings
    extra = {column: text for column, text in cells.values.items() if column not in _TYPES}
    return Annotation(**values, extra=extra, row=cells.row)


def _as_path(text: str) -> str:
    """What ``os`` calls the file whose name is ``text`` in a table, where ``surrogateescape`` kept odd bytes."""
    return os.fsdecode(text.encode(errors="surrogateescape"))


def _as_text(value: Any, column: str) -> Any:
    """The inverse of ``_as_path`` for columns of paths."""
    return os.fsencode(value).decode(errors="surrogateescape") if column in _PATHS else value


def _stripped(folder: Path, column: str, text: str) -> str:
    """Without the spaces around it, unless they belong to the name of a file that is there."""
    stripped = text.strip()
    if column in _PATHS and stripped != text and exists(folder / text):
        return text
    return stripped


def _not_utf8(text: str) -> str | None:
    """The first byte that ``surrogateescape`` stands for, as 0x…"""
    return next((f"0x{ord(c) - 0xDC00:02x}" for c in text if "\udc80" <= c <= "\udcff"), None)


def read_table(folder: Path) -> tuple[list[Annotation], list[Finding]]:
    """The rows of ``folder``'s table that can be read, and the findings about the others."""
    path = folder / TABLE_NAME
    rows, findings = read_cells(path)
    annotations = []
    for cells in rows:
        read = annotation_of(path, cells)
        if isinstance(read, Annotation):
            annotations.append(read)
        else:
            findings += read
    return annotations, findings


def write_table(folder: Path, annotations: Iterable[Annotation]) -> None:
    """Write the table in one step: an interrupted write leaves the old table.

    Optional columns are written if some clip has a value; numbers are written so that they read back exactly. Raises
    ``DataSetError`` where nothing can be written.
    """
    rows = list(annotations)
    used = [c for c in COLUMNS if c in REQUIRED or any(getattr(row, c) is not None for row in rows)]
    extra = list(dict.fromkeys(column for row in rows for column in row.extra))
    path = folder / TABLE_NAME
    unfinished = path.with_name(f".{TABLE_NAME}.{os.getpid()}")
    try:
        with unfinished.open("w", newline="", encoding="utf-8", errors="surrogateescape") as table:
            writer = csv.writer(table)
            writer.writerow([*used, *extra])
            for row in rows:
                known = ["" if (value := getattr(row, column)) is None else _as_text(value, column) for column in used]
                writer.writerow([*known, *(_as_text(row.extra.get(column, ""), column) for column in extra)])
            table.flush()
            os.fsync(table.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        remedy = "make the folder writable, or choose another"
        raise DataSetError(f"{path} cannot be written ({error.strerror}); {remedy}") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _header_findings(path: Path, header: Sequence[str], required: Sequence[str]) -> list[Finding]:
    absent = [column for column in required if column not in header]
    twice = sorted({column for column in header if header.count(column) > 1})
    findings = []
    if absent:
        problem = f"{_columns(absent)} missing" if header else "is empty"
        remedy = f"add {', '.join(absent)} to the first row"
        if len(header) == 1 and any(separator in header[0] for separator in _OTHER_SEPARATORS):
            remedy = "save the table with commas between the columns"
        findings.append(Finding(path, problem, remedy))
    if twice:
        findings.append(Finding(path, f"{_columns(twice)} there twice", "rename or remove one"))
    return findings


def _columns(names: Sequence[str]) -> str:
    return f"the column {names[0]} is" if len(names) == 1 else f"the columns {', '.join(names)} are"

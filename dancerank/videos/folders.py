"""Which videos were named: files, those of a folder, or the rows of a folder's ``clips.csv``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from schemas.errors import ConfigurationError, DancerankError, FeatureFileMissing
from schemas.local_files import exists, is_file, is_folder
from vdv.annotations import TABLE_NAME, Annotation, Cells, annotation_of, read_cells
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import FEATURES_FOLDER, confined

SUFFIXES: Final = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".3gp", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv")
)
_SUFFIXES_SHOWN: Final = ", ".join(sorted(SUFFIXES))
VIDEO_COLUMN: Final = "video"
_TABLE_COLUMNS: Final = ("clip_id", "dancer_id", "challenge_id")


class Video(NamedTuple):
    """A video, the name of its feature file without a suffix, and its row in ``clips.csv``, if it has one.

    ``problem``: why there is no video, for a row that leads to none.
    """

    path: Path
    name: str
    cells: Cells | None = None
    problem: DancerankError | None = None


def holds_videos(path: Path) -> bool:
    """Whether ``path`` is a video or a folder of videos, rather than one of feature files: its table, if it has one,
    has no column ``features`` but a column ``video`` or videos beside it.

    Raises ``ConfigurationError`` for a folder that cannot be read, and for a file that is not named as a video.
    """
    if is_file(path):
        if path.suffix.lower() in SUFFIXES:
            return True
        raise ConfigurationError(
            f"{path} is not named as a video ({_SUFFIXES_SHOWN}); name a folder, or rename the file if it is a video"
        )
    if not is_folder(path):
        return False
    has_videos = any(each.suffix.lower() in SUFFIXES for each in _files(path))
    table = path / TABLE_NAME
    if not exists(table):
        return has_videos
    rows, _ = read_cells(table, _TABLE_COLUMNS)
    columns = rows[0].values.keys() if rows else ()
    return bool(rows) and "features" not in columns and (has_videos or VIDEO_COLUMN in columns)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read ({error.strerror}); name another folder") from error


def passed_over(folder: Path) -> list[str]:
    """A sentence about the files of a folder without a table that are not taken for videos, if there are any."""
    if not is_folder(folder) or exists(folder / TABLE_NAME):
        return []
    names = [each.name for each in _files(folder) if is_file(each) and each.suffix.lower() not in SUFFIXES]
    if not names:
        return []
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"left out: {names[0]}{more}, as videos end in {_SUFFIXES_SHOWN}"]


def videos_of(named: Sequence[Path]) -> list[Video]:
    """The videos that were named, those of a folder in the order of their names; of a folder with ``clips.csv`` those
    of its rows.

    Raises ``ConfigurationError`` for a folder without videos, or several videos whose features would have one name,
    ``DataSetError`` for a table that cannot be read.
    """
    videos: list[Video] = []
    for path in named:
        if exists(path / TABLE_NAME):
            if len(named) > 1:
                raise ConfigurationError(f"{path} holds {TABLE_NAME}; name it alone, as it becomes a data set")
            return _rows(path)
        if is_folder(path):
            found = [each for each in _files(path) if each.suffix.lower() in SUFFIXES]
            if not found:
                raise ConfigurationError(f"{path} holds no video; its files should end in {_SUFFIXES_SHOWN}")
            videos += [Video(each, each.stem) for each in found]
        else:
            videos.append(Video(path, path.stem))
    by_name: dict[str, Video] = {}
    for video in videos:
        first = by_name.setdefault(video.name, video)
        if first.path != video.path:
            raise ConfigurationError(f"{first.path} and {video.path} would both become {video.name}; rename one")
    return list(by_name.values())


def _rows(folder: Path) -> list[Video]:
    table = folder / TABLE_NAME
    rows, findings = read_cells(table, _TABLE_COLUMNS)
    first_with: dict[str, int] = {}
    for cells in rows:
        name = cells.values["clip_id"].strip()
        first = first_with.setdefault(name, cells.row)
        if first != cells.row:
            remedy = "give each clip an id of its own"
            findings.append(Finding(table, f"{name!r} is in row {first} already", remedy, cells.row, "clip_id"))
        findings += [each for each in _refused(table, cells) if each.field != "clip_id" or first == cells.row]
    if findings:
        raise refusal(findings)
    if not rows:
        raise DataSetError(f"{table} names no clip; give it a row for each video")
    return [_row(folder, cells) for cells in rows]


def _refused(table: Path, cells: Cells) -> list[Finding]:
    """What is wrong with a row apart from what the extraction adds."""
    read = annotation_of(table, completed(cells, duration_s=1.0))
    return [] if isinstance(read, Annotation) else read


def completed(cells: Cells, *, duration_s: float) -> Cells:
    """A row with the path of its feature file, and with its length where it states none."""
    name = cells.values["clip_id"].strip()
    stated = cells.values.get("duration_s", "").strip() or f"{duration_s:.2f}"
    added = {"features": f"{FEATURES_FOLDER}/{name}.safetensors", "duration_s": stated}
    return Cells(cells.row, cells.values | added)


def _row(folder: Path, cells: Cells) -> Video:
    name = cells.values["clip_id"].strip()
    stated = cells.values.get(VIDEO_COLUMN, "").strip()
    try:
        if stated:
            return Video(confined(folder, stated), name, cells)
        found = [path for suffix in sorted(SUFFIXES) if exists(path := folder / f"{name}{suffix}")]
        if len(found) != 1:
            raise FeatureFileMissing(
                f"{_problem(folder, name, found)} called {name} beside the table; name it in the column {VIDEO_COLUMN}",
                field=VIDEO_COLUMN,
            )
        return Video(found[0], name, cells)
    except DancerankError as error:
        return Video(folder / (stated or name), name, cells, error)


def _problem(folder: Path, name: str, found: Sequence[Path]) -> str:
    if found:
        return f"{' and '.join(path.name for path in found)} are both there"
    others = [path.name for path in _files(folder) if path.stem == name]
    if others:
        return f"{others[0]} does not end as a video does ({_SUFFIXES_SHOWN}), and there is no other file"
    return "there is no video"

"""Videos on disk to feature files: which videos, where their features go, and what came of each."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple

from extraction.decoding.content import open_path
from extraction.decoding.video import DecoderLimits
from extraction.files import FeatureFiles
from extraction.one_pass import Extractors, Report, extract
from extraction.settings import ExtractionSettings
from schemas.errors import ConfigurationError, DancerankError, ExtractionFailed, FeatureFileMissing
from schemas.events import MIN_DURATION_S
from vdv.annotations import TABLE_NAME, Annotation, Cells, annotation_of, read_cells, write_table
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import FEATURES_FOLDER, confined

SUFFIXES: Final = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".3gp", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv")
)
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


class Outcome(NamedTuple):
    """What came of one video: its report, or the error. ``skipped``: its feature file was up to date."""

    video: Video
    result: Report | DancerankError
    skipped: bool = False


def videos_of(named: Sequence[Path]) -> list[Video]:
    """The videos that were named, those of a folder in the order of their names; of a folder with ``clips.csv`` those
    of its rows.

    Raises ``ConfigurationError`` for a folder without videos, or several videos whose features would have one name,
    ``DataSetError`` for a table that cannot be read.
    """
    videos: list[Video] = []
    for path in named:
        if (path / TABLE_NAME).exists():
            if len(named) > 1:
                raise ConfigurationError(f"{path} holds {TABLE_NAME}; name it alone, as it becomes a data set")
            return _rows(path)
        if path.is_dir():
            try:
                found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read ({error.strerror}); name another folder") from error
            if not found:
                raise ConfigurationError(
                    f"{path} holds no video; its files should end in {', '.join(sorted(SUFFIXES))}"
                )
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
    read = annotation_of(table, _completed(cells, duration_s=1.0))
    return [] if isinstance(read, Annotation) else read


def _completed(cells: Cells, *, duration_s: float) -> Cells:
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
        found = [path for suffix in sorted(SUFFIXES) if (path := folder / f"{name}{suffix}").exists()]
        if len(found) != 1:
            problem = f"{' and '.join(path.name for path in found)} are both there" if found else "there is no video"
            raise FeatureFileMissing(
                f"{problem} called {name} beside the table; name it in the column {VIDEO_COLUMN}", field=VIDEO_COLUMN
            )
        return Video(found[0], name, cells)
    except DancerankError as error:
        return Video(folder / (stated or name), name, cells, error)


def extract_all(
    videos: Sequence[Video],
    extractors: Extractors,
    settings: ExtractionSettings,
    files: FeatureFiles,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None],
) -> Iterator[Outcome]:
    """What came of each video, as it is done, ``jobs`` at once. One that fails does not stop the others. ``progress``
    gets the frames of a single video, otherwise the videos that are done, and how many there are.
    """
    limits = DecoderLimits.of(settings)
    stop = threading.Event()

    def one(video: Video) -> Outcome:
        if video.problem is not None:
            return Outcome(video, video.problem)
        if stop.is_set():
            return Outcome(video, ExtractionFailed("the command was stopped; run it again"))
        try:
            with open_path(video.path, max_bytes=settings.max_video_bytes) as content:
                if not overwrite and (known := files.up_to_date(video.name, content, extractors)) is not None:
                    return Outcome(video, known, skipped=True)
                shown = progress if len(videos) == 1 else (lambda done, expected: None)
                extraction = extract(content, extractors, limits, progress=shown)
            files.write(video.name, video.path, extraction, extractors)
        except DancerankError as error:
            return Outcome(video, error)
        except OSError as error:
            where = files.path(video.name)
            return Outcome(
                video, ConfigurationError(f"{where} cannot be written ({error.strerror}); choose another --out")
            )
        except Exception as error:  # noqa: BLE001 - an extractor of others may raise anything
            return Outcome(video, ExtractionFailed(f"{type(error).__name__}: {error}; look at the video"))
        return Outcome(video, extraction.report)

    with ThreadPoolExecutor(jobs, thread_name_prefix="extract") as pool:
        futures = [pool.submit(one, video) for video in videos]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                yield future.result()
                if len(videos) > 1:
                    progress(done, len(videos))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def write_clips(folder: Path, outcomes: Sequence[Outcome]) -> int:
    """``clips.csv`` of the clips that have features, in the table's order; returns how many they are."""
    annotations = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.video.cells.row if outcome.video.cells else 0):
        if outcome.video.cells is None or isinstance(outcome.result, DancerankError):
            continue
        read = annotation_of(
            folder / TABLE_NAME,
            _completed(outcome.video.cells, duration_s=max(outcome.result.duration_s, MIN_DURATION_S)),
        )
        if not isinstance(read, Annotation):
            raise refusal(read)
        annotations.append(read)
    if annotations:
        write_table(folder, annotations)
    return len(annotations)

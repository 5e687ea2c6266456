"""Videos on disk to feature files: where their features go, and what came of each."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from dancerank.videos.folders import Video, completed
from extraction.decoding.content import open_path
from extraction.decoding.video import DecoderLimits
from extraction.files import FeatureFiles
from extraction.one_pass import Extractors, Report, extract
from extraction.settings import ExtractionSettings
from schemas.errors import ConfigurationError, DancerankError, ExtractionFailed
from schemas.events import MIN_DURATION_S
from vdv.annotations import TABLE_NAME, Annotation, annotation_of, write_table
from vdv.errors import refusal


class Outcome(NamedTuple):
    """What came of one video: its report, or the error. ``skipped``: its feature file was up to date."""

    video: Video
    result: Report | DancerankError
    skipped: bool = False


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
            completed(outcome.video.cells, duration_s=max(outcome.result.duration_s, MIN_DURATION_S)),
        )
        if not isinstance(read, Annotation):
            raise refusal(read)
        annotations.append(read)
    if annotations:
        write_table(folder, annotations)
    return len(annotations)

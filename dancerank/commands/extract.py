"""``extract``: features from videos (docs/extraction.md)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dancerank.commands.options import Config
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from dancerank.settings import load_settings
from dancerank.videos.extracting import Outcome, extract_all, write_clips
from dancerank.videos.folders import videos_of
from extraction.files import FeatureFiles
from extraction.selection import open_extractors
from schemas.errors import DancerankError, ExtractionFailed
from schemas.modalities import Modality
from vdv.annotations import TABLE_NAME
from vdv.folder import FEATURES_FOLDER

_NONE: Final = "–"


def extract(
    videos: Annotated[
        list[Path], typer.Argument(help="Videos, or a folder of them; one with clips.csv becomes a data set.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the feature files to.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Videos to work on at once.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Extract again what is there of the same video and extractors.")
    ] = False,
    config: Config = None,
) -> None:
    """Extract the streams of videos: one feature file for each, beside a record of what it was made of.

    A folder with clips.csv (clip_id, dancer_id, challenge_id, counts; the column video names the file, else it is
    called as the clip) becomes a data set in OUT. A video that fails is named at the end, and the exit status is 1.
    """
    settings = load_settings(config).extraction
    found = videos_of(videos)
    is_data_set = found[0].cells is not None
    with working("Loading the extractors"):
        extractors = open_extractors(settings)
    files = FeatureFiles(out / FEATURES_FOLDER if is_data_set else out)
    with steps() as on_progress:
        on_progress("Extracting", 0, 0)
        outcomes = list(
            extract_all(
                found,
                extractors,
                settings,
                files,
                jobs=jobs,
                overwrite=overwrite,
                progress=lambda done, total: on_progress("Extracting", done, total),
            )
        )
    order = {video.name: number for number, video in enumerate(found)}
    outcomes.sort(key=lambda outcome: order[outcome.video.name])
    console = Console()
    show_outcomes(console, outcomes, list(extractors.streams))
    if is_data_set:
        clips = write_clips(out, outcomes)
        console.print(f"{out / TABLE_NAME}: {clips} of {len(outcomes)} clips", markup=False, soft_wrap=True)
    report_failures(outcomes)


def show_outcomes(console: Console, outcomes: Sequence[Outcome], modalities: Sequence[Modality]) -> None:
    """What came of each video, where somebody had to be chosen, and why a stream is missing."""
    console.print(_table(outcomes, modalities))
    for line in [*_choices(outcomes), *_absences(outcomes)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(outcomes: Sequence[Outcome], modalities: Sequence[Modality]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("video", overflow="fold", min_width=16)
    for column in ("seconds", "dancer", *map(str, modalities), "took"):
        table.add_column(column, justify="right")
    for video, result, skipped in outcomes:
        if isinstance(result, DancerankError):
            table.add_row(Text(video.path.name), *[""] * (len(table.columns) - 2), "failed", style="red")
            continue
        counts = {stream.modality: str(stream.steps or _NONE) for stream in result.streams}
        table.add_row(
            Text(video.path.name),
            f"{result.duration_s:.1f}",
            f"{result.with_person / result.frames:.0%}",
            *(counts.get(modality, _NONE) for modality in modalities),
            "there already" if skipped else f"{result.total_s:.1f} s",
        )
    return table


def _choices(outcomes: Sequence[Outcome]) -> list[str]:
    """Where somebody had to be chosen."""
    lines = []
    for video, result, _ in outcomes:
        if isinstance(result, DancerankError) or result.most_people < 2:
            continue
        changed = f", changed {result.switches} times" if result.switches else ""
        followed = f"the largest and most central was followed{changed}"
        lines.append(f"{video.path.name} shows up to {result.most_people} people; {followed}")
    return lines


def _absences(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{video.path.name} has no {stream.modality} stream: {stream.reason}"
        for video, result, _ in outcomes
        if not isinstance(result, DancerankError)
        for stream in result.streams
        if not stream.steps
    ]


def report_failures(outcomes: Sequence[Outcome]) -> None:
    """Raise one error that names every video that failed, if any did."""
    failed = [(video, result) for video, result, _ in outcomes if isinstance(result, DancerankError)]
    if not failed:
        return
    if len(failed) == len(outcomes) == 1:
        (video, error) = failed[0]
        raise type(error)(f"{video.path}: {error.message}", field=error.field) from error
    lines = [f"  {video.path}: {error.message} ({error.code})" for video, error in failed]
    raise ExtractionFailed("\n".join([f"{len(failed)} of {len(outcomes)} videos have no features:", *lines]))

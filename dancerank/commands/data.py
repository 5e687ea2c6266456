"""``data``: check, split, import and synthesize data sets to learn from (docs/data.md)."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from dancerank.commands.options import MOST_SEED
from dancerank.console.progress import counted, steps, working
from dancerank.console.terminal import Console
from dancerank.synthetic import STANDARD, Plan
from dancerank.synthetic.data_set import write_synthetic
from schemas.missing_joints import LONGEST_GAP_S
from schemas.modalities import Modality
from schemas.virality_target import Target, TargetSettings
from vdv.annotations import PARTITIONS, SPLITS, Annotation
from vdv.checking import Report, check_folder, implausible
from vdv.errors import MOST_SHOWN, DataSetError
from vdv.folder import Clip, open_data_set, rewrite_annotations, write_data_set
from vdv.importers import alphapose, dance, speed21, unlv_dive
from vdv.splits import TEST_SHARE, draw_folds, draw_split
from vdv.statistics import Statistics, part_of

_NONE: Final = "–"
_LISTED: Final = 3
_STEPS: Final = {
    "skeletons": Modality.SKELETAL,
    "holistic": Modality.HOLISTIC,
    "faces": Modality.FACIAL,
    "scenes": Modality.SCENIC,
    "routine": Modality.ROUTINE,
}

Folder = Annotated[Path, typer.Argument(help="Folder with clips.csv and the feature files that it names.")]
Archive = Annotated[Path, typer.Argument(help="The archive, or the folder that holds it (DANCERANK_DATA).")]
TargetFolder = Annotated[Path, typer.Argument(help="Folder to write the data set to; it must not hold one.")]


def check(
    folder: Folder,
    challenges: Annotated[str | None, typer.Option(help="Challenges that are allowed, separated by commas.")] = None,
    by_dancer: Annotated[bool, typer.Option("--by-dancer", help="No dancer may be in two parts of the split.")] = False,
    unlabelled: Annotated[
        bool,
        typer.Option("--unlabelled", help="Accept clips without counts or scores, which cannot be used for training."),
    ] = False,
    target: Annotated[
        Target, typer.Option(help="What is to be learned; its columns have to be there (docs/data.md).")
    ] = Target.EQ1,
) -> None:
    """Check every row and every feature file, and show what the data set holds.

    Everything that is wrong is named with file, row and remedy, and the exit status is 1.
    """
    console = Console()
    allowed = None if challenges is None else [name.strip() for name in challenges.split(",") if name.strip()]
    with steps() as on_progress:
        on_progress("Checking", 0, 0)
        report = check_folder(
            folder,
            challenges=allowed,
            labelled=not unlabelled,
            by_dancer=by_dancer,
            target=TargetSettings(target=target),
            progress=lambda done, total: on_progress("Checking", done, total),
        )
    if report.findings:
        _show_findings(console, report)
        count = len(report.findings)
        raise DataSetError(
            f"{folder}: {count} {'finding' if count == 1 else 'findings'}; put right what is named above"
        )
    console.print(*_tables(folder, report.statistics), sep="\n")


def split(
    folder: Folder,
    seed: Annotated[int, typer.Option(help="Another seed draws another split.")] = 0,
    test_share: Annotated[float, typer.Option(help="Share of each challenge that is held out.")] = TEST_SHARE,
    folds: Annotated[int | None, typer.Option(help="Number of folds to draw instead, each held out once.")] = None,
    by_dancer: Annotated[bool, typer.Option("--by-dancer", help="Keep all clips of a dancer together.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the split or folds that are there.")] = False,
) -> None:
    """Draw which clips are held out, and store it in clips.csv: a split in training and test clips, or folds.

    The same ids and seed give the same split, whatever the order of the rows.
    """
    data = open_data_set(folder)
    if not overwrite and any(getattr(a, column) is not None for a in data.annotations for column in PARTITIONS):
        raise DataSetError(f"{data.table} holds a split or folds already; replace them with --overwrite")
    if folds is None:
        drawn = draw_split(data.annotations, seed=seed, test_share=test_share, by_dancer=by_dancer)
    else:
        drawn = draw_folds(data.annotations, folds, seed=seed, by_dancer=by_dancer)
    if folds is None and all(a.split == "train" for a in drawn):
        raise DataSetError(f"{data.table}: none of {len(data)} clips can be held out; give some challenge two or more")
    rewrite_annotations(data, drawn)
    Console().print(f"{data.table}: {_sizes(drawn)}", markup=False, soft_wrap=True)


def import_alphapose(
    source: Annotated[Path, typer.Argument(help="Folder with clips.csv (column poses) and the JSON files it names.")],
    target: TargetFolder,
    fps: Annotated[float, typer.Option(help="Frame rate of videos without a value in the column fps.")] = 25.0,
    longest_gap: Annotated[
        float, typer.Option(help="Most seconds without the dancer that are interpolated.")
    ] = LONGEST_GAP_S,
    confidence: Annotated[bool, typer.Option("--confidence", help="Keep the confidence as a third channel.")] = False,
) -> None:
    """Poses from AlphaPose: one JSON result per clip, of 16 (MPII), 17 (COCO) or 18 (OpenPose) joints."""
    clips = alphapose.read_clips(source, fps=fps, longest_gap_s=longest_gap, confidence=confidence)
    _write(target, clips)


def import_speed21(source: Archive, target: TargetFolder) -> None:
    """SPEED21's climbing runs: the first three seconds of each, scored by its time, in folds grouped by climber."""
    with working(f"Reading {source}"):
        clips = speed21.read_clips(source)
    _write(target, clips)


def import_dance(source: Archive, target: TargetFolder) -> None:
    """Dance with Melody's sequences, cut into clips of ten seconds. They have no scores."""
    with working(f"Reading {source}"):
        clips = dance.read_clips(source)
    _write(target, clips)


def import_unlv_dive(source: Archive, target: TargetFolder) -> None:
    """UNLV's judged dives: one holistic feature each, with the official split."""
    with working(f"Reading {source}"):
        clips = unlv_dive.read_clips(source)
    _write(target, clips)


def synthesize(
    target: TargetFolder,
    clips: Annotated[int, typer.Option(min=24, help="Clips, spread evenly over eight challenges.")] = 960,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Another seed makes other dancers and clips.")] = 1,
    dancers: Annotated[int | None, typer.Option(help="Number of dancers; default: one for every five clips.")] = None,
    min_duration: Annotated[float, typer.Option(help="Shortest clip, in seconds.")] = STANDARD.shortest_s,
    max_duration: Annotated[float, typer.Option(help="Longest clip, in seconds.")] = STANDARD.longest_s,
    missing_faces: Annotated[
        float, typer.Option(help="Share of the clips that have no facial features.")
    ] = STANDARD.missing_face_share,
    lucky: Annotated[
        float, typer.Option(help="Share of the clips whose reactions are multiplied by chance alone, often 16 times.")
    ] = STANDARD.lucky_share,
    test_share: Annotated[float, typer.Option(help="Share of each challenge that is held out.")] = TEST_SHARE,
    by_dancer: Annotated[bool, typer.Option("--by-dancer", help="Keep all clips of a dancer together.")] = False,
) -> None:
    """Make a data set with known causes: features and counts in which each modality's share in virality was planted.

    planted.csv and importance.csv, beside the data set, say what was planted. About 1.2 MB a clip.
    """
    plan = Plan(
        dancers=dancers,
        shortest_s=min_duration,
        longest_s=max_duration,
        missing_face_share=missing_faces,
        lucky_share=lucky,
    )
    with steps() as on_progress:
        on_progress("Filming", 0, clips)
        data = write_synthetic(
            target,
            clips,
            seed=seed,
            plan=plan,
            test_share=test_share,
            by_dancer=by_dancer,
            progress=lambda done, _: on_progress("Filming", done, clips),
        )
    Console().print(f"{target}: {len(data)} clips; {_sizes(data.annotations)}", markup=False, soft_wrap=True)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"check": check, "split": split, "synthesize": synthesize}
IMPORTERS: Final[dict[str, Callable[..., None]]] = {
    "alphapose": import_alphapose,
    "speed21": import_speed21,
    "dance": import_dance,
    "unlv-dive": import_unlv_dive,
}


def _write(target: Path, clips: Iterable[Clip]) -> None:
    """Importers convert what is there; what no recording gives is written and warned of, for ``data check`` to find."""
    total = len(clips) if isinstance(clips, Sequence) else 0
    shares: list[float] = []
    refused: list[str] = []
    with closing(counted(_noting(clips, shares, refused), "Writing clips", total)) as shown:
        data = write_data_set(target, shown)
    Console().print(f"{target}: {len(data)} clips", markup=False, soft_wrap=True)
    if filled := [share for share in shares if share]:
        summary = f"undetected joints were interpolated in {len(filled)} clips, at most {max(filled):.1%} of one"
        Console().print(summary, markup=False, soft_wrap=True)
    if refused:
        listed = "; ".join(refused[:_LISTED]) + ("; …" if len(refused) > _LISTED else "")
        Console(stderr=True).print(
            f"warning: {len(refused)} clips hold what no recording gives, and data check, train and stream refuse "
            f"them: {listed}",
            markup=False,
            soft_wrap=True,
        )


def _noting(clips: Iterable[Clip], shares: list[float], refused: list[str]) -> Iterator[Clip]:
    for clip in clips:
        shares.append(clip.features.filled_joints)
        if (why := implausible(clip)) is not None:
            refused.append(why)
        yield clip


def _show_findings(console: Console, report: Report) -> None:
    for finding in report.findings[:MOST_SHOWN]:
        console.print(str(finding), markup=False, highlight=False, soft_wrap=True)
    if len(report.findings) > MOST_SHOWN:
        console.print(f"and {len(report.findings) - MOST_SHOWN} more")


def _tables(folder: Path, statistics: Sequence[Statistics]) -> list[Table]:
    """Statistics of the feature files, as in the paper's Table 1, and of the training targets."""
    total = statistics[-1]
    steps = {name: modality for name, modality in _STEPS.items() if total.steps[modality]}
    views = [] if total.views is None else ["views"]
    contents = _table(f"Data set {folder}", "videos", *views, "hours", "frames", *steps)
    parts = [part for part in total.parts if part in SPLITS]
    folds = [part for part in total.parts if part not in SPLITS]
    labels = _table("To learn from", "dancers", "lowest score", "highest", *parts, *(["folds"] if folds else []))
    for column in statistics:
        if column is total:
            contents.add_section()
            labels.add_section()
        seen = [] if not views else [_NONE if column.views is None else f"{column.views / 1e6:,.1f} M"]
        counts = (f"{column.steps[modality]:,}" for modality in steps.values())
        hours = f"{column.duration_s / 3600:.2f}"
        contents.add_row(Text(column.name), f"{column.clips:,}", *seen, hours, f"{column.frames:,}", *counts)
        scores = (_NONE, _NONE) if column.scores is None else (f"{score:.2f}" for score in column.scores)
        sizes = [f"{column.parts.get(part, 0):,}" for part in parts]
        if folds:
            sizes.append(" ".join(str(column.parts.get(fold, 0)) for fold in folds))
        labels.add_row(Text(column.name), f"{column.dancers:,}", *scores, *sizes)
    return [contents, labels]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(title, style="table.title"), box=SIMPLE_HEAD, padding=0)
    table.add_column("challenge", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _sizes(annotations: Iterable[Annotation]) -> str:
    sizes = Counter(part_of(annotation) for annotation in annotations)
    return ", ".join(f"{part}: {size} clips" for part, size in sorted(sizes.items(), key=str))

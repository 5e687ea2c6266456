"""Checks of a data set before training; all findings at once."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.errors import FeatureError
from schemas.features import ClipFeatures, decode_features
from schemas.modalities import Modality
from schemas.plausibility import check_plausible
from schemas.virality_target import EQ1, FittedTarget, Target, TargetSettings
from vdv.annotations import COUNTS, PARTITIONS, Annotation, read_table
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip, DataSet
from vdv.splits import ALL, Fold, leaks, partition_column, track_folds
from vdv.statistics import Statistics, summarise
from vdv.targets import COLUMNS_OF, Float64, fit_target, raw_targets, target_findings

Progress = Callable[[int, int], None]
"""Called with the number of feature files read so far and in total."""


def _silent(done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Report:
    """Result of a check: all findings, and statistics (the total last) of the rows that could be read."""

    findings: tuple[Finding, ...]
    statistics: tuple[Statistics, ...]

    def raise_if_bad(self) -> None:
        """Raise one ``DataSetError`` that names the first findings and counts the others."""
        if self.findings:
            raise refusal(self.findings)


def check_folder(
    folder: Path,
    *,
    challenges: Collection[str] | None = None,
    labelled: bool = True,
    by_dancer: bool = False,
    target: TargetSettings = EQ1,
    progress: Progress = _silent,
) -> Report:
    """``check_data_set`` for a folder whose table may itself be wrong: rows that cannot be read are findings."""
    annotations, unreadable = read_table(folder)
    data = DataSet(folder, tuple(annotations))
    if not unreadable:
        return check_data_set(
            data, challenges=challenges, labelled=labelled, by_dancer=by_dancer, target=target, progress=progress
        )
    # With rows missing, nothing can be said about labels and parts as a whole.
    findings = [*unreadable, *(_row_findings(data, challenges))]
    steps: dict[str, dict[Modality, int]] = {}
    return Report((*findings, *_feature_findings(data, steps, progress)), ())


def check_data_set(
    data: DataSet,
    *,
    challenges: Collection[str] | None = None,
    labelled: bool = True,
    by_dancer: bool = False,
    target: TargetSettings = EQ1,
    progress: Progress = _silent,
) -> Report:
    """Check every row and every feature file, one file in memory at a time.

    ``challenges`` are those allowed, ``None`` any. ``labelled=False`` accepts clips without counts or scores, to be
    ranked but not learned from. ``by_dancer`` demands that no dancer is in two parts of the stored partition.
    ``target``: what is to be learned or predicted, whose columns have to be there.
    """
    if not data.annotations:
        return Report((Finding(data.table, "has no rows", "add a row per clip"),), ())
    findings = [*_row_findings(data, challenges), *_partition_findings(data, by_dancer)]
    label_findings = list(_label_findings(data, labelled, target.target))
    shown = EQ1
    if not label_findings and _has_labels(data.annotations):
        try:
            fitted = _fitted(data, target)
        except DataSetError as error:
            label_findings = [Finding(data.table, error.message, "", field=error.field)]
        else:
            shown = fitted[0][1]
            label_findings = list(_constant_findings(data, fitted))
    steps: dict[str, dict[Modality, int]] = {}
    findings += [*label_findings, *_feature_findings(data, steps, progress)]
    return Report(tuple(findings), tuple(summarise(data.annotations, steps, shown)))


def implausible(clip: Clip) -> str | None:
    """Why the features of ``clip`` are implausible; ``None`` if they are plausible."""
    try:
        check_plausible(clip.features, clip.annotation.duration_s, whole_video=True)
    except FeatureError as error:
        return f"clip {clip.annotation.clip_id}: {error.message}"
    return None


def _row_findings(data: DataSet, challenges: Collection[str] | None) -> Iterator[Finding]:
    first_with: dict[tuple[str, object], int] = {}
    for a in data.annotations:
        for column, value, same, remedy in (
            ("clip_id", a.clip_id, a.clip_id, "give each clip an id of its own"),
            ("features", a.features, _file(data, a), "give each clip a feature file of its own"),
        ):
            first = first_with.setdefault((column, same), a.row)
            if first != a.row:
                yield Finding(data.table, f"{value!r} is in row {first} already", remedy, row=a.row, field=column)
        if challenges is not None and a.challenge_id not in challenges:
            problem = f"{a.challenge_id!r} is none of {', '.join(challenges)}"
            yield Finding(data.table, problem, "correct it or allow it", row=a.row, field="challenge_id")
        elif a.challenge_id == ALL:
            remedy = "rename the challenge"
            yield Finding(
                data.table, f"{ALL!r} names the track of all challenges", remedy, row=a.row, field="challenge_id"
            )


def _file(data: DataSet, annotation: Annotation) -> object:
    """Identity of the feature file, independent of links and ``..`` in its path."""
    try:
        found = data.path(annotation).stat()
    except (FeatureError, OSError):
        return os.path.normpath(annotation.features)  # the file itself is a finding
    return found.st_dev, found.st_ino


def _partition_findings(data: DataSet, by_dancer: bool) -> Iterator[Finding]:
    if not any(getattr(a, column) is not None for a in data.annotations for column in PARTITIONS):
        if by_dancer:
            yield Finding(data.table, "has neither split nor fold", f"run: dancerank data split {data.folder}")
        return
    try:
        column = partition_column(data)
        track_folds(data)
    except DataSetError as error:
        yield from error.findings
        return
    yield from leaks(data) if by_dancer else ()
    if column == "fold":
        return
    parts: dict[str, set[str | None]] = {}
    for a in data.annotations:
        parts.setdefault(a.challenge_id, set()).add(a.split)
    for challenge, found in sorted(parts.items()):
        if len(found) == 1:
            problem = f"challenge {challenge!r} is in {found.pop()} only, so its own track cannot be run"
            yield Finding(data.table, problem, "draw the split again, or leave the challenge out", field="split")


def _has_labels(annotations: Sequence[Annotation]) -> bool:
    return any(getattr(a, column) is not None for a in annotations for column in ("score", *COUNTS))


def _label_findings(data: DataSet, labelled: bool, target: Target) -> Iterator[Finding]:
    columns = COLUMNS_OF[target]
    judged = any(a.score is not None for a in data.annotations)
    counted = any(getattr(a, column) is not None for a in data.annotations for column in COUNTS)
    if judged and counted:
        yield Finding(data.table, f"has both score and some of {', '.join(COUNTS)}", "keep one kind of label")
    elif judged and target is not Target.EQ1:
        yield Finding(data.table, f"has judged scores, of which no {target} target is made", "learn them as eq1")
    elif judged or counted:
        needed = ("score",) if judged else columns
        for a in data.annotations:
            absent = [column for column in needed if getattr(a, column) is None]
            if absent:
                problem = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing"
                if not judged and target is not Target.EQ1:
                    problem += f" for the target {target}"
                yield Finding(data.table, problem, "complete or remove the row", row=a.row, field=absent[0])
        yield from target_findings(data.table, data.annotations, target)
    elif labelled:
        remedy = f"add {', '.join(columns)}" + (", or score" if target is Target.EQ1 else "")
        yield Finding(data.table, "has no labels to learn from", remedy)


def _fitted(data: DataSet, target: TargetSettings) -> list[tuple[Fold | None, FittedTarget]]:
    """``target`` fitted to the clips to learn from of each fold, or to all clips as long as none are held out; as it
    is if it was fitted before."""
    folds = []
    if any(getattr(a, column) is not None for a in data.annotations for column in PARTITIONS):
        try:
            folds = track_folds(data)
        except DataSetError:
            folds = []  # already a finding of the partition
    if isinstance(target, FittedTarget):
        return [(fold, target) for fold in folds] or [(None, target)]
    if not folds:
        return [(None, fit_target(target, data.annotations))]
    return [(fold, fit_target(target, [data.annotations[row] for row in fold.train])) for fold in folds]


def _constant_findings(data: DataSet, fitted: Sequence[tuple[Fold | None, FittedTarget]]) -> Iterator[Finding]:
    """Challenges, or their training parts, in which all clips have the same target."""
    challenge_of = np.array([a.challenge_id for a in data.annotations])
    by_fold = [(fold, raw_targets(data.annotations, target)) for fold, target in fitted]
    for challenge in data.challenges:
        inside = challenge_of == challenge
        raw = by_fold[0][1][inside]
        if _constant(raw):
            yield _constant_finding(data, challenge, raw, "all its clips")
            continue
        for fold, raw in by_fold:
            learned = np.zeros(len(data), bool)
            learned[fold.train if fold is not None else []] = True
            part = raw[learned & inside]
            if fold is not None and part.size and _constant(part):
                yield _constant_finding(data, challenge, part, f"its clips to learn from in {fold.name}")


def _constant(raw: Float64) -> bool:
    return bool(raw.min() == raw.max())


def _constant_finding(data: DataSet, challenge: str, raw: Float64, which: str) -> Finding:
    remedy = "add clips with other labels, or leave the challenge out"
    problem = f"challenge {challenge!r}: {which} ({raw.size}) have the same target {raw[0]:g}"
    return Finding(data.table, problem, remedy, field="challenge_id")


def _feature_findings(data: DataSet, steps: dict[str, dict[Modality, int]], progress: Progress) -> Iterator[Finding]:
    """Findings of the feature files; also fills ``steps`` by clip id."""
    pose: tuple[str | None, int] | None = None
    widths: dict[Modality, int] = {}
    for done, annotation in enumerate(data.annotations, start=1):
        try:
            features = decode_features(data.content(annotation))
            check_plausible(features, annotation.duration_s, whole_video=True)
        except FeatureError as error:
            yield data.finding_of(annotation, error)
        else:
            steps[annotation.clip_id] = {m: len(frames) for m, frames in features.frames.items()}
            found = _pose(features)
            pose = pose or found
            if found is not None and found != pose:
                problem = f"{annotation.features}: {_described(found)}, clips before it have {_described(pose)}"
                remedy = "bring all clips to one joint layout"
                yield Finding(data.table, problem, remedy, row=annotation.row, field=Modality.SKELETAL)
            for modality, width in features.widths.items():
                if widths.setdefault(modality, width) != width:
                    problem = f"{annotation.features}: {width} channels, clips before it have {widths[modality]}"
                    remedy = "extract all clips with the same extractor"
                    yield Finding(data.table, problem, remedy, row=annotation.row, field=modality)
        progress(done, len(data))


def _pose(features: ClipFeatures) -> tuple[str | None, int] | None:
    frames = features.frames.get(Modality.SKELETAL)
    return None if frames is None else (features.joint_layout, frames.shape[-1])


def _described(pose: tuple[str | None, int] | None) -> str:
    return "none" if pose is None else f"{pose[0]} with {pose[1]} channels"

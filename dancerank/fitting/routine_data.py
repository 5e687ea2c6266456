"""Routines to learn from: a data set of feature files, or a folder in a published layout. Read without torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dancerank.console.progress import OnProgress
from schemas.errors import ConfigurationError, FeatureError
from schemas.modalities import Modality
from schemas.plausibility import check_plausible
from schemas.routine_network import CHANNELS, ScoreRange
from schemas.scored_features import check_channels, scored_modalities
from vdv.annotations import Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip, DataSet, open_data_set
from vdv.importers.packed_routines import length_problem, packed_routines, routine_clips
from vdv.importers.routines import (
    APPARATUS,
    GYMNASTICS_TARGETS,
    SKATING_TARGETS,
    Routine,
    Target,
    read_gymnastics,
    read_skating,
)

Layout = Literal["gymnastics", "skating", "features"]

RANGES: Final[dict[Layout, ScoreRange]] = {"gymnastics": ScoreRange(0.0, 25.0), "skating": ScoreRange(0.0, 100.0)}
"""Of published scores, whatever the target."""
HELD_OUT: Final = 5
"""Where no part is given, every so many dancers one is held out."""


class Labelled(NamedTuple):
    """One routine: features (T, 3072), and its score in points."""

    name: str
    frames: npt.NDArray[np.float32]
    score: float


class Routines(NamedTuple):
    """Routines to learn from and those held out, what their scores range over, and what a manifest says of them.
    ``table`` is named in messages."""

    table: Path
    learned: list[Labelled]
    tested: list[Labelled]
    score_range: ScoreRange
    source: str


class Published(NamedTuple):
    """What is asked for of a folder in a published layout."""

    folder: Path
    layout: Layout
    apparatus: str | None
    target: Target

    def read(self) -> list[Routine]:
        """Raises ``ConfigurationError`` for an apparatus or a target that the layout lacks, and ``DataSetError`` as
        the importers do."""
        gymnastics = self.layout == "gymnastics"
        targets = GYMNASTICS_TARGETS if gymnastics else SKATING_TARGETS
        if self.target not in targets:
            raise ConfigurationError(f"{self.layout} has the targets {', '.join(targets)}", field="target")
        if gymnastics != (self.apparatus is not None):
            said = f"name one of {', '.join(APPARATUS)} with --apparatus" if gymnastics else "leave out --apparatus"
            raise ConfigurationError(f"routines of {self.layout}: {said}", field="apparatus")
        return read_skating(self.folder) if self.apparatus is None else read_gymnastics(self.folder, self.apparatus)

    @property
    def challenge_id(self) -> str:
        """Under which its routines are ranked."""
        return self.layout if self.apparatus is None else f"{self.layout}-{self.apparatus.lower()}"

    def clips(self) -> Iterator[Clip]:
        """Its routines as clips for a data set."""
        extractor = f"action-net features as published, {self.layout}"
        return routine_clips(self.read(), self.target, challenge_id=self.challenge_id, extractor=extractor)


def published_routines(asked: Published, score_range: ScoreRange | None = None, *, seed: int = 0) -> Routines:
    """The routines of a folder in a published layout: its own division, or every fifth held out.

    Raises as ``Published.read`` and ``packed_routines``, and ``DataSetError`` naming table and row of a score outside
    the range, or where there is nothing to tell apart.
    """
    routines, known = asked.read(), score_range or RANGES[asked.layout]
    findings = [
        _out_of_range(routine.table, routine.row, routine.scores[asked.target], known)
        for routine in routines
        if not _within(routine.scores[asked.target], known)
    ]
    if findings:
        raise refusal(findings)
    labelled = [
        Labelled(routine.name, frames, routine.scores[asked.target])
        for routine, frames in zip(routines, packed_routines(routines), strict=True)
    ]
    parts = [routine.part for routine in routines]
    learned, tested = _divided(labelled, parts, [one.name for one in labelled], seed)
    source = f"{asked.folder.resolve().name}: {len(learned)} routines of {asked.challenge_id}, {asked.target}"
    return _comparable(Routines(routines[0].table, learned, tested, known, source))


def featured_routines(
    folder: Path, score_range: ScoreRange, on_progress: OnProgress = lambda *_: None, *, seed: int = 0
) -> Routines:
    """The routines of a data set whose feature files have a tensor ``routine``: the table's split, or every fifth
    dancer held out.

    Raises one ``DataSetError`` with all rows that cannot be learned from: without a score, and whatever an upload
    would be refused for; and where there is nothing to tell apart.
    """
    data = open_data_set(folder)
    labelled, parts, dancers, findings = list[Labelled](), list[str | None](), list[str](), list[Finding]()
    for done, annotation in enumerate(data.annotations, start=1):
        try:
            labelled.append(_labelled(data, annotation, score_range))
        except DataSetError as error:
            findings += error.findings
            continue
        parts.append(annotation.split)
        dancers.append(annotation.dancer_id)
        on_progress("reading", done, len(data))
    if findings:
        raise refusal(findings)
    if not labelled:
        raise refusal([Finding(data.table, "has no routine", "add a row for each routine")])
    learned, tested = _divided(labelled, parts, dancers, seed)
    source = f"{folder.resolve().name}: {len(learned)} routines"
    return _comparable(Routines(data.table, learned, tested, score_range, source))


def _labelled(data: DataSet, annotation: Annotation, score_range: ScoreRange) -> Labelled:
    def refused(problem: str, remedy: str, field: str) -> DataSetError:
        return refusal([Finding(data.table, problem, remedy, row=annotation.row, field=field)])

    if annotation.score is None:
        raise refused("the cell is empty", "give the judges' score, or remove the row", "score")
    if not _within(annotation.score, score_range):
        raise refusal([_out_of_range(data.table, annotation.row, annotation.score, score_range)])
    if (problem := length_problem(annotation.duration_s)) is not None:
        raise refused(f"{annotation.clip_id} {problem[0]}", problem[1], "duration_s")
    features = data.features(annotation)
    try:
        taken = scored_modalities(features, annotation.duration_s)
        check_plausible(taken, annotation.duration_s)
        frames = taken.frames[Modality.ROUTINE]
        check_channels(Modality.ROUTINE, frames, CHANNELS)
    except FeatureError as error:
        raise refusal([data.finding_of(annotation, error)]) from error
    return Labelled(annotation.clip_id, frames.astype(np.float32), annotation.score)


def _comparable(routines: Routines) -> Routines:
    """The same. Raises ``DataSetError`` where there is none to learn from, or all of those have one score."""
    scores = {one.score for one in routines.learned}
    if not scores:
        problem = f"has none to learn from: all {len(routines.tested)} routines are of the part test"
        raise refusal([Finding(routines.table, problem, "give some the part train", field="split")])
    if len(scores) == 1:
        problem = f"the routines to learn from, {len(routines.learned)}, all have the score {scores.pop():g}"
        raise refusal([Finding(routines.table, problem, "add some with other scores", field="score")])
    return routines


def _within(score: float, score_range: ScoreRange) -> bool:
    return score_range.lowest <= score <= score_range.highest


def _out_of_range(table: Path, row: int, score: float, known: ScoreRange) -> Finding:
    problem = f"the score {score:g} lies outside {known.lowest:g} to {known.highest:g}"
    return Finding(table, problem, "correct it, or give the range with --lowest and --highest", row=row, field="score")


def _divided(
    routines: Sequence[Labelled], parts: Sequence[str | None], dancers: Sequence[str], seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    """Those of the part ``test``, which are held out, behind the others; without parts every fifth dancer is."""
    if any(part is not None for part in parts):
        apart = [part == "test" for part in parts]
    else:
        names = sorted(set(dancers))
        held = set(np.random.default_rng(seed).permutation(names)[: len(names) // HELD_OUT].tolist())
        apart = [dancer in held for dancer in dancers]
    learned = [one for one, is_tested in zip(routines, apart, strict=True) if not is_tested]
    return learned, [one for one, is_tested in zip(routines, apart, strict=True) if is_tested]

"""Routines in their published layout as clips with a tensor ``routine``, a step for each second.

Published features have no times. Frames are taken as one a second and segments as 16 frames at 5 Hz. Where the athlete
was not detected in some frames, those that are there are spread evenly over the time of the segments. Legend: T
seconds, S segments, F frames.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.errors import FeatureError
from schemas.features import ClipFeatures, Frames
from schemas.modalities import MAX_DURATION_S, MAX_ROUTINE_S, Modality
from schemas.plausibility import check_plausible
from schemas.routines import FRAMES_HZ, SEGMENT_FRAMES, SEGMENT_S, packed, segments_of
from vdv.annotations import Annotation
from vdv.errors import Finding, refusal
from vdv.folder import Clip
from vdv.importers.routines import Routine, Target

LEAST_DETECTED: Final = 0.5
"""Share of the seconds that have a frame; below it, most was not observed."""

_LARGEST: Final = float(np.finfo(np.float16).max)
"""Features are kept as float16."""

Float32 = npt.NDArray[np.float32]


def length_problem(seconds: float) -> tuple[str, str] | None:
    """Why a clip of so many seconds is not a routine, and the remedy; ``None``: it is."""
    if MAX_DURATION_S < seconds <= MAX_ROUTINE_S:
        return None
    problem = f"lasts {seconds:g} s; a routine is longer than {MAX_DURATION_S:g} s, and {MAX_ROUTINE_S:g} s at most"
    return problem, "leave it out" if seconds <= MAX_DURATION_S else "cut it, or leave it out"


def packed_routines(routines: Sequence[Routine]) -> list[Float32]:
    """(T, 3072) of each routine. Raises one ``DataSetError`` naming table and row of all that cannot be packed, too
    short or too long, or with segments and frames of different lengths; and of features that no upload may have.
    """
    findings, found = [], []
    for routine in routines:
        frames, problem = _packed(routine)
        problem = problem or length_problem(len(frames)) or _feature_problem(frames)
        if problem is not None:
            findings.append(_finding(routine, *problem))
        found.append(frames)
    if findings:
        raise refusal(findings)
    return found


def routine_clips(routines: Sequence[Routine], target: Target, *, challenge_id: str, extractor: str) -> Iterator[Clip]:
    """Clips for a data set, called as the routines, with the score of ``target`` and the part as their split. Each is
    of a dancer of its own: the published layouts name no athletes.

    Raises as ``packed_routines``.
    """
    for routine, frames in zip(routines, packed_routines(routines), strict=True):
        narrow: dict[Modality, Frames] = {Modality.ROUTINE: frames.astype(np.float16)}
        split: Any = routine.part
        annotation = Annotation(
            clip_id=routine.name,
            dancer_id=routine.name,
            challenge_id=challenge_id,
            duration_s=float(len(frames)),
            score=routine.scores[target],
            split=split,
        )
        yield Clip(annotation, ClipFeatures(narrow, None, {Modality.ROUTINE: extractor}))


def _packed(routine: Routine) -> tuple[Float32, tuple[str, str] | None]:
    dynamic, static = routine.dynamic, routine.static
    seconds, segments = len(static), len(dynamic)
    lasting = SEGMENT_FRAMES * segments // FRAMES_HZ
    said = f"has {segments} segments, which last {segments * SEGMENT_S:.0f} s, and {seconds} frames"
    remedy = "give a frame for each second and a segment for each 16 frames at 5 Hz, or leave it out"
    missing = segments_of(seconds) - segments
    if missing > 1 or (missing < -1 and seconds < LEAST_DETECTED * lasting):
        return np.zeros((0, 0), np.float32), (said, remedy)
    if missing < -1:
        static = static[np.arange(lasting) * seconds // lasting]
    wanted = np.arange(segments_of(len(static)))
    return packed(dynamic[wanted.clip(max=segments - 1)], static), None


def _feature_problem(frames: Float32) -> tuple[str, str] | None:
    """Why no upload may have these features, and the remedy; ``None``: one may."""
    remedy = "extract its features again, or leave it out"
    with np.errstate(over="ignore"):
        narrow: Frames = frames.astype(np.float16)
    if not np.isfinite(narrow).all():
        return f"holds {frames.flat[np.abs(frames).argmax()]:.6g}, and features are at most {_LARGEST:g}", remedy
    try:
        check_plausible(ClipFeatures({Modality.ROUTINE: narrow}), float(len(frames)))
    except FeatureError as error:
        return error.message, remedy
    return None


def _finding(routine: Routine, problem: str, remedy: str) -> Finding:
    return Finding(routine.table, f"{routine.name} {problem}", remedy, row=routine.row)

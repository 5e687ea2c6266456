"""SPEED21: runs of speed climbers, scored by their times.

The archive carries no licence and is not part of this repository: ``data`` (sum of T, 16, 2) pixels in MPII order, NaN
where the pose failed, ``lengths``, ``run_id``, ``climber``, ``fps`` and ``time_sec`` per run.

A run's length is its label, and one climber's runs are alike. Every clip is therefore the same window, the first three
seconds at 25 Hz, made from frames within that window only, and the stored folds keep each climber together.
"""

from pathlib import Path
from typing import Final

import numpy as np

from schemas.errors import FeatureValueInvalid
from schemas.features import ClipFeatures
from schemas.joints import MPII_16
from schemas.missing_joints import fill_missing
from schemas.modalities import Modality
from vdv.annotations import Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip
from vdv.importers.archives import Array, archive_path, float32, number, read_archive, same_length, split_ragged
from vdv.resampling import POSE_HZ, resample
from vdv.splits import draw_folds

ARCHIVE_NAME: Final = "speed21_skeletons.npz"
CHALLENGE: Final = "speed-climbing"
WINDOW_S: Final = 3.0
STEPS: Final = round(WINDOW_S * POSE_HZ)
FOLDS: Final = 5
_PER_RUN: Final = ("lengths", "run_id", "climber", "fps", "time_sec")


def read_clips(source: Path) -> list[Clip]:
    """All runs of the archive, or of the folder that holds it; ``score`` is minus the time in seconds.

    Raises ``DataSetError`` for an archive of another form, and one with all runs that are shorter than the window, have
    no time, or no pose in most of the window. Rows are entries of the arrays, from one.
    """
    path = archive_path(source, ARCHIVE_NAME)
    shapes: dict[str, tuple[int | None, ...]] = {"data": (None, MPII_16.joint_count, 2)}
    arrays = read_archive(path, shapes | dict.fromkeys(_PER_RUN, (None,)))
    per_run = {name: arrays[name] for name in _PER_RUN}
    same_length(path, per_run)
    annotations: list[Annotation] = []
    features = []
    findings: list[Finding] = []
    runs = split_ragged(path, float32(path, "data", arrays["data"]), arrays["lengths"])
    others = zip(*(per_run[name] for name in _PER_RUN[1:]), strict=True)
    for row, (run, (name, climber, fps, time)) in enumerate(zip(runs, others, strict=True), start=1):
        try:
            time_s = number(path, "time_sec", row, time)
            if time_s <= 0:
                problem, remedy = f"run {name} has the time {time}", "leave out unfinished runs"
                raise refusal([Finding(path, problem, remedy, row=row, field="time_sec")])
            features.append(_window(path, str(name), row, run, number(path, "fps", row, fps)))
        except DataSetError as error:
            findings += error.findings
            continue
        except FeatureValueInvalid as error:
            findings.append(Finding(path, f"run {name}: {error.message}", "", row=row, field="data"))
            continue
        annotations.append(
            Annotation(
                clip_id=str(name),
                dancer_id=f"climber-{climber}",
                challenge_id=CHALLENGE,
                duration_s=WINDOW_S,
                score=-time_s,
            )
        )
    if findings:
        raise refusal(findings)
    grouped = draw_folds(annotations, FOLDS)
    return [Clip(annotation, frames) for annotation, frames in zip(grouped, features, strict=True)]


def _window(path: Path, name: str, row: int, run: Array, fps: float) -> ClipFeatures:
    """The run's first three seconds, (75, 16, 2). A frame is missing if any of its joints is."""
    frames = round(min(WINDOW_S * fps, len(run) + 1)) if fps > 0 else 0
    if frames < 2 or len(run) < frames:
        problem = f"run {name} has {len(run)} frames at {fps} fps, under {WINDOW_S} s"
        raise refusal([Finding(path, problem, "leave it out", row=row, field="fps")])
    window = run[:frames]
    lost = ~np.logical_and.reduce(np.isfinite(window), axis=(1, 2))
    missing = np.repeat(lost[:, None], MPII_16.joint_count, axis=1)
    filled = fill_missing(window, missing, MPII_16.joints, fps, longest_gap_s=WINDOW_S)
    pose = resample(filled, fps, steps=STEPS).astype(np.float32)
    return ClipFeatures({Modality.SKELETAL: pose}, MPII_16.name, filled_joints=float(lost.mean()))

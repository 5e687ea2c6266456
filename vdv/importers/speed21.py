"""SPEED21: runs of speed climbers, scored by their times.

The archive carries no licence and is not part of this repository: ``data`` (sum of T, 16, 2) pixels in MPII order, NaN
where the pose failed, ``lengths``, ``run_id``, ``climber``, ``fps`` and ``time_sec`` per run.

A run's length is its label, and one climber's runs are alike. Every clip is therefore the same window, the first three
seconds at 25 Hz, made from frames within that window only, and the stored folds keep each climber together.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.features import ClipFeatures
from schemas.joints import MPII_16
from schemas.missing_joints import fill_gaps
from schemas.modalities import Modality
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.folder import Clip
from vdv.importers.archives import Array, archive_path, read_archive, same_length, split_ragged
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

    Raises ``DataSetError`` for an archive of another form and for a run shorter than the window, without a time, or
    without any pose in the window.
    """
    path = archive_path(source, ARCHIVE_NAME)
    shapes: dict[str, tuple[int | None, ...]] = {"data": (None, MPII_16.joint_count, 2)}
    arrays = read_archive(path, shapes | dict.fromkeys(_PER_RUN, (None,)))
    per_run = {name: arrays[name] for name in _PER_RUN}
    same_length(path, per_run)
    annotations: list[Annotation] = []
    poses = []
    runs = split_ragged(path, arrays["data"].astype(np.float32), arrays["lengths"])
    for run, name, climber, fps, time_s in zip(runs, *(per_run[name] for name in _PER_RUN[1:]), strict=True):
        if not (np.isfinite(time_s) and time_s > 0):
            raise DataSetError(f"{path}: run {name} has the time {time_s}; leave out unfinished runs", field="time_sec")
        annotations.append(
            Annotation(
                clip_id=str(name),
                dancer_id=f"climber-{climber}",
                challenge_id=CHALLENGE,
                duration_s=WINDOW_S,
                score=-float(time_s),
            )
        )
        poses.append(_window(path, str(name), run, float(fps)))
    grouped = draw_folds(annotations, FOLDS)
    return [
        Clip(annotation, ClipFeatures({Modality.SKELETAL: pose}, MPII_16.name))
        for annotation, pose in zip(grouped, poses, strict=True)
    ]


def _window(path: Path, name: str, run: Array, fps: float) -> npt.NDArray[np.float32]:
    """The run's first three seconds, (75, 16, 2). A frame counts as lost if any of its joints is."""
    frames = round(WINDOW_S * fps) if np.isfinite(fps) and fps > 0 else 0
    if frames < 2 or len(run) < frames:
        raise DataSetError(f"{path}: run {name} has {len(run)} frames at {fps} fps, under {WINDOW_S} s; leave it out")
    window = run[:frames]
    known = np.logical_and.reduce(np.isfinite(window), axis=(1, 2))
    if not known.any():
        raise DataSetError(f"{path}: run {name} has no pose in its first {WINDOW_S} s; leave it out")
    return resample(fill_gaps(window, known), fps, steps=STEPS).astype(np.float32)

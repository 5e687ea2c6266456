"""UNLV-Dive: judged platform dives, with one P3D feature each.

The archive carries no licence and is not part of this repository: ``p3d_feature`` (N, 2048), ``overall_score`` and
``difficulty`` (N,), ``train_idx`` and ``test_idx``, the official split, counted from one.

The archive names no divers, so every dive has a dancer of its own and ``--by-dancer`` means nothing here; it gives no
lengths either: all dives count as 160 frames, the length of the archive's stage posteriors, at 25 Hz.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np

from schemas.features import ClipFeatures
from schemas.modalities import Modality
from vdv.annotations import Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip
from vdv.importers.archives import archive_path, float32, number, read_archive, same_length

ARCHIVE_NAME: Final = "unlv_dive_s3d.npz"
CHALLENGE: Final = "platform-diving"
FRAMES: Final = 160


def read_clips(source: Path) -> list[Clip]:
    """All dives of the archive, or of the folder that holds it: the feature as ``holistic`` of one step, (1, 2048), the
    judges' ``overall_score`` as ``score``, and the column ``difficulty``.

    Raises ``DataSetError`` for an archive of another form, and for a split that leaves out a dive or has one twice.
    """
    path = archive_path(source, ARCHIVE_NAME)
    arrays = read_archive(
        path,
        {
            "p3d_feature": (None, Modality.HOLISTIC.channels),
            "overall_score": (None,),
            "difficulty": (None,),
            "train_idx": (None,),
            "test_idx": (None,),
        },
    )
    same_length(path, {name: arrays[name] for name in ("p3d_feature", "overall_score", "difficulty")})
    count = len(arrays["p3d_feature"])
    indices = [arrays["train_idx"], arrays["test_idx"]]
    whole = all(array.dtype.kind in "iu" for array in indices)
    drawn = np.concatenate(indices) if whole else np.zeros(0)
    if not count or not np.array_equal(np.sort(drawn), np.arange(1, count + 1)):
        raise DataSetError(f"{path}: train_idx and test_idx do not hold each of 1 to {count} once; fetch it again")
    held_out = set(arrays["test_idx"].tolist())
    features = float32(path, "p3d_feature", arrays["p3d_feature"])
    clips = []
    findings: list[Finding] = []
    for row in range(1, count + 1):
        try:
            score, difficulty = (
                number(path, name, row, arrays[name][row - 1]) for name in ("overall_score", "difficulty")
            )
        except DataSetError as error:
            findings += error.findings
            continue
        part: Literal["train", "test"] = "test" if row in held_out else "train"
        annotation = Annotation(
            clip_id=f"dive-{row:03d}",
            dancer_id=f"diver-of-{row:03d}",
            challenge_id=CHALLENGE,
            duration_s=FRAMES / Modality.HOLISTIC.rate_hz,
            score=score,
            split=part,
            extra={"difficulty": f"{difficulty:g}"},
        )
        feature = features[row - 1 : row]
        clips.append(Clip(annotation, ClipFeatures({Modality.HOLISTIC: feature}, None, {Modality.HOLISTIC: "p3d"})))
    if findings:
        raise refusal(findings)
    return clips

"""Small data sets for tests, on disk or as annotations alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from schemas.features import ClipFeatures
from schemas.modalities import Modality
from tests.clips import random_features
from vdv.annotations import Annotation
from vdv.folder import Clip, DataSet, write_data_set

LABEL: dict[str, Any] = {"likes": 10, "comments": 2, "reposts": 1, "days_online": 3.0}


def annotation(clip_id: str, dancer_id: str = "ada", challenge_id: str = "renegade", **values: Any) -> Annotation:
    return Annotation(clip_id=clip_id, dancer_id=dancer_id, challenge_id=challenge_id, **({"duration_s": 4.0} | values))


def labelled(count: int, *, challenges: int = 2, dancers: int = 5, **values: Any) -> list[Annotation]:
    """``count`` clips with counts that all differ, dealt to challenges and dancers in turn."""
    return [
        annotation(
            f"clip-{i}",
            f"dancer-{i % dancers}",
            f"challenge-{i % challenges}",
            **(LABEL | {"likes": 10 * i, "row": i + 2} | values),
        )
        for i in range(count)
    ]


def clips(annotations: Sequence[Annotation], modalities: Sequence[Modality] = (Modality.SKELETAL,)) -> list[Clip]:
    features = [random_features(a.duration_s, modalities=modalities, seed=i) for i, a in enumerate(annotations)]
    return [Clip(a, f) for a, f in zip(annotations, features, strict=True)]


def written(folder: Path, annotations: Sequence[Annotation], **changed: ClipFeatures) -> DataSet:
    """A data set of skeletons; ``changed`` gives other features to clips by id."""
    return write_data_set(
        folder, [c._replace(features=changed.get(c.annotation.clip_id, c.features)) for c in clips(annotations)]
    )


def in_memory(annotations: Sequence[Annotation]) -> DataSet:
    """A table without files."""
    return DataSet(Path("nowhere"), tuple(annotations))


def write_rows(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "clips.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def values_of(annotation: Annotation, *left_out: str) -> Mapping[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(annotation).items() if name not in left_out}


def pose(steps: int, joints: int = 16) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(T, V, 2): joint v of step t is at (t, v), so that a resampled pose encodes its time."""
    frames = np.zeros((steps, joints, 2), np.float32)
    frames[..., 0] = np.arange(steps)[:, None]
    frames[..., 1] = np.arange(joints)
    return frames

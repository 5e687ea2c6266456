"""What a data set holds, per challenge and in total: the rows of Table 1 of Wang et al. (2021), and more."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.modalities import MODALITIES, Modality
from schemas.virality_target import EQ1, FittedTarget
from vdv.annotations import Annotation
from vdv.targets import is_labelled, raw_targets

TOTAL: Final = "total"


@dataclass(frozen=True)
class Statistics:
    """One column of the table.

    ``views`` is ``None`` unless all clips have them. ``frames`` are those of the videos at 25 Hz; ``steps`` those of
    the feature files: skeletons, holistic features, facial and scenic images. ``scores`` is the range of the target
    (Eq. 1, the judged scores, or another that was asked for), ``None`` without labels. ``parts`` counts the clips of
    each part of the stored partition.
    """

    name: str
    clips: int
    dancers: int
    views: int | None
    duration_s: float
    frames: int
    steps: dict[Modality, int]
    scores: tuple[float, float] | None
    parts: dict[str, int]


def summarise(
    annotations: Sequence[Annotation], steps: Mapping[str, Mapping[Modality, int]], target: FittedTarget = EQ1
) -> list[Statistics]:
    """The statistics of each challenge, the largest first, and their total.

    ``steps`` gives, by clip id, the time steps of the modalities that the clip has. ``target`` is what is learned.
    """
    members: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        members.setdefault(annotation.challenge_id, []).append(annotation)
    ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    return [*(_column(name, rows, steps, target) for name, rows in ordered), _column(TOTAL, annotations, steps, target)]


def part_of(annotation: Annotation) -> str | None:
    """``train``, ``test``, ``fold 0`` …; ``None`` if the clip was given no part."""
    return annotation.split or (None if annotation.fold is None else f"fold {annotation.fold}")


def _column(
    name: str, rows: Sequence[Annotation], steps: Mapping[str, Mapping[Modality, int]], target: FittedTarget
) -> Statistics:
    labelled = bool(rows) and all(is_labelled(row, target.target) for row in rows)
    raw = raw_targets(rows, target) if labelled else None
    views = [row.views for row in rows if row.views is not None]
    return Statistics(
        name=name,
        clips=len(rows),
        dancers=len({row.dancer_id for row in rows}),
        views=sum(views) if rows and len(views) == len(rows) else None,
        duration_s=sum(row.duration_s for row in rows),
        frames=sum(round(row.duration_s * Modality.HOLISTIC.rate_hz) for row in rows),
        steps={m: sum(steps.get(row.clip_id, {}).get(m, 0) for row in rows) for m in MODALITIES},
        scores=None if raw is None else (float(raw.min()), float(raw.max())),
        parts=_counted(part for row in rows if (part := part_of(row)) is not None),
    )


def _counted(parts: Iterable[str]) -> dict[str, int]:
    order = {"train": 0, "test": 1}
    return dict(sorted(Counter(parts).items(), key=lambda item: (order.get(item[0], 2), len(item[0]), item[0])))

"""A synthetic data set on disk, with the truth beside it."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from dancerank.synthetic.clips import PlannedClip, film, plan_clips
from dancerank.synthetic.plan import STANDARD, Plan, challenge_id
from schemas.modalities import PAPER_MODALITIES
from vdv.annotations import Annotation
from vdv.checking import Progress
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, write_data_set
from vdv.splits import TEST_SHARE, draw_split

PLANTED: Final = "planted.csv"
"""``clip_id``, the quality of each modality, ``virality``."""
IMPORTANCE_TABLE: Final = "importance.csv"
"""``challenge_id``, ``modality``, ``weight``."""

_FEWEST_TO_LEARN: Final = 2


def write_synthetic(
    folder: Path,
    clips: int,
    *,
    seed: int,
    plan: Plan = STANDARD,
    test_share: float = TEST_SHARE,
    by_dancer: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Write the clips of ``synthesize`` as a data set with a split, one clip in memory at a time; equal arguments give
    equal bytes. ``PLANTED`` and ``IMPORTANCE_TABLE`` say what was planted, for comparison; they are not part of it.

    Raises ``DataSetError``, before anything is written, if the folder holds a data set or the clips cannot be divided
    as asked with two of each challenge to learn from.
    """
    planned = plan_clips(clips, seed=seed, plan=plan)
    annotations = draw_split([c.annotation for c in planned], seed=seed, test_share=test_share, by_dancer=by_dancer)
    _check_parts(annotations)

    def filmed() -> Iterator[Clip]:
        # Called when the folder has been accepted: the truth is there before the table that completes the data set.
        _write_truth(folder, planned, plan)
        for done, (clip, annotation) in enumerate(zip(planned, annotations, strict=True), start=1):
            yield Clip(annotation, film(clip, plan).features)
            if progress is not None:
                progress(done, clips)

    return write_data_set(folder, filmed())


def _check_parts(annotations: Sequence[Annotation]) -> None:
    learned = Counter(a.challenge_id for a in annotations if a.split == "train")
    for challenge in sorted({a.challenge_id for a in annotations}):
        if learned[challenge] < _FEWEST_TO_LEARN:
            raise DataSetError(
                f"{challenge} keeps {learned[challenge]} of {len(annotations)} clips to learn from, fewer than "
                f"{_FEWEST_TO_LEARN}; make more clips, or hold out fewer",
                field="split",
            )


def _write_truth(folder: Path, planned: Iterable[PlannedClip], plan: Plan) -> None:
    rows = ((c.clip_id, *(c.quality[m] for m in PAPER_MODALITIES), c.virality) for c in planned)
    _write(folder / PLANTED, ("clip_id", *PAPER_MODALITIES, "virality"), rows)
    weights = (
        (challenge_id(challenge), modality, weight)
        for challenge, row in enumerate(plan.importance)
        for modality, weight in zip(PAPER_MODALITIES, row, strict=True)
    )
    _write(folder / IMPORTANCE_TABLE, ("challenge_id", "modality", "weight"), weights)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([header, *rows])

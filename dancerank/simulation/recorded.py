"""The world of a data set that is there: its clips, what was predicted of them, and what came of them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from dancerank.simulation.world import MEDIAN_RATE, Clip, World, make_world
from schemas.errors import ConfigurationError
from schemas.local_files import is_file
from schemas.modalities import DIMENSIONS, Dimension
from vdv.annotations import Annotation, Cells, read_cells
from vdv.errors import Finding, refusal
from vdv.folder import DataSet
from vdv.targets import is_labelled, targets

ID_COLUMN: Final = "clip_id"

Scores = Mapping[Dimension, float]


def recorded_clips(data: DataSet, predictions: Path) -> tuple[list[Clip], list[int] | None]:
    """The held-out clips of ``data`` with the scores in ``predictions``, and when they were uploaded, in ms.

    Held out are the test clips of a split, or all clips if there is none. The clips are in the order of their upload,
    or, where some have no time, in that of the table. Raises one ``DataSetError`` with all that is wrong: rows of
    ``predictions`` that are none, name a clip twice or one that is not in ``data``; clips without predictions, or
    without the counts of Eq. 1.
    """
    scores = read_scores(predictions, data)
    chosen = [annotation for annotation in data.annotations if annotation.split != "train"]
    findings = _uncovered(data, chosen, scores, predictions) + _uncounted(data, chosen)
    if not chosen:
        findings.append(Finding(data.table, "holds no clips to replay", "give a data set with clips that are held out"))
    if findings:
        raise refusal(findings)
    virality = targets(chosen).raw
    clips = [
        Clip(a.clip_id, a.dancer_id, a.challenge_id, scores[a.clip_id], float(score))
        for a, score in zip(chosen, virality, strict=True)
    ]
    times = [a.uploaded_at_ms for a in chosen]
    known = [time for time in times if time is not None]
    if len(known) < len(clips):
        return clips, None
    order = np.argsort(known, kind="stable").tolist()
    return [clips[index] for index in order], [known[index] for index in order]


def recorded_world(
    clips: list[Clip], uploaded_at_ms: list[int] | None, *, seed: int, days: float, median_rate: float = MEDIAN_RATE
) -> World:
    """The world of ``recorded_clips``. The seed decides over reactions and, without times, over order and arrivals."""
    if uploaded_at_ms is None:
        order = np.random.default_rng([seed, len(clips)]).permutation(len(clips))
        clips = [clips[index] for index in order.tolist()]
    return make_world(clips, seed=seed, days=days, median_rate=median_rate, uploaded_at_ms=uploaded_at_ms)


def read_scores(path: Path, data: DataSet) -> dict[str, Scores]:
    """The scores of each clip in a file of predictions (``dancerank evaluate --out``), by clip.

    Raises ``ConfigurationError`` if the file cannot be read, ``DataSetError`` as ``recorded_clips`` does.
    """
    if not is_file(path):
        raise ConfigurationError(
            f"{path}: there is no such file; dancerank evaluate CHECKPOINT {data.folder} --out {path} writes it",
            field="predictions",
        )
    known = {annotation.clip_id for annotation in data.annotations}
    rows, findings = read_cells(path, (ID_COLUMN, Dimension.FUSED))
    scores: dict[str, Scores] = {}
    for cells in rows:
        clip_id = cells.values[ID_COLUMN]
        if clip_id in scores:
            findings.append(Finding(path, f"{clip_id!r} comes twice", "keep one row of each clip", row=cells.row))
        elif clip_id not in known:
            problem, remedy = f"{clip_id!r} is not in {data.table}", "predict the clips of this data set"
            findings.append(Finding(path, problem, remedy, row=cells.row))
        read = _scores_of(path, cells)
        if isinstance(read, Finding):
            findings.append(read)
        else:
            scores[clip_id] = read
    if findings:
        raise refusal(findings)
    return scores


def _scores_of(path: Path, cells: Cells) -> Scores | Finding:
    scores = {}
    for dimension in DIMENSIONS:
        text = cells.values.get(dimension, "").strip()
        if not text and dimension is not Dimension.FUSED:
            continue  # a modality that the clip lacks
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            remedy = "write the predictions again"
            return Finding(path, f"{text!r} is not a score", remedy, row=cells.row, field=dimension)
        scores[dimension] = number
    return scores


def _uncovered(
    data: DataSet, chosen: list[Annotation], scores: Mapping[str, Scores], predictions: Path
) -> list[Finding]:
    remedy = "predict all clips that are held out, or all (dancerank evaluate --part all)"
    return [
        Finding(data.table, f"{a.clip_id} has no row in {predictions}", remedy, row=a.row)
        for a in chosen
        if a.clip_id not in scores
    ]


def _uncounted(data: DataSet, chosen: list[Annotation]) -> list[Finding]:
    """Judged scores are not a logarithm of reactions."""
    remedy = "give likes, comments, reposts and days_online; rates are made from Eq. 1"
    return [
        Finding(data.table, f"{a.clip_id} has no counts", remedy, row=a.row)
        for a in chosen
        if a.score is not None or not is_labelled(a)
    ]

"""Predictions for held-out clips, kept so that any statistic can be computed from them later.

Legend: N clips, M modalities.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from networks.atomic import replacing
from networks.correlation import Interval, Statistic, bootstrap_interval
from networks.datasets import Sample, presence_of, targets_of
from networks.errors import UnusableSamples
from networks.evaluation import FEWEST_CLIPS, accelerated, predict
from networks.virality_model import ViralityModel
from schemas.modalities import Modality

_FIXED = ("clip_id", "fold", "truth", "fused")


class Predictions(NamedTuple):
    """``truth`` and ``fused`` (N,); ``scores`` and ``attention`` (N, M), NaN where a clip lacks a modality.

    ``folds`` are the names of the folds that the clips were held out in.
    """

    clip_ids: tuple[str, ...]
    folds: tuple[str, ...]
    modalities: tuple[Modality, ...]
    truth: NDArray[np.float64]
    fused: NDArray[np.float64]
    scores: NDArray[np.float64]
    attention: NDArray[np.float64]


def held_out_predictions(
    model: ViralityModel, samples: Sequence[Sample], clip_ids: Sequence[str], fold: str, batch_size: int = 8
) -> Predictions:
    """What ``model`` says of ``samples``, which are ``clip_ids`` of one fold."""
    with accelerated(model):
        output = predict(model, samples, batch_size)
    modalities = model.config.modalities
    present = presence_of(samples, modalities)
    scores, attention = (np.where(present, part.numpy(), np.nan) for part in (output.scores, output.attention))
    folds = (fold,) * len(samples)
    fused = output.fused.numpy().astype(np.float64)
    return Predictions(tuple(clip_ids), folds, modalities, targets_of(samples), fused, scores, attention)


def concatenated(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several folds as one. Raises ``UnusableSamples`` if they are not of the same modalities."""
    if len({part.modalities for part in parts}) != 1:
        raise UnusableSamples("predictions of different modalities cannot be put together", field="modalities")
    first = parts[0]
    return Predictions(
        tuple(clip for part in parts for clip in part.clip_ids),
        tuple(fold for part in parts for fold in part.folds),
        first.modalities,
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Predictions._fields[3:]),
    )


def intervals(
    predictions: Predictions,
    *,
    groups: Sequence[str] | None = None,
    statistic: Statistic = "pooled",
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Spearman's correlation of ``fused`` and of every modality's score, over the clips that have it, by name.

    As ``bootstrap_interval``; a correlation over fewer than two clips (of any fold, for "fold-mean") is left out.
    """
    columns = {"fused": predictions.fused}
    columns |= {str(name): predictions.scores[:, index] for index, name in enumerate(predictions.modalities)}
    found = {}
    for name, column in columns.items():
        rows = np.flatnonzero(~np.isnan(column)).tolist()
        folds = [predictions.folds[row] for row in rows]
        smallest = min((folds.count(fold) for fold in set(predictions.folds)), default=0)
        if (smallest if statistic == "fold-mean" else len(rows)) >= FEWEST_CLIPS:
            found[name] = bootstrap_interval(
                column[rows],
                predictions.truth[rows],
                groups=None if groups is None else [groups[row] for row in rows],
                folds=folds,
                statistic=statistic,
                resamples=resamples,
                seed=seed,
            )
    return found


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write ``clip_id, fold, truth, fused`` and, per modality, ``<modality>`` (its score) and ``attention_<modality>``.

    Cells of modalities that a clip lacks are empty.
    """
    names = [str(modality) for modality in predictions.modalities]
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*_FIXED, *names, *(f"attention_{name}" for name in names)))
        for row, (clip, fold) in enumerate(zip(predictions.clip_ids, predictions.folds, strict=True)):
            numbers = (predictions.truth[row], predictions.fused[row], *predictions.scores[row])
            cells = (_cell(number) for number in (*numbers, *predictions.attention[row]))
            writer.writerow((clip, fold, *cells))


def read_predictions(path: Path) -> Predictions:
    """What ``write_predictions`` wrote. Raises ``UnusableSamples`` naming the file if it is something else."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        names = header[len(_FIXED) :]
        modalities = tuple(Modality(name) for name in names[: len(names) // 2])
        if (*_FIXED, *modalities, *(f"attention_{name}" for name in modalities)) != tuple(header):
            raise ValueError(f"columns are {', '.join(header)}")
        numbers = np.array([[float(cell or "nan") for cell in row[2:]] for row in rows]).reshape(len(rows), -1)
    except (OSError, ValueError) as error:
        raise UnusableSamples(f"{path}: no predictions that this release wrote ({error})") from error
    scores, attention = np.split(numbers[:, 2:], 2, axis=1)
    clip_ids, folds = (tuple(row[column] for row in rows) for column in (0, 1))
    return Predictions(clip_ids, folds, modalities, numbers[:, 0], numbers[:, 1], scores, attention)


def _cell(number: float) -> str:
    return "" if np.isnan(number) else repr(float(number))

"""What was planted in a synthetic data set (``dancerank data synthesize``), beside what the networks made of it.

*Order*: in how many challenges the fusion attends most to the modality that was planted as most important, in how many
it has all in the planted order, and Spearman's correlation of the two orders, mean of the challenges; by method and
seed, over the mean attention to each modality of the held-out clips that have it.

*Ceiling*: the rank correlation that somebody reaches who knows the planted quality of every modality that a clip has,
weighted as planted or equally, and fits one straight line per challenge, from that to the virality score, on the clips
to learn from: Eq. (2) scales each challenge by its own extremes. What else the score holds is chance to everybody.
"""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.paper_tables.cells import Cell, Job
from benchmarks.paper_tables.figures import attention_of
from benchmarks.paper_tables.rendering import NOTHING, Grid, Row
from dancerank.fitting.learning import Clips
from dancerank.synthetic.data_set import IMPORTANCE_TABLE, PLANTED
from networks.correlation import spearman
from networks.evaluation import FEWEST_CLIPS
from networks.methods import METHODS
from schemas.modalities import PAPER_MODALITIES
from vdv.errors import DataSetError
from vdv.folder import DataSet
from vdv.splits import ALL, Fold

ORDER: Final = ("method", "seed", "most important leads", "all in order", "Spearman's ρ, mean")
CEILING: Final = ("planted qualities", "SRC, mean of folds")
_FEWEST_TO_ORDER: Final = 2
_REMEDY: Final = "write the data set again (dancerank data synthesize), or delete the file"

Weights = Mapping[str, float]
"""By modality."""


class Planted(NamedTuple):
    """The quality of each modality by clip, and its weight in the virality of a challenge by challenge."""

    quality: Mapping[str, Weights]
    importance: Mapping[str, Weights]


class Order(NamedTuple):
    """Of how many ``challenges`` the most important modality leads, and all are in order; mean rank correlation."""

    method: str
    seed: int | None
    challenges: int
    leads: int
    in_order: int
    correlation: float


class Ceiling(NamedTuple):
    """Spearman's correlation with the held-out targets, mean of the folds, weighted as planted and equally."""

    as_planted: float
    equally: float


def read_planted(data: DataSet) -> Planted | None:
    """What was planted in a data set; nothing if ``data synthesize`` did not write it.

    Raises ``DataSetError`` for a row that cannot be read, and for a clip or a challenge without one.
    """
    qualities, weights = data.folder / PLANTED, data.folder / IMPORTANCE_TABLE
    if not qualities.exists() or not weights.exists():
        return None
    quality = {
        row["clip_id"]: {str(m): float(row[m]) for m in PAPER_MODALITIES} for row in _rows(qualities, PAPER_MODALITIES)
    }
    importance: dict[str, dict[str, float]] = {}
    for row in _rows(weights, ("weight",)):
        importance.setdefault(row["challenge_id"], {})[row["modality"]] = float(row["weight"])
    for annotation in data.annotations:
        if annotation.clip_id not in quality:
            raise DataSetError(f"{qualities}: no row of clip {annotation.clip_id}; {_REMEDY}", field="clip_id")
        if set(importance.get(annotation.challenge_id, ())) != set(PAPER_MODALITIES):
            problem = f"not one row for each modality of {annotation.challenge_id}"
            raise DataSetError(f"{weights}: {problem}; {_REMEDY}", field="challenge_id")
    return Planted(quality, importance)


def orders_of(
    jobs: Sequence[Job], cells: Mapping[str, Cell], challenges: Mapping[str, str], importance: Mapping[str, Weights]
) -> list[Order]:
    """The order of one fusion's attention, by seed; ``challenges`` are those of the clips."""
    seeds: dict[int | None, list[Job]] = {}
    for job in jobs:
        seeds.setdefault(None if job.settings is None else job.settings.seed, []).append(job)
    orders = []
    for seed, own in seeds.items():
        means: dict[str, dict[str, float]] = {}
        for attention in attention_of(own, cells, challenges):
            means.setdefault(attention.challenge, {})[attention.modality] = attention.mean
        compared = [
            _compared(mean, importance[challenge]) for challenge, mean in means.items() if len(mean) >= _FEWEST_TO_ORDER
        ]
        leads, in_order, correlations = zip(*compared, strict=True) if compared else ((), (), (math.nan,))
        mean_correlation = float(np.mean(correlations))
        orders.append(Order(own[0].method, seed, len(compared), sum(leads), sum(in_order), mean_correlation))
    return orders


def ceiling(clips: Clips, folds: Iterable[Fold], planted: Planted) -> Ceiling:
    """What a reader of ``planted`` reaches on what ``folds`` hold out."""
    annotations = clips.data.annotations
    equal = {str(modality): 1.0 for modality in PAPER_MODALITIES}
    weights: tuple[Callable[[str], Weights], ...] = (planted.importance.__getitem__, lambda _: equal)
    challenges = np.array([annotation.challenge_id for annotation in annotations])
    counted = [fold for fold in folds if len(fold.test) >= FEWEST_CLIPS]
    found = []
    for weight in weights:
        read = np.array(
            [
                sum(weight(a.challenge_id)[m] * planted.quality[a.clip_id][m] for m in PAPER_MODALITIES if m in present)
                for a, present in zip(annotations, clips.modalities, strict=True)
            ]
        )
        correlations = []
        for fold in counted:
            train, test = np.array(fold.train), np.array(fold.test)
            lines = _lines(read[train], clips.targets[train], challenges[train])
            unknown = (0.0, float(clips.targets[train].mean()))  # a challenge of which nothing was learned
            predicted = [np.polyval(lines.get(challenges[row], unknown), read[row]) for row in test]
            correlations.append(spearman(predicted, clips.targets[test]))
        found.append(float(np.mean(correlations)) if correlations else math.nan)
    return Ceiling(*found)


def planted_grids(name: str, orders: Iterable[Order], reached: Ceiling) -> list[Grid]:
    """Both tables as text, of the data set ``name``."""
    compared = [
        (
            METHODS[order.method].label,
            NOTHING if order.seed is None else str(order.seed),
            f"{order.leads} of {order.challenges}",
            f"{order.in_order} of {order.challenges}",
            f"{order.correlation:.2f}",
        )
        for order in orders
    ]
    readers = [("weighted as planted", f"{reached.as_planted:.3f}"), ("weighted equally", f"{reached.equally:.3f}")]
    attention = _grid(f"Mean attention and planted importance, {name}, track {ALL}", ORDER, compared)
    ceilings = _grid(f"What reading the planted qualities reaches, {name}, track {ALL}", CEILING, readers)
    return [attention, ceilings] if compared else [ceilings]


def _rows(path: Path, numbers: Sequence[str]) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    for line, row in enumerate(rows, start=2):
        for column in numbers:
            try:
                readable = math.isfinite(float(row[column]))
            except (KeyError, TypeError, ValueError):
                readable = False
            if not readable:
                raise DataSetError(f"{path}, line {line}: {column} is not a number; {_REMEDY}", field=column)
    return rows


def _compared(attention: Weights, importance: Weights) -> tuple[bool, bool, float]:
    """Whether the same modality leads in both, whether all are in one order, and the rank correlation."""
    found = np.array([attention[modality] for modality in attention])
    wanted = np.array([importance[modality] for modality in attention])
    leads = np.array_equal(found == found.max(), wanted == wanted.max())
    return leads, np.array_equal(rankdata(found), rankdata(wanted)), spearman(found, wanted)


def _lines(
    read: NDArray[np.float64], targets: NDArray[np.float64], challenges: NDArray[np.str_]
) -> dict[str, tuple[float, float]]:
    """Slope and intercept of the least squares line of each challenge."""
    lines = {}
    for challenge in np.unique(challenges):
        x, y = read[challenges == challenge], targets[challenges == challenge]
        spread = float(((x - x.mean()) ** 2).sum())
        slope = float(((x - x.mean()) * y).sum()) / spread if spread else 0.0
        lines[str(challenge)] = (slope, float(y.mean()) - slope * float(x.mean()))
    return lines


def _grid(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Grid:
    return Grid(title, header, tuple(Row(cells, frozenset(), ends_section=False) for cells in rows))

"""From cells to the figures of a table: Spearman's rank correlation per seed, and over the seeds.

A correlation of one seed is the mean over the folds, or *pooled* over all held-out predictions; they differ when folds
have offsets, and are the same for a single split. Folds with fewer than two clips are not part of the mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.paper_tables.cells import Cell, Job
from networks.correlation import bootstrap_interval, spearman
from networks.evaluation import FEWEST_CLIPS
from schemas.modalities import Modality


class SeedFigure(NamedTuple):
    """The correlations of one seed (none for a regressor) over ``clips`` held-out clips; ``low`` to ``high`` is the
    95 % bootstrap interval of the mean over folds."""

    seed: int | None
    clips: int
    fold_mean: float
    pooled: float
    low: float
    high: float


class Figure(NamedTuple):
    """A method on a track. ``missing`` says why there are no figures; it is marked ``mark``."""

    method: str
    track: str
    modalities: tuple[Modality, ...] = ()
    seeds: tuple[SeedFigure, ...] = ()
    mark: str = ""
    missing: str = ""

    @property
    def mean(self) -> float:
        """Of the seeds' means over folds."""
        return _mean(seed.fold_mean for seed in self.seeds)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds, if there are several."""
        values = [seed.fold_mean for seed in self.seeds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def pooled(self) -> float:
        """Mean over the seeds."""
        return _mean(seed.pooled for seed in self.seeds)

    @property
    def interval(self) -> tuple[float, float]:
        """Mean over the seeds of both ends, which every seed draws from the same resamples."""
        return _mean(seed.low for seed in self.seeds), _mean(seed.high for seed in self.seeds)


class Attention(NamedTuple):
    """The fusion's mean attention to a modality over the held-out clips of a challenge that have it, and all seeds."""

    method: str
    track: str
    challenge: str
    modality: str
    clips: int
    mean: float


def figure_of(
    jobs: Sequence[Job], cells: Mapping[str, Cell], dancers: Mapping[str, str] | None, resamples: int = 1000
) -> Figure:
    """The figure of all ``jobs`` of one method on one track, whose ``cells`` are given by the job's name.

    The bootstrap draws whole ``dancers`` (by clip), if given, or single clips.
    """
    seeds: dict[int | None, list[Cell]] = {}
    for job in jobs:
        seeds.setdefault(None if job.settings is None else job.settings.seed, []).append(cells[job.name])
    figures = tuple(_seed_figure(seed, parts, dancers, resamples) for seed, parts in seeds.items())
    return Figure(jobs[0].method, jobs[0].track, jobs[0].network.modalities, figures)


def attention_of(jobs: Sequence[Job], cells: Mapping[str, Cell], challenges: Mapping[str, str]) -> list[Attention]:
    """Mean attention per challenge and modality; ``challenges`` are those of the clips. Empty for regressors."""
    shares: dict[tuple[str, str], list[float]] = {}
    seeds = {None if job.settings is None else job.settings.seed for job in jobs}
    for job in jobs:
        cell = cells[job.name]
        for modality, column in cell.attention.items():
            for clip, share in zip(cell.clip_ids, column, strict=True):
                if share is not None:
                    shares.setdefault((challenges[clip], modality), []).append(share)
    first = jobs[0]
    return [
        Attention(first.method, first.track, challenge, modality, len(found) // len(seeds), _mean(found))
        for (challenge, modality), found in sorted(shares.items(), key=lambda item: item[0][0])
    ]


def _seed_figure(
    seed: int | None, parts: Sequence[Cell], dancers: Mapping[str, str] | None, resamples: int
) -> SeedFigure:
    predicted, truth = (np.concatenate([getattr(part, name) for part in parts]) for name in ("predicted", "truth"))
    ids = [clip for part in parts for clip in part.clip_ids]
    folds = np.repeat(np.arange(len(parts)), [len(part.clip_ids) for part in parts])
    counted = np.isin(folds, [index for index, part in enumerate(parts) if len(part.clip_ids) >= FEWEST_CLIPS])
    interval = bootstrap_interval(
        predicted[counted],
        truth[counted],
        groups=None if dancers is None else [dancers[ids[row]] for row in np.flatnonzero(counted)],
        folds=folds[counted].tolist(),
        statistic="fold-mean",
        resamples=resamples,
    )
    return SeedFigure(seed, len(ids), interval.estimate, spearman(predicted, truth), interval.low, interval.high)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

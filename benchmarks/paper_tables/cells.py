"""The cells of a table: one method trained on one fold of one track from one seed, stored in a file of its own.

A cell's name is the hash of all that its content depends on: clips, features, targets, network and training. What is
done is so found again, by whatever table asks for it, and nothing that is done otherwise is taken for it. The code of
the networks is not hashed: after changing it, start with another folder.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from dancerank.fitting.learning import Clips
from dancerank.fitting.recipe import Recipe
from networks.atomic import replacing
from networks.errors import UnusableSamples
from networks.evaluation import FEWEST_CLIPS
from networks.methods import METHODS, Method
from networks.model_config import ViralityModelConfig
from networks.predictions import held_out_predictions
from networks.training import TrainingSettings, fit
from schemas.errors import ConfigurationError
from schemas.modalities import FUSED_MODALITIES
from vdv.errors import DataSetError
from vdv.splits import Fold, track_folds

FORMAT: Final = "dancerank-cell/1"

_NO_PART_IN_THE_RESULT: Final = ("loader_workers", "devices")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job. ``attention`` is that of each modality by clip, null where the clip lacks it; empty for
    regressors. ``made_with`` is what the name of the file is the hash of."""

    made_with: dict[str, Any]
    method: str
    track: str
    fold: str
    seconds: float
    clips_learned_from: int
    clip_ids: tuple[str, ...]
    truth: tuple[float, ...]
    predicted: tuple[float, ...]
    attention: dict[str, tuple[float | None, ...]]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A cell to be made. ``settings`` are absent for a regressor, which has neither epochs nor seeds.

    ``learned`` and ``held_out`` are rows of the data set in ``folder`` whose clips have one of the method's modalities.
    """

    folder: Path
    method: str
    track: str
    fold: str
    learned: list[int]
    held_out: list[int]
    network: ViralityModelConfig
    settings: TrainingSettings | None
    made_with: dict[str, Any]

    @property
    def name(self) -> str:
        """The hash, in hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self.made_with, order="deterministic")).hexdigest()[:24]

    def __str__(self) -> str:
        seed = "" if self.settings is None else f", seed {self.settings.seed}"
        return f"{METHODS[self.method].label}, {self.track}, {self.fold}{seed}"


class Plan(NamedTuple):
    """The jobs of each (method, track), and why others cannot be."""

    jobs: dict[tuple[str, str], list[Job]]
    refused: dict[tuple[str, str], str]

    def distinct(self) -> list[Job]:
        """Every job once, all of the first seed first."""
        jobs = {job.name: job for jobs in self.jobs.values() for job in jobs}
        return sorted(jobs.values(), key=lambda job: -1 if job.settings is None else job.settings.seed)


def planned(
    clips: Clips, methods: Iterable[Method], tracks: Sequence[str], seeds: Sequence[int], recipe: Recipe
) -> Plan:
    """The jobs for ``methods`` on ``tracks``, each trained by ``recipe`` from every one of ``seeds``.

    Raises ``DataSetError`` for a track that there is not, ``ConfigurationError`` for a recipe that no network fits.
    """
    folds = {track: track_folds(clips.data, track) for track in tracks}
    plan = Plan({}, {})
    for method in methods:
        for track in tracks:
            try:
                plan.jobs[method.name, track] = _jobs(clips, method, track, folds[track], seeds, recipe)
            except _NotPossible as error:
                plan.refused[method.name, track] = str(error)
    return plan


def made(job: Job, clips: Clips) -> Cell:
    """Train and predict. Raises as ``fit``, and ``DataSetError`` if the clips are not those that were planned with."""
    training, held_out = clips.samples(job.learned), clips.samples(job.held_out)
    if job.made_with["data"] != [training.fingerprint, held_out.fingerprint]:
        raise DataSetError(f"{job.folder} has changed since the command began; start it again")
    names = clips.names(job.held_out)
    began_s = time.perf_counter()
    attention: dict[str, tuple[float | None, ...]] = {}
    build = METHODS[job.method].regressor
    if build is not None:
        regressor = build(job.network)
        regressor.fit(training)
        predicted = regressor.predict(held_out)
    else:
        learned = clips.names(job.learned)
        result = fit(job.network, training, (), job.settings, clip_ids=learned, progress=False)
        predictions = held_out_predictions(result.model, held_out, names, job.fold)
        predicted = predictions.fused
        attention = {
            str(modality): tuple(None if np.isnan(share) else float(share) for share in column)
            for modality, column in zip(predictions.modalities, predictions.attention.T, strict=True)
        }
    if not np.isfinite(predicted).all():
        raise ConfigurationError("a prediction is not finite; lower learning_rate")
    return Cell(
        made_with=job.made_with,
        method=job.method,
        track=job.track,
        fold=job.fold,
        seconds=time.perf_counter() - began_s,
        clips_learned_from=len(training),
        clip_ids=tuple(names),
        truth=tuple(held_out.targets),
        predicted=tuple(predicted.tolist()),
        attention=attention,
    )


def read_cell(folder: Path, job: Job) -> Cell | None:
    """The cell of ``job``, if it is done. Raises ``ConfigurationError`` naming a file that is not a cell."""
    path = _path(folder, job)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Cell)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path}: no cell that this release wrote ({error}); delete it") from error


def write_cell(folder: Path, job: Job, cell: Cell) -> None:
    """Store the cell of ``job``, in one move."""
    with replacing(_path(folder, job)) as draft:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(cell), indent=1))


class _NotPossible(Exception):
    """Why a method cannot be used on a track."""


def _jobs(
    clips: Clips, method: Method, track: str, folds: Sequence[Fold], seeds: Sequence[int], recipe: Recipe
) -> list[Job]:
    members = {row for fold in folds for row in (*fold.train, *fold.test)}
    available = {modality for row in members for modality in clips.modalities[row]}
    try:
        streams = method.streams([modality for modality in FUSED_MODALITIES if modality in available])
    except UnusableSamples as error:
        raise _NotPossible(error.message) from error
    network = Recipe({**recipe.network, **method.network, "modalities": streams}, {}).config(clips.network_defaults())
    settings: list[TrainingSettings | None] = [None]
    if method.regressor is None:
        training = {**recipe.training, **method.training, "devices": 1}
        settings = [Recipe({}, {**training, "seed": seed}).settings() for seed in seeds]
    jobs = []
    for fold in folds:
        learned, held_out = (
            [row for row in rows if clips.modalities[row].intersection(streams)] for rows in (fold.train, fold.test)
        )
        if not learned or not held_out:
            part = "held out" if learned else "to learn from"
            raise _NotPossible(f"no clip {part} in {fold.name} has {' or '.join(streams)} features")
        data = [clips.samples(rows).fingerprint for rows in (learned, held_out)]
        jobs += [
            Job(
                folder=clips.data.folder,
                method=method.name,
                track=track,
                fold=fold.name,
                learned=learned,
                held_out=held_out,
                network=network,
                settings=how,
                made_with=_made_with(method, network, how, data),
            )
            for how in settings
        ]
    if all(len(job.held_out) < FEWEST_CLIPS for job in jobs):
        raise _NotPossible(f"no fold holds out {FEWEST_CLIPS} clips with {' or '.join(streams)} features")
    return jobs


def _made_with(
    method: Method, network: ViralityModelConfig, settings: TrainingSettings | None, data: Sequence[str]
) -> dict[str, Any]:
    if settings is None:
        config: dict[str, Any] = {"modalities": [str(m) for m in network.modalities], "layout": network.joint_layout}
        return {"format": FORMAT, "data": data, "regressor": method.name, "network": config}
    training = msgspec.to_builtins(settings)
    for key in _NO_PART_IN_THE_RESULT:
        del training[key]
    return {"format": FORMAT, "data": data, "network": msgspec.to_builtins(network), "training": training}


def _path(folder: Path, job: Job) -> Path:
    return folder / f"{job.name}.json"

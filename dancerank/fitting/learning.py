"""Training and evaluating on data sets on disk: where ``vdv`` and ``networks`` meet. Needs the ``[train]`` extra."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from dancerank.console.progress import OnProgress
from dancerank.fitting.loading import Loading
from dancerank.fitting.recipe import Recipe
from dancerank.synthetic.clips import SYNTHETIC
from networks.checkpoint import load_checkpoint, trained_on
from networks.checkpoint_file import read_target
from networks.datasets import Features, LazySamples
from networks.model_config import ViralityModelConfig
from networks.predictions import Predictions, concatenated, held_out_predictions, write_predictions
from networks.training import fit
from networks.training.fitting import is_first_process
from networks.training.history import EpochRow
from networks.training.progress import TrainingProgress
from schemas.bundle import SYNTHETIC_CLIPS
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures, decode_features
from schemas.local_files import exists
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.virality_target import EQ1, FittedTarget, TargetSettings
from vdv.annotations import PARTITIONS
from vdv.checking import check_data_set
from vdv.errors import Finding, refusal
from vdv.folder import DataSet
from vdv.splits import ALL, Fold, Part, draw_split, leaks, rows_of_part, track_folds
from vdv.targets import fit_target, targets

IN_MEMORY_BYTES: Final = 4 * 2**30
"""Feature files up to this size, all together, are held in memory; of larger data sets they are read when needed."""


class Clips(NamedTuple):
    """A checked data set, with what is known of its features without loading them again. Everything is per clip.

    ``targets`` are NaN until a target is fitted (``learning``). ``features`` are those in memory, ``None`` if they are
    read when needed. ``joints`` are the layout and the channels of the poses, if there are any; ``widths`` the channels
    of the other modalities; ``are_synthetic``: whether there are clips among them that no person danced.
    """

    data: DataSet
    targets: NDArray[np.float64]
    modalities: tuple[frozenset[Modality], ...]
    digests: tuple[str, ...]
    features: tuple[Features, ...] | None
    joints: tuple[str, int] | None
    widths: Mapping[Modality, int]
    are_synthetic: bool

    def network_defaults(self) -> dict[str, Any]:
        """The keys of ``ViralityModelConfig`` that say what these features look like."""
        defaults: dict[str, Any] = {
            "feature_channels": {m: width for m, width in self.widths.items() if width != m.channels}
        }
        if self.joints:
            defaults["joint_layout"], defaults["joint_channels"] = self.joints
        return defaults

    def named(self, part: str) -> str:
        """What a bundle will say that it was trained on: ``part`` of these clips."""
        named = f"{self.data.folder.resolve().name}, {part}"
        return f"{SYNTHETIC_CLIPS}: {named}" if self.are_synthetic else named

    def learning(self, target: FittedTarget) -> Self:
        """These clips with the scores of ``target``."""
        return self._replace(targets=targets(self.data.annotations, target).normalised)

    def samples(self, rows: Sequence[int]) -> LazySamples:
        """The clips at ``rows``, to learn from or to predict."""
        chosen = [self.data.annotations[row] for row in rows]
        scores = [float(self.targets[row]) for row in rows]
        known = ((a.clip_id, score, self.digests[row]) for a, score, row in zip(chosen, scores, rows, strict=True))
        held = None if self.features is None else [self.features[row] for row in rows]
        load = Loading(self.data, chosen, held)
        return LazySamples(load, scores, [self.modalities[row] for row in rows], _digest(map(repr, known)))

    def names(self, rows: Iterable[int]) -> list[str]:
        """The ids of the clips at ``rows``."""
        return [self.data.annotations[row].clip_id for row in rows]


class Trained(NamedTuple):
    """What came of a training: the held-out predictions of all folds, where they are, and the folds' histories."""

    predictions: Predictions
    file: Path
    histories: dict[str, tuple[EpochRow, ...]]


class Evaluated(NamedTuple):
    """Predictions of a trained model, those clips among them that it was trained on, and the target of its truth."""

    predictions: Predictions
    seen: list[str]
    target: FittedTarget


def open_clips(data: DataSet, on_progress: OnProgress, target: TargetSettings = EQ1) -> Clips:
    """``data``, checked: raises one ``DataSetError`` with all that is wrong, before anything is learned.

    ``target``: fitted, or what is to be fitted to the clips of each fold.
    """
    report = check_data_set(data, target=target, progress=lambda done, total: on_progress("checking", done, total))
    report.raise_if_bad()
    in_memory = sum(data.path(annotation).stat().st_size for annotation in data.annotations) <= IN_MEMORY_BYTES
    modalities, digests, held = [], [], []
    joints: tuple[str, int] | None = None
    widths: dict[Modality, int] = {}
    synthetic = 0
    for done, annotation in enumerate(data.annotations, start=1):
        content = data.content(annotation)
        clip = decode_features(content)
        modalities.append(frozenset(clip.frames))
        digests.append(hashlib.sha256(content).hexdigest())
        joints = joints or _joints(clip)
        widths |= clip.widths
        synthetic += _is_synthetic(clip)
        if in_memory:
            held.append(clip.frames)
        on_progress("reading", done, len(data))
    features = tuple(held) if in_memory else None
    unknown = np.full(len(data), np.nan)
    clips = Clips(data, unknown, tuple(modalities), tuple(digests), features, joints, widths, synthetic > 0)
    return clips.learning(target) if isinstance(target, FittedTarget) else clips


def train(
    data: DataSet,
    run: Path,
    recipe: Recipe,
    *,
    track: str = ALL,
    validation_share: float = 0.0,
    fresh: bool = False,
    on_progress: OnProgress,
    progress: TrainingProgress | bool = True,
) -> Trained | None:
    """Train on every fold of ``track`` and predict what is held out; several folds have a folder each in ``run``.

    ``validation_share`` of each challenge's training clips choose the epoch; whole dancers if the data set keeps them
    apart. The target's parameters are fitted to the clips of each fold to learn from, without those that choose the
    epoch. Continues what is in ``run`` unless ``fresh``. Returns nothing in the processes of further devices.
    Raises ``DataSetError`` for data that cannot be learned from by this recipe, ``ConfigurationError`` if ``run``
    cannot be made, and as ``fit`` does.
    """
    folds = track_folds(data, track)
    target = recipe.target()
    clips = open_clips(data, on_progress, target)
    members = sorted({row for fold in folds for row in (*fold.train, *fold.test)})
    available = [m for m in FUSED_MODALITIES if any(m in clips.modalities[row] for row in members)]
    if not available:
        problem = f"no clip has features of {', '.join(FUSED_MODALITIES)}"
        remedy = "extract them, or train on routines with dancerank routines train"
        raise refusal([Finding(clips.data.table, problem, remedy, field="features")])
    config = recipe.config({"modalities": available, **clips.network_defaults()})
    settings = recipe.settings()
    _refuse_unreadable(clips, members, config.modalities)
    _refuse_unlearnable(clips, folds, config.modalities)
    refuse_other_features(
        clips, config, "the settings ask for", "remove joint_layout, joint_channels and feature_channels from them"
    )
    make_folder(run)
    folders = {fold.name: run if len(folds) == 1 else run / fold.name.replace(" ", "-") for fold in folds}
    if not fresh:
        _refuse_model_without_run(folders.values())
    if len(folds) > 1 and settings.devices == "auto":
        settings = msgspec.structs.replace(settings, devices=1)  # processes for further devices serve one fit only
    predicted, histories = [], {}
    for fold in folds:
        learned, chosen = _validation(clips, fold, validation_share, settings.seed)
        fitted = fit_target(target, [data.annotations[row] for row in learned])
        clips = clips.learning(fitted)
        result = fit(
            config,
            clips.samples(learned),
            clips.samples(fold.test),
            settings,
            validation=clips.samples(chosen),
            clip_ids=clips.names(learned),
            run=folders[fold.name],
            fresh=fresh,
            target=fitted,
            training_data=clips.named(f"track {track}, {fold.name}: {len(learned)} clips"),
            progress=progress,
        )
        test = clips.samples(fold.test)
        predicted.append(held_out_predictions(result.model, test, clips.names(fold.test), fold.name))
        histories[fold.name] = result.history
    if not is_first_process():
        return None
    predictions = concatenated(predicted)
    write_predictions(predictions, run / "predictions.csv")
    return Trained(predictions, run / "predictions.csv", histories)


def evaluate(
    checkpoint: Path, data: DataSet, *, track: str = ALL, part: Part | None = None, on_progress: OnProgress
) -> Evaluated:
    """Predictions of ``checkpoint`` for a ``part`` of ``track``, beside the target that it has learned.

    Without ``part``: the test clips if the data set has a split, all clips if it has not.
    """
    model, _ = load_checkpoint(checkpoint)
    target = read_target(checkpoint)
    rows = rows_of_part(data, track, part)
    clips = open_clips(data, on_progress, target)
    _refuse_unreadable(clips, rows, model.config.modalities)
    refuse_other_features(
        clips, model.config, "the checkpoint was trained on", "use the layout and the extractors that it was trained on"
    )
    names = clips.names(rows)
    on_progress("predicting", 0, 0)
    predictions = held_out_predictions(model, clips.samples(rows), names, part or "held out")
    return Evaluated(predictions, trained_on(checkpoint, names), target)


def refuse_other_features(clips: Clips, config: ViralityModelConfig, who: str, remedy: str) -> None:
    """Raises ``DataSetError`` unless poses and features have the layout and the channels that ``who`` asks for, in
    ``config``."""
    asked = (config.joint_layout, config.joint_channels)
    if clips.joints and clips.joints != asked and any(modality.has_joints for modality in config.modalities):
        layout, channels = clips.joints
        problem = f"the poses are {layout} with {channels} channels, {who} {asked[0]} with {asked[1]}"
        raise refusal([Finding(clips.data.table, problem, remedy, field="skeletal")])
    for modality, width in clips.widths.items():
        if modality in config.modalities and width != config.input_channels(modality):
            problem = f"the features have {width} channels, {who} {config.input_channels(modality)}"
            raise refusal([Finding(clips.data.table, problem, remedy, field=modality)])


def make_folder(folder: Path) -> None:
    """Raises ``ConfigurationError`` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error


def _validation(clips: Clips, fold: Fold, share: float, seed: int) -> tuple[list[int], list[int]]:
    """The rows of ``fold`` to learn from and those to choose the epoch by."""
    if not share:
        return fold.train, []
    learned = [clips.data.annotations[row] for row in fold.train]
    bare = [msgspec.structs.replace(annotation, **dict.fromkeys(PARTITIONS)) for annotation in learned]
    drawn = draw_split(bare, seed=seed, test_share=share, by_dancer=not leaks(clips.data))
    parts: dict[str | None, list[int]] = {"train": [], "test": []}
    for row, annotation in zip(fold.train, drawn, strict=True):
        parts[annotation.split].append(row)
    if not parts["test"]:
        problem = f"{fold.name}: no challenge has two clips to learn from, so none can be kept apart for validation"
        raise refusal([Finding(clips.data.table, problem, "train without validation", field="split")])
    return parts["train"], parts["test"]


def _refuse_unreadable(clips: Clips, rows: Sequence[int], modalities: Sequence[Modality]) -> None:
    findings = []
    for row in rows:
        if not clips.modalities[row].intersection(modalities):
            annotation = clips.data.annotations[row]
            problem = f"{annotation.features} has none of {', '.join(modalities)}"
            remedy = "choose other modalities, or remove the row"
            findings.append(Finding(clips.data.table, problem, remedy, row=annotation.row, field="features"))
    if findings:
        raise refusal(findings)


def _refuse_unlearnable(clips: Clips, folds: Sequence[Fold], modalities: Sequence[Modality]) -> None:
    """A stream without a clip to learn from would stay as it was drawn."""
    for fold in folds:
        for modality in modalities:
            if not any(modality in clips.modalities[row] for row in fold.train):
                problem = f"no clip to learn from in {fold.name} has {modality}"
                raise refusal([Finding(clips.data.table, problem, "choose other modalities", field=modality)])


def _refuse_model_without_run(folders: Iterable[Path]) -> None:
    """A run starts by deleting what is left over; a model that cannot be resumed is not one of them."""
    for folder in folders:
        if exists(folder / "model.safetensors") and not exists(folder / "last.ckpt"):
            raise ConfigurationError(
                f"{folder} holds a model.safetensors but no last.ckpt to continue from; choose another folder, or "
                "delete the model with --fresh",
                field="run",
            )


def _is_synthetic(clip: ClipFeatures) -> bool:
    return any(version.startswith(SYNTHETIC) for version in clip.extractors.values())


def _joints(clip: ClipFeatures) -> tuple[str, int] | None:
    pose = clip.frames.get(Modality.SKELETAL)
    return None if pose is None or clip.joint_layout is None else (clip.joint_layout, pose.shape[-1])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

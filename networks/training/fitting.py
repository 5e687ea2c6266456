"""``fit``: from clips to a trained model."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import msgspec
import torch

from networks.datasets import Sample, fingerprint_of, presence_of
from networks.errors import UnusableSamples
from networks.evaluation import FEWEST_CLIPS, accelerated, rank_correlations
from networks.loading import batch_loader
from networks.model_config import ViralityModelConfig
from networks.training.distribution import DISTRIBUTION_NOTE, stated_by
from networks.training.epochs import EpochEnd
from networks.training.history import EpochRow
from networks.training.optimisation import ViralityModelTraining
from networks.training.order import EpochOrder
from networks.training.progress import ConsoleProgress, Silence, TrainingProgress
from networks.training.run_folder import RunFolder
from networks.training_settings import TrainingSettings
from networks.virality_model import ViralityModel
from schemas.errors import ConfigurationError
from schemas.virality_target import EQ1, FittedTarget


class FitResult(NamedTuple):
    """A trained model in evaluation mode on the CPU, its rank correlations on the held-out clips (and, as
    ``validation``, that of the chosen epoch on the validation clips), and what happened in each epoch."""

    model: ViralityModel
    metrics: dict[str, float]
    history: tuple[EpochRow, ...]


def fit(
    config: ViralityModelConfig,
    training: Sequence[Sample],
    held_out: Sequence[Sample],
    settings: TrainingSettings | None = None,
    *,
    validation: Sequence[Sample] = (),
    clip_ids: Sequence[str] | None = None,
    run: Path | None = None,
    fresh: bool = False,
    training_data: str | None = None,
    target: FittedTarget = EQ1,
    progress: bool | TrainingProgress = True,
    trainer_options: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a model of ``config`` on ``training`` and measure it on ``held_out``.

    With ``validation`` clips the epoch that ranks them best is returned, and ``settings.patience`` may stop earlier;
    without, the last epoch is. ``held_out`` has no influence on training. ``clip_ids`` name the training clips.

    A ``run`` folder keeps the state after each epoch. Called again with the same arguments, ``fit`` goes on from
    there; on the CPU the result is bit for bit that of a run that was never interrupted. ``fresh`` starts again.
    ``training_data`` is kept in the checkpoint for the bundle's manifest, and so is ``target``, which the scores are.

    The same seed, data and machine give the same result; the global random state is restored afterwards.
    ``trainer_options`` go to ``lightning.Trainer`` (``accelerator``, ``callbacks``...). Raises ``UnusableSamples`` when
    there is nothing to train on, or a clip has none of the config's modalities; ``RunMismatch`` when ``run`` was
    started with other settings or data; ``TrainingDiverged`` when a loss is not a finite number.
    """
    settings = settings or TrainingSettings()
    _check(config, settings, {"training": training, "validation": validation, "held_out": held_out})
    names = list(clip_ids) if clip_ids is not None else [f"clip {row}" for row in range(len(training))]
    if len(names) != len(training):
        raise ConfigurationError(f"{len(names)} clip ids for {len(training)} clips", field="clip_ids")
    reporter = _reporter(progress)
    folder, state = None, None
    if run is not None:
        folder = RunFolder(run, target)
        started_with = _started_with(config, settings, training, validation, target)
        state = folder.begin(started_with, fresh=fresh, read_only=not is_first_process())
    with torch.random.fork_rng(), _quiet_lightning():
        torch.manual_seed(settings.seed)
        model = ViralityModel(config)
        for modality in config.modalities:
            model.stream(modality).start_score()
        if state:
            model.load_state_dict(state.model)
        best_weights = folder.load_best(state.best) if folder and state and state.best.epoch >= 0 else None
        epochs = EpochEnd(validation, folder, reporter, state, best_weights)
        if not state or not (state.stopped or state.epochs_done >= settings.epochs):
            module = ViralityModelTraining(model, settings, names, folder.bad_batch if folder else None, state)
            try:
                _train(module, training, settings, epochs, dict(trainer_options or {}))
            finally:
                reporter.end()
    model = model.cpu()
    if epochs.best_weights is not None:
        model.load_state_dict(epochs.best_weights)
    model.eval()
    with accelerated(model):
        metrics = rank_correlations(model, held_out, settings.batch_size) if held_out else {}
    if validation:
        metrics["validation"] = epochs.best.validation
    if folder and is_first_process():
        notes = {} if training_data is None else {"training_data": training_data}
        notes[DISTRIBUTION_NOTE] = msgspec.json.encode(stated_by(training, config)).decode()
        folder.finish(model, metrics, epochs.history, epochs.best, notes=notes, clip_ids=clip_ids or ())
    return FitResult(model, metrics, epochs.history)


def _train(
    module: ViralityModelTraining,
    samples: Sequence[Sample],
    settings: TrainingSettings,
    epochs: EpochEnd,
    options: dict[str, Any],
) -> None:
    accelerator = options.setdefault("accelerator", "gpu" if torch.cuda.is_available() else "cpu")
    graphics = accelerator in ("gpu", "cuda")
    automatic = torch.cuda.device_count() if graphics else 1
    devices = options.setdefault("devices", automatic if settings.devices == "auto" else settings.devices)
    if devices != 1:
        # A batch may lack a modality, and with it all gradients of that stream; the distribution leaves out the fusion.
        every = len(module.model.config.modalities) == 1 and settings.objective == "eq14"
        options.setdefault("strategy", "ddp" if every else "ddp_find_unused_parameters_true")
    trainer = lightning.Trainer(
        max_epochs=settings.epochs - module.first_epoch,
        precision=options.pop("precision", _precision(settings, graphics)),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        callbacks=[epochs, *options.pop("callbacks", [])],
        **options,
    )
    order = EpochOrder(
        len(samples),
        seed=settings.seed,
        first_epoch=module.first_epoch,
        rank=trainer.global_rank,
        devices=trainer.world_size,
    )
    loader = batch_loader(
        samples,
        module.model.config.modalities,
        order,
        batch_size=settings.batch_size,
        processes=settings.loader_workers,
        pin_memory=graphics,
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader)
    except SystemExit as error:  # what Lightning makes of Ctrl-C, after having switched it off
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from error


def _check(config: ViralityModelConfig, settings: TrainingSettings, parts: Mapping[str, Sequence[Sample]]) -> None:
    for name, samples in parts.items():
        if not presence_of(samples, config.modalities).any(axis=1).all():
            raise UnusableSamples(f"a clip of {name} has none of {', '.join(config.modalities)}", field=name)
    if not parts["training"]:
        raise UnusableSamples("no clips to train on", field="training")
    if 0 < len(parts["validation"]) < FEWEST_CLIPS:
        raise UnusableSamples(f"a rank correlation needs {FEWEST_CLIPS} clips", field="validation")
    if settings.patience is not None and not parts["validation"]:
        raise ConfigurationError("patience needs validation clips", field="patience")
    alone = len(config.modalities) == 1 and config.appearance_network == "usdl"
    if settings.objective == "distribution" and not alone:
        raise ConfigurationError('the objective "distribution" needs the usdl network, alone', field="objective")


def _started_with(
    config: ViralityModelConfig,
    settings: TrainingSettings,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    target: FittedTarget,
) -> dict[str, Any]:
    """Everything that the result depends on."""
    how = msgspec.to_builtins(settings)
    del how["loader_workers"]
    data = {"clips": len(training), "fingerprint": fingerprint_of(training)}
    if validation:
        data |= {"validation_clips": len(validation), "validation_fingerprint": fingerprint_of(validation)}
    learned = msgspec.to_builtins(target)
    return {"network": msgspec.to_builtins(config), "training": how, "virality": learned, "data": data}


def is_first_process() -> bool:
    """Whether this is the process that was started, not one that Lightning started for another device."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _reporter(progress: bool | TrainingProgress) -> TrainingProgress:
    if isinstance(progress, bool):
        return ConsoleProgress() if progress else Silence()
    return progress


def _precision(settings: TrainingSettings, graphics: bool) -> str:
    if settings.precision != "auto":
        return {"32": "32-true"}.get(settings.precision, settings.precision)
    if not graphics:
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning advertises its other products, calls what torch deprecates, and asks for loader processes, which would
    only copy clips that are in memory already."""
    chatter = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated", category=FutureWarning)
            yield
    finally:
        chatter.setLevel(level)

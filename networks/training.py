"""Training a framework with Lightning: Adam, batches of eight, the losses of Eq. (13-14) (paper, Section 5.1)."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import lightning
import msgspec
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from networks.datasets import Batch, Sample, collate
from networks.evaluation import rank_correlations
from networks.framework import Framework, FrameworkConfig
from networks.losses import LossWeights, loss_terms
from schemas.errors import ConfigurationError


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to train; the defaults are the paper's, where it says.

    The rate is multiplied by ``decay`` every ``decay_epochs``. ``margin`` is δ of Eq. (13) and ``weights`` are α, β,
    γ of Eq. (14). ``modality_dropout`` is the probability with which a modality is taken from a clip
    for one step (at least one always stays), so that the attention learns to work without it.
    """

    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 1e-4
    decay: float = 0.5
    decay_epochs: int = 10
    margin: float = 0.05
    weights: LossWeights = LossWeights()
    modality_dropout: float = 0.15
    seed: int = 0


class FitResult(NamedTuple):
    """A trained framework in evaluation mode on the CPU, and its rank correlations on the held-out clips."""

    framework: Framework
    metrics: dict[str, float]


class FrameworkTraining(lightning.LightningModule):
    """The optimisation of one framework."""

    def __init__(self, framework: Framework, settings: TrainingSettings) -> None:
        super().__init__()
        self.framework = framework
        self.settings = settings

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:  # noqa: ARG002
        """Total loss of one batch."""
        present = hide_modalities(batch.present, self.settings.modality_dropout)
        output = self.framework(batch.inputs, present)
        loss = loss_terms(output, batch.targets, present, self.settings.margin).total(self.settings.weights)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.targets))
        return loss

    def configure_optimizers(self) -> Any:
        """Adam with a step-wise decaying rate."""
        optimizer = torch.optim.Adam(self.framework.parameters(), lr=self.settings.learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.settings.decay_epochs, self.settings.decay)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def hide_modalities(present: Tensor, probability: float) -> Tensor:
    """``present`` (N, M) with each true entry made false with ``probability``; a clip that would lose all keeps all."""
    kept = present & (torch.rand(present.shape, device=present.device) >= probability)
    return torch.where(kept.any(dim=1, keepdim=True), kept, present)


def fit(
    config: FrameworkConfig,
    training: Sequence[Sample],
    held_out: Sequence[Sample],
    settings: TrainingSettings | None = None,
    *,
    progress: bool = True,
    trainer_options: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a framework of ``config`` on ``training`` and measure it on ``held_out``.

    The same seed, data and machine give the same result; the global random state is restored afterwards.
    ``trainer_options`` go to ``lightning.Trainer`` (``accelerator``, ``callbacks``...).
    Raises ``ConfigurationError`` when there is nothing to train on, or a clip has none of the config's modalities.
    """
    settings = settings or TrainingSettings()
    for samples, name in ((training, "training"), (held_out, "held_out")):
        if not all(any(modality in features for modality in config.modalities) for features, _ in samples):
            raise ConfigurationError(f"a clip of {name} has none of {', '.join(config.modalities)}", field=name)
    if not training:
        raise ConfigurationError("no clips to train on", field="training")
    with torch.random.fork_rng(), _quiet_lightning():
        torch.manual_seed(settings.seed)
        framework = Framework(config)
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            **dict(trainer_options or {}),
        )
        trainer.fit(FrameworkTraining(framework, settings), _loader(training, config, settings))
    framework = framework.cpu().eval()
    return FitResult(framework, rank_correlations(framework, held_out, settings.batch_size) if held_out else {})


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


def _loader(samples: Sequence[Sample], config: FrameworkConfig, settings: TrainingSettings) -> "DataLoader[Sample]":
    return DataLoader(
        list(samples),  # type: ignore[arg-type]
        batch_size=settings.batch_size,
        shuffle=True,
        collate_fn=partial(collate, modalities=config.modalities),
        generator=torch.Generator().manual_seed(settings.seed),
    )

"""One optimisation step of a model, as Lightning calls it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import torch
from safetensors.torch import save
from torch import Tensor

from networks.atomic import replacing
from networks.augmentation import augmented
from networks.baselines.usdl import distribution_loss
from networks.datasets import Batch
from networks.gradnorm import GradNorm, gradient_norms, video_level_features
from networks.loading import TracedBatch
from networks.losses import loss_terms
from networks.training.errors import TrainingDiverged
from networks.training.order import dropout_seed
from networks.training.state import TrainingState
from networks.training_settings import LossWeights, TrainingSettings
from networks.virality_model import ViralityModel, ViralityModelOutput
from schemas.joints import layout_named

DISTRIBUTION: Final = "distribution"
"""Name of the one loss term of the objective of that name."""

_RISE: Final = 0.15
"""Share of the epochs in which a cycle's rate rises."""
_FIRST_RATE: Final = 1 / 25
"""A cycle's first rate, as a share of the highest."""


class ViralityModelTraining(lightning.LightningModule):
    """The optimisation of one model, from the start or from where ``state`` left it.

    ``epoch_losses`` are the sums of the epoch's losses by name, ``epoch_steps`` the number summed.
    """

    def __init__(
        self,
        model: ViralityModel,
        settings: TrainingSettings,
        clip_names: Sequence[str],
        bad_batch: Path | None,
        state: TrainingState | None,
    ) -> None:
        """``clip_names`` name the training clips; ``bad_batch`` is where a batch without a finite loss is saved."""
        super().__init__()
        self.model = model
        self.settings = settings
        self.first_epoch = state.epochs_done if state else 0
        self._clip_names = clip_names
        self._bad_batch = bad_batch
        self._state = state
        self.term_names = _term_names(settings)
        self.gradnorm: GradNorm | None = None
        if settings.weighting == "gradnorm" and len(self.term_names) > 1:
            self.gradnorm = GradNorm(
                self._of_terms(settings.weights),
                restoring=settings.gradnorm_restoring,
                rate=settings.gradnorm_rate,
                initial=self._of_terms(settings.initial_losses) if settings.initial_losses else None,
            )
            if state:
                self.gradnorm.load_state_dict(state.gradnorm)
        self._full_batch = min(settings.batch_size, len(clip_names))
        self.epoch_losses: dict[str, float] = {}
        self.epoch_steps = 0

    @property
    def epoch(self) -> int:
        """The epoch under way, counted from zero over all continuations of the run."""
        return self.first_epoch + int(self.current_epoch)

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each term in the next step."""
        if self.gradnorm is not None:
            values: Sequence[float] = self.gradnorm.weights
        elif self.settings.weighting == "gradnorm" or self.term_names == (DISTRIBUTION,):
            values = (1.0,)  # a single term needs no balance
        else:
            values = self._of_terms(self.settings.weights)
        return dict(zip(self.term_names, values, strict=True))

    def on_train_epoch_start(self) -> None:
        """Reset the sums of the epoch."""
        self.epoch_losses = dict.fromkeys(("loss", *self.term_names), 0.0)
        self.epoch_steps = 0

    def training_step(self, batch: TracedBatch, batch_index: int) -> Tensor:
        """Total loss of one batch; the weights of its terms then move on for the next one."""
        if batch_index == 0:
            torch.manual_seed(dropout_seed(self.settings.seed, self.epoch, self.global_rank))
        rate = learning_rate(self.settings, self.epoch + batch_index / int(self.trainer.num_training_batches))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        inputs, present, targets = batch.clips
        present = hide_modalities(present, self.settings.modality_dropout)
        for modality in [modality for modality in inputs if modality.has_joints]:
            poses, lengths = inputs[modality]
            layout = layout_named(self.model.config.joint_layout)
            inputs = {**inputs, modality: (augmented(poses, layout, self.settings.pose_augmentation), lengths)}
        with video_level_features(self.model) as features:
            output = self.model(inputs, present)
        terms = self._terms(output, targets, present)
        measured = torch.stack(terms).detach()
        if self.gradnorm is not None:
            measured = torch.cat((measured, gradient_norms(terms, features)))
        numbers: list[float] = self.trainer.strategy.reduce(measured, reduce_op="mean").tolist()
        losses, norms = numbers[: len(terms)], numbers[len(terms) :]
        if not all(map(math.isfinite, losses)):
            self._stop(batch, batch_index, losses)
        weights = tuple(self.loss_weights.values())
        self._add_up(losses, weights)
        # A short last batch has fewer pairs, so its sums cannot be compared with those of the first batch.
        if self.gradnorm is not None and len(batch.rows) >= self._full_batch and all(map(math.isfinite, norms)):
            self.gradnorm.update(losses, norms)
        return torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()

    def configure_optimizers(self) -> Any:
        """Adam; its rate is set at the start of each epoch."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.settings.learning_rate, fused=True)
        if self._state:
            optimizer.load_state_dict(dict(self._state.optimizer))
            self._state = None
        return optimizer

    def _terms(self, output: ViralityModelOutput, targets: Tensor, present: Tensor) -> list[Tensor]:
        if self.settings.objective == DISTRIBUTION:
            return [distribution_loss(output.embeddings.float(), targets)]
        terms = loss_terms(output, targets, present, self.settings.margin)
        return [getattr(terms, name) for name in self.term_names]

    def _of_terms(self, weights: LossWeights) -> list[float]:
        return [getattr(weights, name) for name in self.term_names]

    def _add_up(self, losses: Sequence[float], weights: Sequence[float]) -> None:
        total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        for name, loss in zip(("loss", *self.term_names), (total, *losses), strict=True):
            self.epoch_losses[name] += loss
        self.epoch_steps += 1

    def _stop(self, batch: TracedBatch, batch_index: int, losses: Sequence[float]) -> None:
        names = [self._clip_names[row] for row in batch.rows]
        found = ", ".join(f"{name} {loss}" for name, loss in zip(self.term_names, losses, strict=True))
        where = f"epoch {self.epoch + 1}, step {batch_index + 1}"
        saved = "give the run a folder to have the batch saved"
        if self._bad_batch is not None:
            path = self._bad_batch
            if self.global_rank:
                path = path.with_stem(f"{path.stem}-{self.global_rank}")
            save_batch(batch.clips, path, {"clips": "\n".join(names), "where": where, "losses": found})
            saved = f"the batch is in {path}"
        raise TrainingDiverged(
            f"{where}: a loss is not finite ({found}); clips {', '.join(names)}; {saved}. "
            "Look for extreme values in these clips, or lower learning_rate"
        )


def learning_rate(settings: TrainingSettings, epoch: float) -> float:
    """Adam's rate at ``epoch``, which is a fraction within an epoch: of the paper's steps, or of one cycle (Smith &
    Topin 2018, with cosines): from 1/25 of the highest rate up to it in the first 15 % of the epochs, then down to 0.
    """
    if settings.schedule == "steps":
        return settings.learning_rate * settings.decay ** (int(epoch) // settings.decay_epochs)
    progress = epoch / settings.epochs
    if progress < _RISE:
        return settings.learning_rate * (1 - (1 - _FIRST_RATE) * _half_cosine(progress / _RISE))
    return settings.learning_rate * _half_cosine((progress - _RISE) / (1 - _RISE))


def _half_cosine(progress: float) -> float:
    """From 1 to 0."""
    return (1 + math.cos(math.pi * progress)) / 2


def hide_modalities(present: Tensor, probability: float) -> Tensor:
    """``present`` (N, M) with each true entry made false with ``probability``; a clip that would lose all keeps all."""
    kept = present & (torch.rand(present.shape, device=present.device) >= probability)
    return torch.where(kept.any(dim=1, keepdim=True), kept, present)


def save_batch(batch: Batch, path: Path, notes: Mapping[str, str]) -> None:
    """Write ``batch`` as safetensors: ``<modality>.frames``, ``<modality>.lengths``, ``present``, ``targets``."""
    tensors = {"present": batch.present, "targets": batch.targets}
    for modality, (frames, lengths) in batch.inputs.items():
        tensors |= {f"{modality}.frames": frames, f"{modality}.lengths": lengths}
    with replacing(path) as draft:
        draft.write_bytes(
            save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(notes))
        )


def _term_names(settings: TrainingSettings) -> tuple[str, ...]:
    if settings.objective == DISTRIBUTION:
        return (DISTRIBUTION,)
    names = {"error": ("error",), "ranking": ("ranking", "stream_ranking")}
    return tuple(name for term in ("error", "ranking") if term in settings.terms for name in names[term])

"""The end of each epoch: measure, remember the best, save, and stop when patience runs out."""

import time
from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
from torch import Tensor

from networks.correlation import spearman
from networks.datasets import Sample, targets_of
from networks.evaluation import predict
from networks.loading import TracedBatch
from networks.training.errors import TrainingDiverged
from networks.training.history import EpochRow
from networks.training.optimisation import ViralityModelTraining
from networks.training.progress import TrainingProgress
from networks.training.run_folder import RunFolder
from networks.training.state import Best, TrainingState


class EpochEnd(lightning.Callback):
    """What is done between two epochs. Every device measures for itself, so all come to the same decisions.

    ``best_weights`` are the parameters and buffers of the epoch with the highest validation correlation, on the CPU.
    """

    def __init__(
        self,
        validation: Sequence[Sample],
        run: RunFolder | None,
        progress: TrainingProgress,
        state: TrainingState | None,
        best_weights: dict[str, Tensor] | None,
    ) -> None:
        self._validation = validation
        self._run = run
        self._progress = progress
        self._scaler = dict(state.scaler) if state else {}
        self.history = state.history if state else ()
        self.best = state.best if state else Best()
        self.best_weights = best_weights
        self._began = 0.0
        self._clips = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The scaling of the loss goes on where it was."""
        if self._scaler:
            trainer.precision_plugin.load_state_dict(self._scaler)
        if trainer.is_global_zero:
            self._progress.begin(pl_module.settings.epochs, int(trainer.num_training_batches), pl_module.first_epoch)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._began, self._clips = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: Any, *given: Any) -> None:
        batch: TracedBatch = given[2]
        self._clips += len(batch.rows)
        if trainer.is_global_zero:
            self._progress.step()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure, remember, save, report."""
        seconds = time.perf_counter() - self._began
        validation = self._validate(pl_module) if self._validation else None
        losses = {name: total / pl_module.epoch_steps for name, total in pl_module.epoch_losses.items()}
        row = EpochRow(
            epoch=pl_module.epoch + 1,
            loss=losses.pop("loss"),
            terms=losses,
            weights=pl_module.loss_weights,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            validation=validation,
            samples_per_s=self._clips * trainer.world_size / seconds,
        )
        self.history = (*self.history, row)
        if validation is not None and validation > self.best.validation:
            self.best = Best(pl_module.epoch, validation)
            self.best_weights = {n: t.detach().cpu().clone() for n, t in pl_module.model.state_dict().items()}
            if self._run and trainer.is_global_zero:
                self._run.save_best(pl_module.model, self.best)
        patience = pl_module.settings.patience
        stopped = validation is not None and patience is not None and pl_module.epoch - self.best.epoch >= patience
        if self._run and trainer.is_global_zero:
            self._run.save_epoch(
                TrainingState(
                    epochs_done=row.epoch,
                    model=pl_module.model.state_dict(),
                    optimizer=trainer.optimizers[0].state_dict(),
                    scaler=trainer.precision_plugin.state_dict(),
                    gradnorm=pl_module.gradnorm.state_dict() if pl_module.gradnorm else {},
                    history=self.history,
                    best=self.best,
                    stopped=stopped,
                )
            )
        if trainer.is_global_zero:
            self._progress.epoch(row)
        trainer.should_stop = trainer.should_stop or stopped

    def _validate(self, module: ViralityModelTraining) -> float:
        fused = predict(module.model, self._validation, module.settings.batch_size).fused.numpy()
        if not np.isfinite(fused).all():
            raise TrainingDiverged(
                f"epoch {module.epoch + 1}: a prediction for a validation clip is not finite; lower learning_rate"
            )
        return spearman(fused, targets_of(self._validation))

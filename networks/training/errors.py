"""Errors of a training run."""

from schemas.errors import FinalError


class TrainingDiverged(FinalError):
    """A loss or a prediction is no longer a finite number."""

    code = "training_diverged"
    remedy = "Lower the learning rate or check the data for extreme values; then start the run again."


class RunMismatch(FinalError):
    """A run that cannot be continued, because its settings or its data are not those that it was started with."""

    code = "run_mismatch"
    remedy = "Continue it with the settings and data that it was started with, or start a new run in another folder."

"""What can go wrong with a run."""

from schemas.errors import DancerankError


class TrainingDiverged(DancerankError):
    """A loss or a prediction is no finite number any more."""

    code = "training_diverged"


class RunMismatch(DancerankError):
    """A run that cannot be continued, because its settings or its data are not those that it was started with."""

    code = "run_mismatch"

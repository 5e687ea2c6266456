"""Settings of training, read without torch."""

import math
from typing import Literal, NamedTuple

import msgspec

from schemas.errors import ConfigurationError

Objective = Literal["eq14", "distribution"]
Term = Literal["error", "ranking"]
Weighting = Literal["gradnorm", "fixed"]
Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]
Schedule = Literal["steps", "one-cycle"]


class LossWeights(NamedTuple):
    """α, β and γ of Eq. (14): squared error and ranking loss of the fused score, mean ranking loss of the streams."""

    error: float = 1.0
    ranking: float = 1.0
    stream_ranking: float = 1.0


class PoseAugmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Standard deviations; zero leaves poses as they are. Impossible values raise ``ConfigurationError``."""

    rotation: float = 0.0
    """Turn of the whole clip in the image plane, in radians."""
    stretch: float = 0.0
    """Relative change of the scale of each coordinate over the whole clip."""
    noise: float = 0.0
    """Noise of each joint in each step, and once more of each joint over the clip, in mean absolute deviations of the
    clip's joints from their centre."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"pose_augmentation.{name} must be at least 0 and below 1", field=name)


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of training; defaults are the paper's, where it gives them. Invalid values raise
    ``ConfigurationError``.
    """

    epochs: int = 30
    """Epochs: passes over the training clips."""
    batch_size: int = 8
    """Clips in a batch, on each device."""
    learning_rate: float = 1e-4
    """Adam's rate at the start; with the one-cycle schedule, at its highest."""
    schedule: Schedule = "steps"
    """Schedule of the rate: multiplied by ``decay`` every ``decay_epochs``, or once up and down over all epochs."""
    decay: float = 0.5
    """Factor of the rate every ``decay_epochs``."""
    decay_epochs: int = 10
    """Epochs between two decays."""
    margin: float = 0.05
    """δ of Eq. (13)."""
    objective: Objective = "eq14"
    """Eq. (14), or learning the distribution of the score (only for the usdl network, alone)."""
    terms: tuple[Term, ...] = ("error", "ranking")
    """Which terms of Eq. (14) count: the squared error, and both ranking losses (fused and per stream)."""
    weighting: Weighting = "gradnorm"
    """How α, β and γ are set: moved by GradNorm, or left as they are."""
    weights: LossWeights = LossWeights()
    """α, β, γ: where GradNorm starts, up to a factor, or the fixed values."""
    gradnorm_restoring: float = 0.12
    """Exponent of the relative training rates in GradNorm (called α there). At 0 all gradients get one norm."""
    gradnorm_rate: float = 0.025
    """Rate of the Adam that moves GradNorm's weights."""
    initial_losses: LossWeights | None = None
    """Losses that GradNorm measures progress against; absent: those of the first batch."""
    modality_dropout: float = 0.15
    """Probability with which a modality is taken from a clip for one step (one always stays), so that the attention
    learns to work without it."""
    pose_augmentation: PoseAugmentation = PoseAugmentation()
    """How poses are turned, stretched and shaken at random in each step; by default they are not."""
    patience: int | None = None
    """Epochs without a better validation correlation after which training stops; absent: never before ``epochs``."""
    precision: Precision = "auto"
    """auto: bf16-mixed where the GPU has it, 16-mixed on other GPUs, 32 bits on the CPU."""
    devices: int | Literal["auto"] = "auto"
    """GPUs to train on at once, or processes where there is no GPU; auto: all GPUs, or one process."""
    loader_workers: int = 0
    """Processes that load clips ahead, started once per training, each with an interpreter and torch of its own (about
    2 s and 300 MB). Useful when features are read from disk; a script that sets it calls ``fit`` under
    ``if __name__ == "__main__":``."""
    seed: int = 0
    """Seed of the initial weights, the order of clips, and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "decay_epochs"):
            _require(getattr(self, name) >= 1, name, "must be at least 1")
        for name in ("learning_rate", "decay", "gradnorm_rate"):
            _require(0 < getattr(self, name) < math.inf, name, "must be above zero")
        for name in ("margin", "gradnorm_restoring", "loader_workers", "seed"):
            _require(0 <= getattr(self, name) < math.inf, name, "must not be negative")
        _require(self.seed < 1 << 63, "seed", "must be below 2^63")
        _require(0 <= self.modality_dropout < 1, "modality_dropout", "must be at least 0 and below 1")
        _require(self.patience is None or self.patience >= 1, "patience", "must be at least 1")
        _require(self.devices == "auto" or self.devices >= 1, "devices", 'must be at least 1 or "auto"')
        _require(len(set(self.terms)) == len(self.terms) > 0, "terms", "must name error, ranking or both, once")
        for name in ("weights", "initial_losses"):
            values = getattr(self, name) or ()
            _require(all(0 < value < math.inf for value in values), name, "must be above zero")


def _require(condition: bool, name: str, rule: str) -> None:
    if not condition:
        raise ConfigurationError(f"{name} {rule}", field=name)

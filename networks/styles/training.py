"""Training of the style networks by SGD with Nesterov momentum (Bendit-Shtull et al. 2020, Section 3.2)."""

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from networks.styles.clips import StyleClip, batches, collate
from networks.styles.evaluation import StyleReport, report
from networks.styles.network import StyleNetwork
from schemas.errors import ConfigurationError

MOMENTUM: Final = 0.9
LARGEST_NORM: Final = 5.0
"""Of the gradient; an LSTM on long sequences would otherwise diverge at the rates that the search tries."""

Optimizer = Literal["nesterov", "adam"]


class StyleTraining(Struct, frozen=True, kw_only=True):
    """How a style network is trained. Impossible values raise ``ConfigurationError``."""

    epochs: int = 30
    learning_rate: float = 0.01
    batch_size: int = 64
    weight_decay: float = 0.0
    optimizer: Optimizer = "nesterov"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1", field=name)
        if not 0 < self.learning_rate < math.inf:
            raise ConfigurationError("learning_rate must be above zero", field="learning_rate")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigurationError("weight_decay must not be negative", field="weight_decay")


def train_styles(
    network: StyleNetwork,
    clips: Sequence[StyleClip],
    styles: Sequence[str],
    settings: StyleTraining,
    validation: Sequence[StyleClip] = (),
) -> float | None:
    """Train ``network`` on ``clips``; class k is ``styles[k]``.

    With ``validation`` clips the network ends with the weights of the epoch with the best balanced accuracy on them,
    the first of equal ones, which is returned; without, with those of the last epoch.
    """
    generator = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    optimizer = _optimizer(network, settings)
    best: float | None = None
    kept = None
    for _ in range(settings.epochs):
        network.train()
        order = generator.permutation(len(clips)).tolist()
        for start in range(0, len(order), settings.batch_size):
            batch = collate([clips[row] for row in order[start : start + settings.batch_size]], styles)
            optimizer.zero_grad()
            torch.autograd.backward(network.loss(batch.frames, batch.lengths, batch.styles))
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_NORM)
            optimizer.step()
        if validation:
            reached = evaluate_styles(network, validation, styles).balanced_accuracy
            if best is None or reached > best:
                best, kept = reached, {name: value.clone() for name, value in network.state_dict().items()}
    if kept is not None:
        network.load_state_dict(kept)
    network.eval()
    return best


@torch.inference_mode()
def predict_styles(network: StyleNetwork, clips: Sequence[StyleClip], styles: Sequence[str]) -> list[str]:
    """The most probable style of each clip, in evaluation mode; their own are not read."""
    network.eval()
    unlabelled = [clip._replace(style=styles[0]) for clip in clips]
    logits = [network(batch.frames, batch.lengths) for batch in batches(unlabelled, styles, 64)]
    return [styles[index] for index in torch.cat(logits).argmax(1).tolist()]


def evaluate_styles(network: StyleNetwork, clips: Sequence[StyleClip], styles: Sequence[str]) -> StyleReport:
    """How ``network`` does on ``clips``."""
    return report(styles, [clip.style for clip in clips], predict_styles(network, clips, styles))


def _optimizer(network: StyleNetwork, settings: StyleTraining) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, settings.learning_rate, momentum=MOMENTUM, weight_decay=settings.weight_decay, nesterov=True
    )

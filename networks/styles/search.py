"""Random search over what the report tunes (Bendit-Shtull et al. 2020, Section 3.2); it sees validation clips only."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import torch

from networks.styles.clips import StyleClip, styles_of
from networks.styles.network import StyleNetwork
from networks.styles.preparation import sub_sampled
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM, StyleTCN
from networks.styles.training import Optimizer, StyleTraining, train_styles
from schemas.errors import ConfigurationError

SequentialKind = Literal["lstm", "attentive-lstm", "tcn"]

HIDDEN: Final = (16, 32, 64, 128)
LAYERS: Final = (3, 4, 5, 6)
WIDTHS: Final = (32, 64, 128)
BATCHES: Final = (8, 16, 32, 64)
OPTIMIZERS: Final[tuple[Optimizer, ...]] = ("nesterov", "adam")


class Candidate(NamedTuple):
    """What the random search tries: a network, made by ``build``, every how many-th frame it sees, and its training."""

    build: Callable[[], StyleNetwork]
    every: int
    training: StyleTraining
    description: str


class Chosen(NamedTuple):
    """The candidate with the best balanced accuracy on the validation clips, its trained network, and all trials."""

    candidate: Candidate
    network: StyleNetwork
    validation: float
    trials: tuple[tuple[str, float], ...]


def random_search(
    draw: Callable[[np.random.Generator], Candidate],
    clips: Sequence[StyleClip],
    train: Sequence[int],
    validation: Sequence[int],
    *,
    trials: int,
    seed: int = 0,
) -> Chosen:
    """Train ``trials`` candidates that ``draw`` draws, and keep the best by validation; no other clip is read.

    Of equally good ones the first is kept. Raises ``ConfigurationError`` without a trial.
    """
    if trials < 1:
        raise ConfigurationError("a search needs at least one trial", field="trials")
    styles = styles_of(clips)
    generator = np.random.default_rng(seed)
    best: Chosen | None = None
    reached = []
    for _ in range(trials):
        candidate = draw(generator)
        torch.manual_seed(candidate.training.seed)
        network = candidate.build()
        parts = [
            [clips[row]._replace(frames=sub_sampled(clips[row].frames, candidate.every)) for row in rows]
            for rows in (train, validation)
        ]
        accuracy = train_styles(network, parts[0], styles, candidate.training, parts[1]) or 0.0
        reached.append((candidate.description, accuracy))
        if best is None or accuracy > best.validation:
            best = Chosen(candidate, network, accuracy, ())
    if best is None:
        raise ConfigurationError("a search needs at least one trial", field="trials")
    return best._replace(trials=tuple(reached))


def draw_sequential(
    kind: SequentialKind, channels: int, styles: int, *, every: Sequence[int], epochs: int
) -> Callable[[np.random.Generator], Candidate]:
    """Draws candidates of ``kind`` that read C ``channels`` and tell ``styles`` apart.

    Sub-sampling is one of ``every``; rates are drawn evenly by their logarithm: 0.002-0.1, a tenth of that for Adam.
    """

    def draw(generator: np.random.Generator) -> Candidate:
        optimizer = OPTIMIZERS[generator.integers(len(OPTIMIZERS))]
        dropout = float(generator.uniform(0, 0.7 if kind != "tcn" else 0.3))
        rate = float(10 ** generator.uniform(np.log10(0.002), -1)) * (0.1 if optimizer == "adam" else 1.0)
        training = StyleTraining(
            epochs=epochs,
            learning_rate=rate,
            batch_size=int(generator.choice(BATCHES)),
            weight_decay=float(10 ** generator.uniform(-5, -1.5)),
            optimizer=optimizer,
            seed=int(generator.integers(2**31)),
        )
        hidden, layers, width = (int(generator.choice(choices)) for choices in (HIDDEN, LAYERS, WIDTHS))

        def build() -> StyleNetwork:
            if kind == "tcn":
                return StyleTCN(channels, styles, layers=layers, width=width, dropout=dropout)
            network = StyleLSTM if kind == "lstm" else AttentiveStyleLSTM
            return network(channels, styles, hidden=hidden, dropout=dropout)

        sizes = f"{layers} layers of {width}" if kind == "tcn" else f"hidden {hidden}"
        chosen = int(generator.choice(every))
        settings = ", ".join(f"{name} {_shown(value)}" for name, value in msgspec.structs.asdict(training).items())
        return Candidate(build, chosen, training, f"{kind}: {sizes}, dropout {dropout:.2f}, every {chosen}, {settings}")

    return draw


def _shown(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)

"""What a score does when joints move along its gradient, beside random directions and the opposite one.

Legend: T time steps, V joints, E step sizes, K directions.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.guided.scores import Critic, Networks, every_joint, in_proportion
from schemas.features import ClipFeatures
from schemas.joints import mean_absolute_deviation
from schemas.modalities import Modality
from streamer.guidance.smoothing import RAW, SMOOTHINGS, Float, smoothed

STEPS: Final = (0.001, 0.003, 0.01, 0.03, 0.1)
"""ε, as shares of the body's size."""
RANDOM: Final = "random"
OPPOSITE: Final = "against raw"
DIRECTIONS: Final = (*SMOOTHINGS, OPPOSITE, RANDOM)
_DRAWS: Final = 4
"""Random directions per clip."""
LENGTHS: Final = {"every joint": every_joint, "in proportion": in_proportion}
"""How ε is laid out: the same for each joint and frame, or in the root mean square, in proportion to the gradient."""


class Moved(NamedTuple):
    """Changes of scores, (clips, E) by way of laying out ε and direction; (clips · draws, E) for random ones.

    ``own`` are the scores of the networks whose gradient it is, ``other`` those of other networks that see the same
    clips, ``None`` without any. ``before`` are the clips' own scores.
    """

    own: Mapping[tuple[str, str], Float]
    other: Mapping[tuple[str, str], Float] | None
    before: Float


def directions(critic: Critic, positions: Float, networks: Networks) -> dict[str, Float]:
    """(T, V, 2) for each smoothing."""
    layout = networks.layout
    body = mean_absolute_deviation(positions, layout)
    return {name: smoothed(name, critic.gradient, positions, layout.edges, body=body) for name in SMOOTHINGS}


def moved(networks: Networks, clips: Iterable[ClipFeatures], of: str, other: Networks | None, seed: int) -> Moved:
    """Each clip moved along each direction by each of ``STEPS``; its other modalities stay."""
    rng = np.random.default_rng(seed)
    own: dict[tuple[str, str], list[Float]] = {}
    others: dict[tuple[str, str], list[Float]] = {}
    before: list[float] = []
    for features in clips:
        positions = features.frames[Modality.SKELETAL].astype(np.float64)
        body = mean_absolute_deviation(positions, networks.layout)
        critic = Critic(networks, features, of)
        second = None if other is None else Critic(other, features, of)
        found = directions(critic, positions, networks)
        found[OPPOSITE] = -found[RAW]
        drawn = {f"{RANDOM}{draw}": rng.standard_normal(positions.shape) for draw in range(_DRAWS)}
        start = critic.scores(positions[None])[0]
        start_of_second = None if second is None else second.scores(positions[None])[0]
        before.append(float(start))
        for way, lay_out in LENGTHS.items():
            for name, direction in (found | drawn).items():
                steps = np.array(STEPS)[:, None, None, None] * body * lay_out(direction)
                at = (way, RANDOM if name.startswith(RANDOM) else name)
                own.setdefault(at, []).append(critic.scores(positions + steps) - start)
                if second is not None:
                    others.setdefault(at, []).append(second.scores(positions + steps) - start_of_second)
    return Moved(_stacked(own), _stacked(others) if other is not None else None, np.array(before))


def rising(changes: Float) -> Float:
    """(E,): the share of clips whose score rises."""
    return np.asarray((changes > 0).mean(axis=0))


def _stacked(changes: Mapping[tuple[str, str], Sequence[Float]]) -> dict[tuple[str, str], Float]:
    return {at: np.stack(each) for at, each in changes.items()}

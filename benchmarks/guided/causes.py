"""Whether guidance points at what makes a synthetic clip's movement good: cosines with the planted directions.

Legend: T time steps, V joints.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import spearmanr

from benchmarks.guided.scores import SKELETAL, Critic, Networks, cosine
from dancerank.synthetic import Causes, Plan, PlannedClip, film, plan_clips, planted_direction
from schemas.joints import mean_absolute_deviation
from schemas.modalities import Modality
from streamer.guidance.smoothing import (
    SMOOTHGRAD,
    SMOOTHINGS,
    Float,
    GradientOf,
    along_bones,
    smoothed,
    smoothgrad,
)

CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "steadiness": ("steadiness",),
    "size": ("size",),
    "both": ("steadiness", "size"),
    "timing": ("timing",),
    "all": Causes._fields,
}
"""Planted causes, alone and together. What timing asks for is where a beat would have been that no clip shows."""
RANDOM: Final = "random"
OTHER_JOINTS: Final = "raw, joints exchanged"
STEADIER: Final = "less tremor, by hand"
LARGER: Final = "larger, by hand"
DIRECTIONS: Final = (*SMOOTHINGS, RANDOM, OTHER_JOINTS, STEADIER, LARGER)
_FILTER_STEPS: Final = 1.0


class Agreement(NamedTuple):
    """Of one direction with the planted ones, over clips: ``cosines`` (clips,) by cause; ``joints`` (clips, V) likewise
    of each joint's movement over the clip; ``ranks`` (clips,), Spearman's correlation over the joints of the mean
    magnitude with that of the planted direction; ``steady`` (clips,), the cosine of consecutive frames.
    """

    cosines: Mapping[str, Float]
    joints: Mapping[str, Float]
    ranks: Mapping[str, Float]
    steady: Float


class Causal(NamedTuple):
    """``agreement`` by direction; ``shares``, the norm of each cause's planted direction relative to that of all."""

    agreement: Mapping[str, Agreement]
    shares: Mapping[str, float]
    clips: int


def planned(clips: int, seed: int) -> tuple[list[PlannedClip], Plan]:
    """Clips with skeletons only, spread over the challenges."""
    plan = Plan(modalities=(Modality.SKELETAL,))
    return plan_clips(clips, seed=seed, plan=plan), plan


def agreement(networks: Networks, clips: Sequence[PlannedClip], plan: Plan, seed: int) -> Causal:
    """Of the directions of the skeletal score with the planted ones."""
    rng = np.random.default_rng(seed)
    cosines: dict[str, dict[str, list[float]]] = {}
    joints: dict[str, dict[str, list[Float]]] = {}
    ranks: dict[str, dict[str, list[float]]] = {}
    steady: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    for clip in clips:
        planted = {name: planted_direction(clip, plan, causes) for name, causes in CAUSES.items()}
        for name, direction in planted.items():
            shares.setdefault(name, []).append(float(np.linalg.norm(direction) / np.linalg.norm(planted["all"])))
        for name, direction in _directions(networks, clip, plan, rng).items():
            steady.setdefault(name, []).append(cosine(direction[1:], direction[:-1]))
            for cause, aim in planted.items():
                cosines.setdefault(name, {}).setdefault(cause, []).append(cosine(direction, aim))
                each = [cosine(direction[:, joint], aim[:, joint]) for joint in range(aim.shape[1])]
                joints.setdefault(name, {}).setdefault(cause, []).append(np.array(each))
                ranks.setdefault(name, {}).setdefault(cause, []).append(
                    float(spearmanr(_magnitudes(direction), _magnitudes(aim)).statistic)
                )
    found = {
        name: Agreement(
            {cause: np.array(each) for cause, each in cosines[name].items()},
            {cause: np.stack(each) for cause, each in joints[name].items()},
            {cause: np.array(each) for cause, each in ranks[name].items()},
            np.array(steady[name]),
        )
        for name in cosines
    }
    return Causal(found, {name: float(np.mean(each)) for name, each in shares.items()}, len(clips))


def _directions(networks: Networks, clip: PlannedClip, plan: Plan, rng: np.random.Generator) -> dict[str, Float]:
    features = film(clip, plan).features
    positions, layout = features.frames[Modality.SKELETAL].astype(np.float64), networks.layout
    body, critic = mean_absolute_deviation(positions, layout), Critic(networks, features, SKELETAL)
    found = {name: smoothed(name, critic.gradient, positions, layout.edges, body=body) for name in SMOOTHINGS}
    found[RANDOM] = rng.standard_normal(positions.shape)
    found[OTHER_JOINTS] = found["raw"][:, rng.permutation(positions.shape[1])]
    found[STEADIER] = gaussian_filter1d(positions, _FILTER_STEPS, axis=0, mode="nearest") - positions
    found[LARGER] = positions - positions.mean(axis=0)
    return found


def _magnitudes(direction: Float) -> Float:
    """(V,): the mean length over the frames."""
    return np.asarray(np.linalg.norm(direction, axis=2).mean(axis=0))


class Choice(NamedTuple):
    """SmoothGrad with one size of noise and number of samples, ``bones`` also along bones, on validation clips:
    ``cosines`` (clips,) by cause."""

    noise: float
    samples: int
    bones: bool
    cosines: Mapping[str, Float]

    @property
    def name(self) -> str:
        name = "raw" if self.noise == 0 else f"{SMOOTHGRAD}, noise {self.noise:g}, {self.samples} samples"
        return f"{name}, along bones" if self.bones else name


NOISES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SAMPLES: Final = (8, 32)


def choices(
    networks: Networks,
    clips: Sequence[PlannedClip],
    plan: Plan,
    noises: Sequence[float] = NOISES,
    samples: Sequence[int] = SAMPLES,
) -> list[Choice]:
    """All sizes of noise and numbers of samples, with and without bones."""
    found: dict[tuple[float, int, bool], dict[str, list[float]]] = {}
    for clip in clips:
        planted = {name: planted_direction(clip, plan, CAUSES[name]) for name in ("steadiness", "size", "both")}
        features = film(clip, plan).features
        positions = features.frames[Modality.SKELETAL].astype(np.float64)
        gradient_of: GradientOf = Critic(networks, features, SKELETAL).gradient
        body = mean_absolute_deviation(positions, networks.layout)
        for noise in noises:
            for count in samples if noise else (1,):
                if noise:
                    direction = smoothgrad(gradient_of, positions, body=body, samples=count, noise=noise)
                else:
                    direction = gradient_of(positions[None])[0]
                held = along_bones(direction, positions, networks.layout.edges)
                for bones, each in ((False, direction), (True, held)):
                    for name, aim in planted.items():
                        of_choice = found.setdefault((noise, count, bones), {})
                        of_choice.setdefault(name, []).append(cosine(each, aim))
    return [Choice(*at, {name: np.array(each) for name, each in cosines.items()}) for at, cosines in found.items()]

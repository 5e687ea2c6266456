"""The target that a model predicts: what was made of the reactions to a clip, and the parameters that were fitted.

A model of one target says nothing about another, so the target is kept in the settings of a training, its run and
checkpoint, the bundle's manifest and the name of its generation.
"""

import math
from enum import StrEnum
from typing import Final, Self

import msgspec

PARAMETERS_OF_ADJUSTMENT: Final = ("intercept", "slope")
PARAMETERS_OF_RATE: Final = ("mean_rate", "prior_views")

MOST_WEIGHT: Final = 1e6


class Target(StrEnum):
    """``eq1``: Eq. (1) of the paper, or the judged score of a data set that has one. ``per-view``: reactions per view.
    ``audience-adjusted``: Eq. (1) without what follows from the author's followers. ``vdv.targets`` has the formulas.
    """

    EQ1 = "eq1"
    PER_VIEW = "per-view"
    AUDIENCE_ADJUSTED = "audience-adjusted"


class ReactionWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one reaction counts, from 0 to ``MOST_WEIGHT``, not all 0; in Eq. (1) all count 1. Raises ``ValueError``."""

    likes: float = 1.0
    comments: float = 1.0
    reposts: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) <= MOST_WEIGHT:
                raise ValueError(f"weights.{name} is {getattr(self, name)}; give a number from 0 to {MOST_WEIGHT:,.0f}")
        if not any(getattr(self, name) for name in self.__struct_fields__):
            raise ValueError("weights are all 0; give one that is greater")


EQUAL: Final = ReactionWeights()


class TargetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The target to learn: the table ``[virality]`` of a recipe. Raises ``ValueError`` for weights in ``eq1``."""

    target: Target = Target.EQ1
    weights: ReactionWeights = EQUAL

    def __post_init__(self) -> None:
        if self.target is Target.EQ1 and self.weights != EQUAL:
            raise ValueError(
                "weights other than 1 are not Eq. (1); choose the target per-view or audience-adjusted, or remove them"
            )


class FittedTarget(TargetSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A target with the parameters that were fitted to the training clips, ``None`` where the target has none.

    ``mean_rate`` (weighted reactions per view) and ``prior_views`` (how many views it is worth) of ``per-view``;
    ``intercept`` and ``slope`` (per doubling of the followers) of ``audience-adjusted``. Raises ``ValueError`` for
    parameters that are missing, of another target, or not finite.
    """

    mean_rate: float | None = None
    prior_views: float | None = None
    intercept: float | None = None
    slope: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = {
            Target.EQ1: (),
            Target.PER_VIEW: PARAMETERS_OF_RATE,
            Target.AUDIENCE_ADJUSTED: PARAMETERS_OF_ADJUSTMENT,
        }[self.target]
        for name in (*PARAMETERS_OF_RATE, *PARAMETERS_OF_ADJUSTMENT):
            value = getattr(self, name)
            if (value is not None) != (name in needed):
                raise ValueError(f"the target {self.target} {'needs' if name in needed else 'has no'} {name}")
            if value is not None and not (math.isfinite(value) and (value > 0 or name in PARAMETERS_OF_ADJUSTMENT)):
                raise ValueError(f"{name} of the target {self.target} is {value}; it has to be finite, a rate above 0")

    def parameter(self, name: str) -> float:
        """A parameter that this target has. Raises ``KeyError`` for another."""
        value: float | None = getattr(self, name)
        if value is None:
            raise KeyError(name)
        return value

    def settings(self) -> TargetSettings:
        """What was asked for, without what was fitted."""
        return TargetSettings(target=self.target, weights=self.weights)

    def described(self) -> str:
        """For people: the target, its weights where they differ, and its parameters."""
        names = () if self.weights == EQUAL else self.weights.__struct_fields__
        parts = [f"{name} × {getattr(self.weights, name):g}" for name in names]
        parts += [
            f"{name.replace('_', ' ')} {value:.4g}"
            for name in (*PARAMETERS_OF_RATE, *PARAMETERS_OF_ADJUSTMENT)
            if (value := getattr(self, name)) is not None
        ]
        return f"{self.target} ({'; '.join(parts)})" if parts else str(self.target)

    @classmethod
    def from_json(cls, text: str | bytes | None) -> Self:
        """The inverse of ``to_json``; ``eq1`` for what was written before there were other targets.

        Raises ``msgspec.DecodeError`` for anything else.
        """
        return cls() if text is None else msgspec.json.decode(text, type=cls)

    def to_json(self) -> str:
        """One line."""
        return msgspec.json.encode(self).decode()


EQ1: Final = FittedTarget()


def generation_name(target: Target, digest: str) -> str:
    """The name of a generation: the digest of its content, behind its target where that is not ``eq1``."""
    return digest if target is Target.EQ1 else f"{target}-{digest}"


def target_of(generation: str) -> Target:
    """The target that the name of a generation says; ``eq1`` for names without one."""
    for target in Target:
        if target is not Target.EQ1 and generation.startswith(f"{target}-"):
            return target
    return Target.EQ1

"""What is planted in synthetic clips and how strongly, and which nuisances are laid over it."""

import math
from dataclasses import dataclass
from typing import Final

from schemas.errors import ConfigurationError
from schemas.events import MIN_DURATION_S
from schemas.modalities import MAX_DURATION_S, PAPER_MODALITIES, Modality

Weights = tuple[float, float, float, float]

IMPORTANCE: Final[tuple[Weights, ...]] = (
    (0.46, 0.28, 0.17, 0.09),
    (0.09, 0.46, 0.28, 0.17),
    (0.17, 0.09, 0.46, 0.28),
    (0.28, 0.17, 0.09, 0.46),
    (0.46, 0.09, 0.28, 0.17),
    (0.28, 0.46, 0.09, 0.17),
    (0.09, 0.28, 0.46, 0.17),
    (0.17, 0.28, 0.09, 0.46),
)
"""Weight of each of ``PAPER_MODALITIES`` in a challenge's virality. No two of a challenge are equal; each modality
leads in two."""

CHALLENGES: Final = len(IMPORTANCE)


@dataclass(frozen=True)
class Plan:
    """Causes and nuisances of synthetic clips.

    *Causes*: ``importance``, the weight of each modality's quality in each challenge's virality, (challenge, modality);
    ``virality_noise``, what virality has besides, in standard deviations of a quality.

    *Nuisances*, without signal: ``shortest_s`` and ``longest_s``, in seconds, between which a clip's length is uniform;
    ``tempo_spread``, by which a clip plays its choreography faster or slower (standard deviation of the logarithm);
    ``joint_noise``, the most by which joints tremble besides the dancer's own tremor (in torso lengths; each clip has
    its own level); ``pose_failure_share`` of the clips, in which the pose failed for moments and was interpolated;
    ``missing_face_share`` of the clips, which have no facial features; ``lucky_share`` of the clips, whose reactions
    are doubled by chance alone, an exponentially distributed number of times with a mean of ``luck_doublings``: Eq. 1
    then has a long tail, as when somebody famous passes a clip on.

    ``dancers`` is their number, ``None`` one for every five clips. ``modalities`` are those that get features; virality
    depends on all four nevertheless. ``channels``: widths of modalities whose features are not as wide as the paper's,
    as other extractors give them. Raises ``ConfigurationError`` naming the field that cannot be.
    """

    dancers: int | None = None
    shortest_s: float = 5.0
    longest_s: float = 15.0
    missing_face_share: float = 0.1
    tempo_spread: float = 0.05
    joint_noise: float = 0.02
    pose_failure_share: float = 0.1
    lucky_share: float = 0.0
    luck_doublings: float = 4.0
    modalities: tuple[Modality, ...] = PAPER_MODALITIES
    channels: tuple[tuple[Modality, int], ...] = ()
    importance: tuple[Weights, ...] = IMPORTANCE
    virality_noise: float = 0.25

    def __post_init__(self) -> None:
        if self.dancers is not None and self.dancers < 1:
            raise _refused("dancers", self.dancers, "1 or more")
        if not MIN_DURATION_S <= self.shortest_s <= self.longest_s <= MAX_DURATION_S:
            lengths = f"{self.shortest_s:g} to {self.longest_s:g} s"
            raise _refused("shortest_s", lengths, f"lengths from {MIN_DURATION_S:g} to {MAX_DURATION_S:g} s, in order")
        for share in ("missing_face_share", "pose_failure_share", "lucky_share"):
            if not 0 <= getattr(self, share) <= 1:
                raise _refused(share, getattr(self, share), "a number from 0 to 1")
        for strength in ("tempo_spread", "joint_noise", "luck_doublings", "virality_noise"):
            if not 0 <= getattr(self, strength) < math.inf:
                raise _refused(strength, getattr(self, strength), "a number, 0 or more")
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise _refused("modalities", ", ".join(self.modalities) or "none", "one or more, each once")
        if self.modalities == (Modality.FACIAL,) and self.missing_face_share > 0:
            raise _refused("modalities", "facial alone", "another with it, or a missing_face_share of 0")
        if any(modality.has_joints or width < 1 for modality, width in self.channels):
            raise _refused("channels", dict(self.channels), "1 or more for each modality without joints")
        self._check_importance()

    def spread(self, challenge: int) -> float:
        """Standard deviation of virality in the challenge of that index, over all dancers and clips."""
        return math.hypot(*self.importance[challenge], self.virality_noise)

    def _check_importance(self) -> None:
        for weights in self.importance:
            if len(weights) != len(PAPER_MODALITIES) or not all(0 <= w < math.inf for w in weights) or not any(weights):
                wanted = f"{len(PAPER_MODALITIES)} weights of 0 or more for each challenge, one of them above 0"
                raise _refused("importance", weights, wanted)
        if len(self.importance) != CHALLENGES:
            raise _refused("importance", f"{len(self.importance)} rows", f"one for each of {CHALLENGES} challenges")


STANDARD: Final = Plan()
"""The synthetic world as the demonstration and the bundle that ships know it."""


def challenge_id(challenge: int) -> str:
    """The id of the challenge of that index: ``challenge-1`` is the first."""
    return f"challenge-{challenge + 1}"


def _refused(field: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"{field} of the synthetic clips is {value}; give {wanted}", field=field)

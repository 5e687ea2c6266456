"""The seconds that made the score of a routine: its attention over time, and the heaviest moments apart.

Legend: P parts of the attention, T steps at ``rate_hz``, N instances of a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.errors import QueryError
from schemas.events import TemporalAttention

DEFAULT_MOMENTS: Final = 5
MOST_MOMENTS: Final = 20
DEFAULT_APART_S: Final = 5.0
MOST_APART_S: Final = 600.0

DYNAMIC: Final = "dynamic"
_FRAMES: Final = 16
_FRAME_RATE_HZ: Final = 5
SEGMENT_S: Final = _FRAMES / _FRAME_RATE_HZ
"""Length of the segments that ACTION-NET's dynamic attention is over: 16 frames at 5 fps."""
_TOLERANCE_S: Final = 1e-6


class Instance(NamedTuple):
    """What one weight of a part is of: a segment of the dynamic attention, a step of others. The last segment may end
    after the routine.
    """

    start_s: float
    end_s: float
    weight: float


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A segment or a second that counts. ``weight`` is its share of the attention of its ``part``; ``times_equal``
    compares parts: that weight over the one that it had if the part attended to all of its instances alike.
    """

    part: str
    start_s: float
    end_s: float
    weight: float
    times_equal: float


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What counted in the score of a routine. ``weights``: by part, one for each of T steps at ``rate_hz``, ``seconds``
    long together; those of a part sum to 1, and the steps of a segment share its weight. ``moments``: the heaviest
    first.
    """

    modality: str
    rate_hz: float
    seconds: float
    parts: list[str]
    weights: dict[str, list[float]]
    moments: list[Moment]


@dataclass(frozen=True, kw_only=True)
class ClipMoments(Moments):
    """Likewise, of a clip that was uploaded, with its ``score`` by ``generation``."""

    clip_id: str
    generation: str
    score: float


def instances(part: str, weights: Sequence[float], rate_hz: float) -> list[Instance]:
    """The instances (N,) of a part, from the ``weights`` (T,) of its steps; a step belongs to the segment that it
    begins in.
    """
    if part != DYNAMIC:
        return [Instance(step / rate_hz, (step + 1) / rate_hz, weight) for step, weight in enumerate(weights)]
    sums: dict[int, float] = {}
    for step, weight in enumerate(weights):
        segment = int(_FRAME_RATE_HZ * step / (_FRAMES * rate_hz))
        sums[segment] = sums.get(segment, 0.0) + weight
    return [
        Instance(_FRAMES * segment / _FRAME_RATE_HZ, _FRAMES * (segment + 1) / _FRAME_RATE_HZ, weight)
        for segment, weight in sums.items()
    ]


def heaviest(
    weights: Mapping[str, Sequence[float]],
    rate_hz: float,
    count: int = DEFAULT_MOMENTS,
    apart_s: float = DEFAULT_APART_S,
) -> list[Moment]:
    """At most ``count`` moments of all parts, with ``apart_s`` seconds or more between any two.

    The instance with the greatest ``times_equal`` comes first, then the greatest of those that are far enough from it,
    and so on; of equal ones the earlier, and then that of the earlier part. What has no weight is not a moment.
    """
    found: list[Moment] = []
    for part, of_part in weights.items():
        ends_s, over = len(of_part) / rate_hz, instances(part, of_part, rate_hz)
        found += (
            Moment(
                part=part,
                start_s=start_s,
                end_s=min(end_s, ends_s),
                weight=weight,
                times_equal=weight * len(over),
            )
            for start_s, end_s, weight in over
            if weight > 0
        )
    chosen: list[Moment] = []
    for moment in sorted(found, key=lambda one: (-one.times_equal, one.start_s)):
        if len(chosen) == count:
            break
        if all(_between_s(moment, other) >= apart_s - _TOLERANCE_S for other in chosen):
            chosen.append(moment)
    return chosen


def check_moments(count: int, apart_s: float) -> None:
    """Raises ``QueryError`` naming the parameter."""
    if not 1 <= count <= MOST_MOMENTS:
        raise QueryError(f"count is {count}; expected 1 to {MOST_MOMENTS}", field="count")
    if not 0 <= apart_s <= MOST_APART_S:
        raise QueryError(f"apart_s is {apart_s}; expected 0 to {MOST_APART_S:g}", field="apart_s")


def _between_s(one: Moment, other: Moment) -> float:
    """Seconds from the end of the earlier to the start of the later; negative where they overlap."""
    return max(one.start_s, other.start_s) - min(one.end_s, other.end_s)


def moments_of(attention: TemporalAttention, count: int = DEFAULT_MOMENTS, apart_s: float = DEFAULT_APART_S) -> Moments:
    """What ``attention`` says, with its heaviest moments."""
    weights = {part: of_part.astype(float).tolist() for part, of_part in attention.arrays().items()}
    return Moments(
        modality=str(attention.modality),
        rate_hz=attention.rate_hz,
        seconds=attention.steps / attention.rate_hz,
        parts=list(attention.parts),
        weights=weights,
        moments=heaviest(weights, attention.rate_hz, count, apart_s),
    )

"""The world of one seed: who uploads what and when, how good it is, and what is predicted of it. Legend: N clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dancerank.simulation.standings import Standings
from ranking.monitoring.correlation import mean_ranks
from ranking.pools.state import Rated
from schemas.errors import ConfigurationError
from schemas.modalities import Dimension

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

DAY_MS: Final = 86_400_000
BEFORE: Final = 0.2
"""Share of the clips that came before the simulated period."""
LEAST_RATE: Final = 0.0001
MOST_RATE: Final = 0.5
"""Reactions per view of the worst and of the best clip that can be."""
MEDIAN_RATE: Final = 0.04
"""Reactions per view of a challenge's median clip; the counts of synthetic clips have 24 impressions for each
reaction.
"""
FEWEST_CLIPS: Final = 20
MOST_DAYS: Final = 366


class Clip(NamedTuple):
    """An upload: ``scores`` are what was predicted, ``virality`` is Eq. 1 of what came of it."""

    clip_id: str
    dancer_id: str
    challenge_id: str
    scores: Mapping[Dimension, float]
    virality: float


@dataclass(frozen=True)
class World:
    """``clips`` came in the simulated period, in their order, at ``arrivals_ms`` (N,) since its start.

    ``rates`` (N,) are true reaction rates, ``percentiles`` (N,) those of the eventual virality within the challenge,
    among these clips; ``rated`` is what the pools learn of each; ``newcomers`` are dancers without a clip before.
    """

    seed: int
    days: float
    clips: tuple[Clip, ...]
    arrivals_ms: Int64
    rates: Float64
    percentiles: Float64
    rated: tuple[Rated, ...]
    newcomers: frozenset[str]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def end_ms(self) -> int:
        """When the last uploads come."""
        return round(self.days * DAY_MS)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Index of each clip by its id."""
        return {clip.clip_id: index for index, clip in enumerate(self.clips)}

    @cached_property
    def lots(self) -> Float64:
        """A random number in [0, 1) for each clip, (N,), for decisions by chance."""
        return generator(self.seed, "lots").random(len(self))

    def top(self, share: float) -> npt.NDArray[np.bool_]:
        """Which clips end up among the best ``share`` of their challenge, (N,)."""
        found: npt.NDArray[np.bool_] = self.percentiles > 100 * (1 - share)
        return found


def make_world(
    clips: Sequence[Clip],
    *,
    seed: int,
    days: float,
    median_rate: float = MEDIAN_RATE,
    uploaded_at_ms: Sequence[int] | None = None,
) -> World:
    """The world of ``clips``, in the order of their upload, of which the first came before the simulated period.

    The others arrive within ``days``: at random times, or, of recorded times, in proportion to these. Raises
    ``ConfigurationError`` for numbers that cannot be, or too few clips.
    """
    check_world(len(clips), days=days, median_rate=median_rate)
    before = int(BEFORE * len(clips))
    past, present = clips[:before], tuple(clips[before:])
    end_ms = round(days * DAY_MS)
    if uploaded_at_ms is None:
        arrivals_ms = np.sort(generator(seed, "arrivals").integers(end_ms, size=len(present)))
    else:
        arrivals_ms = _spread(uploaded_at_ms[before:], end_ms)
    virality = np.array([clip.virality for clip in clips])
    challenges = [clip.challenge_id for clip in clips]
    return World(
        seed=seed,
        days=days,
        clips=present,
        arrivals_ms=arrivals_ms,
        rates=reaction_rates(virality, challenges, median_rate)[before:],
        percentiles=eventual_percentiles(virality[before:], challenges[before:]),
        rated=_rated(past, present, arrivals_ms),
        newcomers=frozenset({clip.dancer_id for clip in present} - {clip.dancer_id for clip in past}),
    )


def check_world(clips: int, *, days: float, median_rate: float) -> None:
    """Raises ``ConfigurationError`` unless a world can be made of so many clips with these numbers."""
    if not 0 < days <= MOST_DAYS:
        raise ConfigurationError(
            f"a simulated period of {days:g} days cannot be; give up to {MOST_DAYS} days", field="days"
        )
    if not LEAST_RATE <= median_rate <= MOST_RATE:
        raise ConfigurationError(
            f"a median rate of {median_rate:g} cannot be; give {LEAST_RATE:g} to {MOST_RATE:g} reactions per view",
            field="median_rate",
        )
    if clips < FEWEST_CLIPS:
        raise ConfigurationError(f"{clips} clips are too few to replay; give at least {FEWEST_CLIPS}", field="clips")


def reaction_rates(virality: Float64, challenges: Sequence[str], median_rate: float = MEDIAN_RATE) -> Float64:
    """Reactions per view of clips whose Eq. 1 is ``virality``, (N,) to (N,): doubled by every unit above the median of
    the challenge, within ``LEAST_RATE`` and ``MOST_RATE``.
    """
    names, group = np.unique(np.asarray(challenges), return_inverse=True)
    medians = np.array([np.median(virality[group == index]) for index in range(len(names))])
    doublings = np.clip(virality - medians[group], -60, 60)
    rates: Float64 = np.clip(median_rate * 2.0**doublings, LEAST_RATE, MOST_RATE)
    return rates


def eventual_percentiles(virality: Float64, challenges: Sequence[str]) -> Float64:
    """Percentile of each clip within its challenge, (N,), in percent, as ``ranking.scores.ranks.place`` gives it."""
    percentiles = np.zeros(len(virality))
    for name in set(challenges):
        rows = np.array([challenge == name for challenge in challenges])
        percentiles[rows] = 100 * (mean_ranks(virality[rows].tolist()) - 0.5) / rows.sum()
    return percentiles


def generator(seed: int, purpose: str, *number: Any) -> np.random.Generator:
    """Random numbers of the world for one purpose; each has its own, so that none disturbs another."""
    return np.random.default_rng([seed, ("arrivals", "reactions", "lots").index(purpose), *number, 1])


def _rated(past: Sequence[Clip], present: Sequence[Clip], arrivals_ms: Int64) -> tuple[Rated, ...]:
    standings = Standings()
    for clip in past:
        standings.place(clip.challenge_id, clip.scores)
    return tuple(
        Rated(
            clip_id=clip.clip_id,
            dancer_id=clip.dancer_id,
            challenge_id=clip.challenge_id,
            percentiles=standings.place(clip.challenge_id, clip.scores),
            challenge_clips=standings.clips(clip.challenge_id),
            at_ms=at_ms,
        )
        for clip, at_ms in zip(present, arrivals_ms.tolist(), strict=True)
    )


def _spread(recorded_ms: Sequence[int], end_ms: int) -> Int64:
    """Recorded times, in order, stretched or squeezed into the period; evenly if they are all one moment."""
    since = np.asarray(recorded_ms, np.float64) - recorded_ms[0]
    share = since / since[-1] if since[-1] else np.arange(len(since)) / len(since)
    return np.minimum((share * end_ms).astype(np.int64), end_ms - 1)

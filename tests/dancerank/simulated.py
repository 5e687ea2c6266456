"""Small worlds and policies for tests of the simulation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dancerank.simulation.world import Clip, World, make_world
from ranking.pools.policy import Exploration, Nomination, Policy, Tier
from schemas.modalities import Dimension

HOUR_S = 3600


def some_clips(count: int = 160, *, dancers: int = 40, challenges: int = 3, seed: int = 0) -> list[Clip]:
    """Clips whose fused score says something of their virality and whose skeletal score says less."""
    rng = np.random.default_rng(seed)
    virality = rng.normal(12, 1.5, count)
    fused, skeletal = (virality + spread * rng.normal(size=count) for spread in (1.0, 3.0))
    return [
        Clip(
            f"clip-{i}",
            f"dancer-{rng.integers(dancers)}",
            f"challenge-{i % challenges}",
            {Dimension.FUSED: float(fused[i]), Dimension.SKELETAL: float(skeletal[i])},
            float(virality[i]),
        )
        for i in range(count)
    ]


def small_world(clips: Sequence[Clip] | None = None, *, seed: int = 1, days: float = 2.0, **made: Any) -> World:
    return make_world(some_clips() if clips is None else clips, seed=seed, days=days, **made)


def small_policy(**changed: Any) -> Policy:
    """Three tiers whose budgets are too small for all that come."""
    tiers = (
        Tier(name="first", exposures=100, capacity=1500, least_views=80, gate=0.04, stay_s=12 * HOUR_S),
        Tier(name="second", exposures=500, capacity=2500, least_views=400, gate=0.06, floor=0.02, stay_s=24 * HOUR_S),
        Tier(name="third", exposures=2000, capacity=6000, least_views=2000, floor=0.05, stay_s=24 * HOUR_S),
    )
    values: dict[str, Any] = {
        "version": "small-1",
        "window_s": 6 * HOUR_S,
        "tiers": tiers,
        "nomination": Nomination(thresholds={Dimension.FUSED: 60.0, Dimension.SKELETAL: 90.0}, fewest_clips=5),
        "exploration": Exploration(share=0.2),
    }
    return Policy(**(values | changed))

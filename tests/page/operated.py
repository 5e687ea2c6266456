"""Systems in which the traffic pools have decided and the model was measured for some days."""

from typing import Final

import msgspec
import numpy as np

from dancerank.policies import read_policy, shipped_policy
from ranking.database.connection import Database
from ranking.monitoring.calibration import BINS, CalibrationBin
from ranking.monitoring.measurements import Details, Measured, Measurements, Summary
from ranking.pools.policy import Policy
from schemas.clock import SystemClock
from schemas.modalities import DIMENSIONS, FUSED_MODALITIES, Dimension
from schemas.observation import Agreement, Calibration, Drift
from tests.page.systems import CHALLENGES, CLIPS
from tests.ranking.pools.examples import engaged, plain, rated, removed
from tests.ranking.pools.rows import Pools

_HOUR_MS: Final = 3_600_000
POLICY: Final[Policy] = msgspec.structs.replace(read_policy(shipped_policy()), version='four-"tiers"-<1>')


def decide(database: Database, *, days: int = 3, seed: int = 3) -> Pools:
    """Clips come to the pools for some days, are shown and reacted to; the latest was decided about just now."""
    rng, now_ms = np.random.default_rng(seed), SystemClock().now_ms()
    pools = Pools(database, POLICY)
    start_ms = now_ms - days * 24 * _HOUR_MS
    for number in range(CLIPS):
        clip_id, at_ms = f"clip-{number:03}", start_ms + number * (days * 24 * _HOUR_MS // CLIPS)
        dancer = {"dancer_id": f"dancer-{number % 9}", "challenge_id": CHALLENGES[number % 3]}
        event = plain if number % 4 == 0 else rated
        pools.handle(event(clip_id, at_ms=at_ms, **dancer))
        if number % 4:
            views = int(rng.integers(90, 400))
            pools.handle(engaged(clip_id, int(views * rng.beta(2, 12)), views, at_ms=at_ms + _HOUR_MS))
    pools.handle(removed("clip-003", at_ms=now_ms))
    pools.write(published=len(pools.decisions) - 2)
    return pools


def measure(database: Database, *, count: int = 40, generation: str = "g1", seed: int = 4) -> None:
    """Two measurements an hour up to now, in which the scenic score drifts."""
    rng, now_ms = np.random.default_rng(seed), SystemClock().now_ms()
    measurements = Measurements(database)
    quality = dict(zip(DIMENSIONS, (0.55, 0.2, 0.4, 0.3, 0.25, 0.35), strict=True))
    for number in range(count):
        found = {each: quality[each] + rng.normal(0, 0.02) for each in DIMENSIONS}
        agreements = [
            Agreement(challenge_id, each, float(np.clip(value + rng.normal(0, 0.1), -1, 1)), 40)
            for challenge_id in CHALLENGES
            for each, value in found.items()
        ]
        drift = Drift(
            {each: 0.02 + (0.01 * number if each is Dimension.SCENIC else 0.0) for each in DIMENSIONS},
            dict.fromkeys(FUSED_MODALITIES, 0.03),
            dict.fromkeys(FUSED_MODALITIES, 1.02),
            1000,
            1000,
        )
        summary = Summary(
            [Agreement(None, each, value, 120) for each, value in found.items()],
            [Calibration(each, 0.05, 0.12) for each in DIMENSIONS],
            drift,
        )
        bins = {each: [_bin(number, rng) for number in range(BINS)] for each in DIMENSIONS}
        at_ms = now_ms - (count - 1 - number) * _HOUR_MS // 2
        measurements.add(generation, Measured(at_ms, summary, Details(agreements, bins)))


def _bin(number: int, rng: np.random.Generator) -> CalibrationBin:
    clips = int(rng.integers(0, 40))
    middle = (number + 0.5) / BINS
    observed = float(np.clip(0.2 + 0.6 * middle, 0, 1))
    return CalibrationBin(clips, middle, observed) if clips else CalibrationBin(0, None, None)

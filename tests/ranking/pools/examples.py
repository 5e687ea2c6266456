"""A small policy, and events, for the tests of the pools."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Caps, Exploration, Nomination, Policy, Tier
from ranking.pools.state import Engaged, Explored, PooledClip, Rated, Removed, Reviewed
from schemas.events import PoolDecision
from schemas.modalities import Dimension

FOUR_TIERS = (resources.files("dancerank") / "policies" / "four-tiers.toml").read_text("utf-8")

WINDOW_S = 100
WINDOW_MS = WINDOW_S * 1000
STAY_S = 250

TIERS = (
    Tier(name="t1", exposures=100, capacity=1000, least_views=100, gate=0.1, floor=0.02, stay_s=STAY_S),
    Tier(name="t2", exposures=400, capacity=1200, least_views=400, gate=0.2, floor=0.1, stay_s=STAY_S),
    Tier(name="t3", exposures=1000, capacity=2000, least_views=1200, floor=0.15, stay_s=STAY_S),
)

POLICY = Policy(
    version="p1",
    window_s=WINDOW_S,
    tiers=TIERS,
    nomination=Nomination(thresholds={Dimension.FUSED: 80, Dimension.SKELETAL: 90, Dimension.SCENIC: 95}),
    exploration=Exploration(share=0.3),
    caps=Caps(dancer=0.7, challenge=0.9),
)


def policy(**changes: Any) -> Policy:
    """``POLICY`` with other parts."""
    fields = {name: getattr(POLICY, name) for name in Policy.__struct_fields__}
    return Policy(**(fields | changes))


def tiers(**changes: Mapping[str, Any]) -> tuple[Tier, ...]:
    """``TIERS`` with other values: ``tiers(t1={"capacity": 100})``."""
    return tuple(msgspec.structs.replace(tier, **changes.get(tier.name, {})) for tier in TIERS)


def rated(clip_id: str = "c1", *, at_ms: int = 0, **changes: Any) -> Rated:
    """Nominated by its fused score, of 90, unless ``percentiles`` say otherwise."""
    fields: dict[str, Any] = {
        "dancer_id": f"dancer-of-{clip_id}",
        "challenge_id": f"challenge-of-{clip_id}",
        "percentiles": {Dimension.FUSED: 90.0},
        "challenge_clips": 50,
    }
    return Rated(clip_id=clip_id, at_ms=at_ms, **(fields | changes))


def plain(clip_id: str = "c1", *, at_ms: int = 0, **changes: Any) -> Rated:
    """Not nominated."""
    return rated(clip_id, at_ms=at_ms, **({"percentiles": {Dimension.FUSED: 50.0}} | changes))


def engaged(
    clip_id: str = "c1", reactions: int = 0, views: int | None = 0, *, at_ms: int, observed_at_ms: int | None = None
) -> Engaged:
    moment_ms = at_ms if observed_at_ms is None else observed_at_ms
    return Engaged(clip_id=clip_id, observed_at_ms=moment_ms, reactions=reactions, views=views, at_ms=at_ms)


def reviewed(clip_id: str = "c1", *, at_ms: int) -> Reviewed:
    return Reviewed(clip_id=clip_id, at_ms=at_ms)


def explored(clip_id: str = "c1", *, at_ms: int) -> Explored:
    return Explored(clip_id=clip_id, at_ms=at_ms)


def removed(clip_id: str = "c1", *, at_ms: int) -> Removed:
    return Removed(clip_id=clip_id, at_ms=at_ms)


def known(ledger: PoolLedger, clip_id: str = "c1") -> PooledClip:
    clip = ledger.clip(clip_id)
    assert clip is not None
    return clip


def only(decisions: tuple[PoolDecision, ...]) -> PoolDecision:
    (decision,) = decisions
    return decision


def in_tier_2(ledger: PoolLedger, clip_id: str = "c1") -> None:
    """Nominated at 0 ms and promoted at 10 ms."""
    ledger.handle(rated(clip_id))
    ledger.handle(engaged(clip_id, 30, 100, at_ms=10))
    assert known(ledger, clip_id).tier == "t2"

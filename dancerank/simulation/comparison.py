"""Policies and references in the same worlds. Legend: N clips of a world."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dancerank.console.progress import OnProgress
from dancerank.simulation.audience import Grant, Reactions
from dancerank.simulation.measures import Measures, measure
from dancerank.simulation.references import exposures_of, oracle, popularity_only, uniform
from dancerank.simulation.replay import replay
from dancerank.simulation.world import Int64, World
from ranking.pools.policy import Policy
from schemas.errors import ConfigurationError

POLICY: Final = "policy"
ALLOCATIONS: Final = (POLICY, "popularity only", "uniform", "oracle")


class Allocation(NamedTuple):
    """Impressions of each clip, ``exposures`` (N,), and the measures of this allocation."""

    grants: tuple[Grant, ...]
    exposures: Int64
    measures: Measures


class TierUse(NamedTuple):
    """What a tier granted in the windows in which clips were uploaded, what it could have, and to how many entries."""

    entries: int
    granted: int
    capacity: int


@dataclass(frozen=True)
class Outcome:
    """One policy in one world: ``allocations`` by name, its own under ``POLICY``; ``tiers`` in the policy's order."""

    world: World
    policy: Policy
    allocations: dict[str, Allocation]
    tiers: tuple[TierUse, ...]
    rules: Counter[str]


def compare(
    worlds: Sequence[World], policies: Sequence[Policy], on_progress: OnProgress, *, most_reactions: int | None = None
) -> list[list[Outcome]]:
    """By policy, then by world. Equal arguments give equal outcomes. ``most_reactions``: as of ``Reactions``, in each
    world.
    """
    by_policy: list[list[Outcome]] = [[] for _ in policies]
    done, total = 0, len(worlds) * len(policies)
    for world in worlds:
        reactions = Reactions(world, most_reactions)
        for policy, outcomes in zip(policies, by_policy, strict=True):
            outcomes.append(outcome(world, policy, reactions))
            done += 1
            on_progress("Replaying", done, total)
    return by_policy


def outcome(world: World, policy: Policy, reactions: Reactions) -> Outcome:
    """``policy`` in ``world``, and the references with the impressions that it granted.

    Raises ``ConfigurationError`` if it granted none: then there is nothing to compare.
    """
    replayed = replay(world, policy, reactions)
    if not replayed.grants:
        largest = max(Counter(clip.challenge_id for clip in world.clips).values())
        raise ConfigurationError(
            f"policy {policy.version} granted no impressions to the {len(world)} clips of seed {world.seed}; the "
            f"largest challenge has {largest}, and nomination.fewest_clips is {policy.nomination.fewest_clips}: give "
            "more clips, or a share to explore",
            field="policy",
        )
    grants = {
        POLICY: replayed.grants,
        "popularity only": popularity_only(world, replayed.grants, reactions),
        "uniform": uniform(world, replayed.grants),
        "oracle": oracle(world, replayed.grants, policy),
    }
    tiers = tier_use(world, policy, replayed.grants)
    use = sum(tier.granted for tier in tiers) / sum(tier.capacity for tier in tiers)
    exposures = {name: exposures_of(world, given) for name, given in grants.items()}
    allocations = {
        name: Allocation(given, exposures[name], measure(world, exposures[name], oracle=exposures["oracle"], use=use))
        for name, given in grants.items()
    }
    return Outcome(world, policy, allocations, tiers, replayed.rules)


def tier_use(world: World, policy: Policy, grants: Sequence[Grant]) -> tuple[TierUse, ...]:
    """Each tier's grants in the windows that begin before the last upload, and the capacity of these."""
    windows = -(-world.end_ms // policy.window_ms)
    used = [
        [g for g in grants if g.tier == tier and g.at_ms < windows * policy.window_ms]
        for tier in range(len(policy.tiers))
    ]
    return tuple(
        TierUse(len(found), sum(grant.exposures for grant in found), windows * tier.capacity)
        for tier, found in zip(policy.tiers, used, strict=True)
    )

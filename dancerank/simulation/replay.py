"""A world's uploads and engagement under one policy: the pools' own state machine, with simulated time."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from dancerank.simulation.audience import REPORT_MS, Audience, Grant, Reactions
from dancerank.simulation.world import World
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import MS, Policy
from ranking.pools.state import Budget, Engaged
from schemas.events import PoolDecision


class Replayed(NamedTuple):
    """What a policy did: its ``grants`` in the order of time, the impressions ``spent`` by budget, decisions by
    rule.
    """

    grants: tuple[Grant, ...]
    spent: dict[Budget, int]
    rules: Counter[str]


def replay(world: World, policy: Policy, reactions: Reactions) -> Replayed:
    """Take ``world`` through the pools, from its first upload until nothing is left to decide."""
    ledger, audience = PoolLedger(policy), Audience(world, reactions)
    grants: list[Grant] = []
    rules: Counter[str] = Counter()

    def note(decisions: Iterable[PoolDecision]) -> None:
        for decision in decisions:
            rules[decision.rule] += 1
            if decision.exposures and decision.tier is not None:
                clip, tier = world.positions[decision.clip_id], policy.index(decision.tier)
                grants.append(Grant(decision.decided_at_ms, clip, tier, decision.exposures))
                audience.grant(grants[-1])

    uploads = iter(world.rated)
    upload = next(uploads, None)
    last_ms = world.end_ms + sum(tier.stay_s for tier in policy.tiers) * MS
    at_ms = 0
    while at_ms < last_ms:
        at_ms += REPORT_MS
        while upload is not None and upload.at_ms <= at_ms:
            note(ledger.handle(upload))
            upload = next(uploads, None)
        for clip in audience.report(at_ms):
            note(ledger.handle(_engaged(world, audience, clip, at_ms)))
        note(ledger.round(at_ms))
        if upload is None and audience.is_idle and not ledger.waiting() and not ledger.candidates():
            break
    return Replayed(tuple(grants), ledger.budgets(), rules)


def _engaged(world: World, audience: Audience, clip: int, at_ms: int) -> Engaged:
    return Engaged(
        clip_id=world.clips[clip].clip_id,
        observed_at_ms=at_ms,
        reactions=int(audience.reactions[clip]),
        views=int(audience.views[clip]),
        at_ms=at_ms,
    )

"""An independent model of the pools: follows them by events and decisions alone, and checks every decision.

It shares no code with the pools. A bound is compared with a gate by the score test that it comes from, n (p̂ − g)² ≥
z² g (1 − g), without the interval itself.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy, Tier
from ranking.pools.state import Budget, Engaged, Explored, PoolEvent, Rated, Removed, Reviewed
from schemas.events import PoolDecision

Z_95 = 1.6448536269514722
"""Of the policy's confidence of 0.95."""


@dataclass
class Account:
    """What the model knows of one clip."""

    dancer: str = ""
    challenge: str = ""
    tier: str | None = None
    decisions: int = 0
    granted: int = 0
    deleted: bool = False
    waits_since_decision: bool = False
    observed: list[tuple[int, int, int | None]] = field(default_factory=list)

    def seen(self) -> tuple[int, int]:
        """Reactions and impressions: of each the latest known."""
        if not self.observed or self.deleted:
            return 0, 0
        reactions = max((at_ms, count) for at_ms, count, _ in self.observed)[1]
        views = max(((at_ms, views) for at_ms, _, views in self.observed if views is not None), default=None)
        shown = self.granted if views is None else views[1]
        return min(reactions, shown), shown

    def knows_views(self) -> bool:
        return any(views is not None for _, _, views in self.observed)

    def observe(self, event: Engaged) -> bool:
        """Keep what could still count; says whether the event does."""
        before = self._counting()
        self.observed.append((event.observed_at_ms, event.reactions, event.views))
        self.observed = [each for each in self._counting() if each is not None]
        return self._counting() != before

    def _counting(self) -> list[tuple[int, int, int | None] | None]:
        latest = max(((at_ms, count, None) for at_ms, count, _ in self.observed), default=None)
        viewed = max(((at_ms, 0, views) for at_ms, _, views in self.observed if views is not None), default=None)
        return [latest, viewed]


class ReferencePools:
    """A ledger whose every step is checked; ``rules`` counts what was decided."""

    def __init__(self, policy: Policy) -> None:
        self.ledger = PoolLedger(policy)
        self.policy = policy
        self.accounts: dict[str, Account] = {}
        self.spent: Counter[tuple[str, ...]] = Counter()
        self.rules: Counter[str] = Counter()
        self.journal: list[PoolEvent] = []
        self.decisions: list[PoolDecision] = []

    def handle(self, event: PoolEvent) -> None:
        self.journal.append(event)
        decisions = self.ledger.handle(event)
        assert len(decisions) <= 1
        decision = decisions[0] if decisions else None
        before = self.accounts.get(event.clip_id)
        expected = self._expected(event, before)
        rule = decision.rule if decision else None
        assert rule in expected, (event, before, rule, expected)
        if before is None and isinstance(event, Rated | Removed):
            before = self.accounts[event.clip_id] = Account(deleted=isinstance(event, Removed))
        if isinstance(event, Rated) and decision is not None and before is not None:
            before.dancer, before.challenge = event.dancer_id, event.challenge_id
        if decision is not None:
            assert before is not None
            self._book(decision, before)
        if before is not None:
            self._compare(event.clip_id, before)

    def adopt(self, policy: Policy) -> None:
        self.policy = policy
        self.ledger.adopt(policy)

    def _expected(self, event: PoolEvent, account: Account | None) -> set[str | None]:
        """Rules that may apply; ``None``: nothing is decided."""
        match event:
            case Rated():
                if account is not None:
                    return {None}
                reached = (event.percentiles.get(d, -1) >= t for d, t in self.policy.nomination.thresholds.items())
                enough = event.challenge_clips >= self.policy.nomination.fewest_clips
                return {"nominated", "queued"} if enough and any(reached) else {"not-nominated"}
            case Removed():
                return {None} if account is None or account.deleted else {"deleted"}
            case Explored():
                return {None} if account is None or account.tier or account.deleted else {None, "explored"}
            case Reviewed():
                return {None} if account is None or account.deleted else {None, "expired", "nominated", "promoted"}
            case Engaged():
                if account is None or account.deleted:
                    return {None}
                return self._judgement(account) if account.observe(event) else {None}

    def _judgement(self, account: Account) -> set[str | None]:
        tier = next((tier for tier in self.policy.tiers if tier.name == account.tier), None)
        reactions, views = account.seen()
        if tier is None or views < tier.least_views:
            return {None} if tier is None or not account.waits_since_decision else {None, "kept"}
        rate, expected = reactions / views, set[str | None]()
        if tier.gate is not None and rate > tier.gate and _differs(tier.gate, rate, views):
            expected |= {"promoted", "held", None} if account.waits_since_decision else {"promoted", "held"}
        elif rate < tier.floor and _differs(tier.floor, rate, views) and account.knows_views():
            expected |= {"demoted"}
        else:
            expected |= {None, "kept"} if account.waits_since_decision else {None}
        return expected

    def _book(self, decision: PoolDecision, account: Account) -> None:
        self.decisions.append(decision)
        self.rules[decision.rule] += 1
        assert not account.deleted
        assert decision.number == account.decisions
        assert decision.previous_tier == account.tier
        assert (decision.exposures > 0) == (decision.rule in ("nominated", "explored", "promoted"))
        account.decisions += 1
        account.tier = decision.tier
        account.waits_since_decision = decision.rule == "held"
        account.deleted = decision.rule == "deleted"
        if decision.exposures:
            self._spend(decision, account)

    def _spend(self, decision: PoolDecision, account: Account) -> None:
        tier = next(tier for tier in self.policy.tiers if tier.name == decision.tier)
        assert decision.exposures == tier.exposures
        account.granted += decision.exposures
        window_ms = self.policy.window_s * 1000
        start_ms = decision.decided_at_ms // window_ms * window_ms
        limits = self._limits(tier, decision.rule)
        holders = {"dancer": account.dancer, "challenge": account.challenge}
        for scope, limit in limits.items():
            key = (tier.name, str(start_ms), scope, holders.get(scope, ""))
            self.spent[key] += decision.exposures
            assert self.spent[key] <= limit, (key, limit)
            budget = Budget(tier.name, start_ms, scope, holders.get(scope, ""))  # type: ignore[arg-type]
            assert self.ledger.used(budget) == self.spent[key]
        if decision.rule == "explored":
            passed = Fraction(decision.decided_at_ms - start_ms, window_ms)
            early = self.spent[(tier.name, str(start_ms), "explored", "")] - limits["explored"] * passed
            assert early <= Fraction(tier.exposures, 2)

    def _limits(self, tier: Tier, rule: str) -> dict[str, Fraction]:
        explored = math.floor(tier.capacity * Fraction(str(self.policy.exploration.share)))
        lanes = {"nominated": tier.capacity - explored, "explored": explored, "promoted": tier.capacity}
        caps = {"dancer": self.policy.caps.dancer, "challenge": self.policy.caps.challenge}
        limits = {scope: tier.capacity * Fraction(str(share)) for scope, share in caps.items()}
        return limits | {"tier": Fraction(tier.capacity), rule: Fraction(lanes[rule])}

    def _compare(self, clip_id: str, account: Account) -> None:
        clip = self.ledger.clip(clip_id)
        assert clip is not None
        assert (clip.tier, clip.decisions, clip.granted) == (account.tier, account.decisions, account.granted)
        assert clip.deleted == account.deleted
        assert clip.seen == account.seen()


def _differs(limit: float, rate: float, views: int) -> bool:
    """Whether ``rate`` is surely not ``limit``, on one side."""
    return views * (rate - limit) ** 2 >= Z_95**2 * limit * (1 - limit)

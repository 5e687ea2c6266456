"""The state of the pools in memory: applies transitions and finds clips. For simulation and tests."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator

from ranking.pools.machine import leaves_at_ms, transition
from ranking.pools.policy import Policy
from ranking.pools.rounds import round_events
from ranking.pools.state import Budget, Cohort, Counts, PooledClip, PoolEvent, Transition
from schemas.events import PoolDecision
from schemas.pools import Deferral


class PoolLedger:
    """``ranking.pools.state.PoolState`` under one policy. ``deferred`` counts deferred observations by reason."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.deferred: Counter[Deferral] = Counter()
        self._clips: dict[str, PooledClip] = {}
        self._used: defaultdict[Budget, int] = defaultdict(int)
        self._counts: dict[Cohort, Counts] = {}
        self._waiting: set[str] = set()
        self._candidates: set[str] = set()
        self._due: list[tuple[int, str]] = []

    def handle(self, event: PoolEvent) -> tuple[PoolDecision, ...]:
        """Apply one event; returns what was decided."""
        change = transition(self.policy, self, event)
        self._apply(change)
        return change.decisions

    def round(self, at_ms: int) -> list[PoolDecision]:
        """One round: ``round_events``, applied."""
        decisions: list[PoolDecision] = []
        for event in round_events(self.policy, self, at_ms):
            decisions += self.handle(event)
        return decisions

    def clip(self, clip_id: str) -> PooledClip | None:
        return self._clips.get(clip_id)

    def clips(self) -> Iterator[PooledClip]:
        return iter(self._clips.values())

    def used(self, budget: Budget) -> int:
        return self._used.get(budget, 0)

    def budgets(self) -> dict[Budget, int]:
        """Impressions granted from every budget that was ever used."""
        return dict(self._used)

    def counts(self, cohort: Cohort) -> Counts:
        return self._counts.get(cohort, Counts(0, 0))

    def waiting(self) -> list[PooledClip]:
        return [self._clips[clip_id] for clip_id in self._waiting]

    def candidates(self) -> list[PooledClip]:
        return [self._clips[clip_id] for clip_id in self._candidates]

    def due(self, at_ms: int) -> list[PooledClip]:
        found: dict[str, int] = {}
        while self._due and self._due[0][0] <= at_ms:
            _, clip_id = heapq.heappop(self._due)
            clip = self._clips[clip_id]
            leaves_ms = leaves_at_ms(self.policy, clip)
            if not clip.gone and leaves_ms <= at_ms:  # else it has moved, and has a newer entry in the heap
                found[clip_id] = leaves_ms
        for clip_id, leaves_ms in found.items():
            heapq.heappush(self._due, (leaves_ms, clip_id))
        return [self._clips[clip_id] for clip_id in found]

    def adopt(self, policy: Policy) -> None:
        """Go on under another policy."""
        self.policy = policy
        self._due = [(leaves_at_ms(policy, clip), clip.clip_id) for clip in self._clips.values() if not clip.gone]
        heapq.heapify(self._due)

    def _apply(self, change: Transition) -> None:
        if change.deferred is not None:
            self.deferred[change.deferred] += 1
        if change.clip is not None:
            self._put(change.clip)
        for budget, views in change.spent.items():
            self._used[budget] += views
        if change.learned is not None:
            cohort, more = change.learned
            known = self.counts(cohort)
            self._counts[cohort] = Counts(known.reactions + more.reactions, known.views + more.views)

    def _put(self, clip: PooledClip) -> None:
        before = self._clips.get(clip.clip_id)
        self._clips[clip.clip_id] = clip
        for holds, clips in ((clip.wants is not None, self._waiting), (clip.is_candidate, self._candidates)):
            (clips.add if holds else clips.discard)(clip.clip_id)
        if not clip.gone and (before is None or (before.tier, before.entered_at_ms) != (clip.tier, clip.entered_at_ms)):
            heapq.heappush(self._due, (leaves_at_ms(self.policy, clip), clip.clip_id))

"""Answers about the traffic pools from their tables; nothing is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_clips, pool_decisions, pool_outbox, pool_policies, pool_workers
from ranking.pools.budgets import room
from ranking.pools.machine import leaves_at_ms
from ranking.pools.policy import Policy
from ranking.pools.service.dry_run import HYPOTHETICAL, budget_room, dry_run, explained, next_tier, reaction_rate
from ranking.pools.service.history import PoolHistory
from ranking.pools.service.leases import unused_by_tier
from ranking.pools.service.sentences import needed
from ranking.pools.service.sql_state import SqlPoolState
from ranking.pools.service.tiers import ClipsInTier
from ranking.pools.service.usage import tier_use
from ranking.pools.state import PooledClip, PoolView, Rated
from ranking.scores.ranks import place
from ranking.scores.runs.reading import counts_of, totals_of
from schemas.clock import Clock
from schemas.codec import decode
from schemas.errors import NotFound, NotReady, StoreRefused
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import ClipState, Lane, Rule
from schemas.questions.pools import (
    HypotheticalClip,
    Needs,
    PooledClipAnswer,
    PoolsAnswer,
    PoolTryAnswer,
    Waiting,
)


class _Now(NamedTuple):
    """One snapshot of the tables, and its time."""

    connection: sa.Connection
    view: PoolView
    policy: Policy
    adopted_at_ms: int
    at_ms: int


class PoolReader:
    """Answers about clips, budgets and clips that are made up, each from one state of the tables.

    Any number of threads may ask, while workers go on deciding. Every method raises ``NotReady`` before a policy was
    adopted, ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.history: Final = PoolHistory(database, clock)
        """Answers about what was before."""

    def has_policy(self) -> bool:
        """Whether any policy was ever adopted."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(pool_policies.c.adoption).limit(1)).first() is not None

    def clip(self, clip_id: str) -> PooledClipAnswer:
        """Where a clip is, what it needs, and how it got there. Raises ``NotFound``."""
        with self._now() as now:
            clip = now.view.clip(clip_id)
            if clip is None:
                problem = f"clip {clip_id} is not known to the traffic pools; they look at a clip once it is scored"
                raise NotFound(problem, field="clip_id")
            table = pool_decisions.c
            contents = now.connection.execute(
                sa.select(table.content).where(table.clip_id == clip_id).order_by(table.number)
            ).scalars()
            history = [decode(content, PoolDecision) for content in contents]
            waiting = _waiting(now, clip, history)
        return PooledClipAnswer(
            clip_id=clip_id,
            dancer_id=clip.dancer_id or None,
            challenge_id=clip.challenge_id or None,
            at_ms=now.at_ms,
            policy_version=now.policy.version,
            state=_state(clip),
            tier=clip.tier,
            waiting=waiting,
            nominated_by=clip.nominated_by,
            percentile=clip.percentile,
            rated_at_ms=clip.rated_at_ms,
            entered_at_ms=clip.entered_at_ms if clip.granted and not clip.deleted else None,
            leaves_at_ms=None if clip.gone else leaves_at_ms(now.policy, clip),
            granted=clip.granted,
            reactions=clip.reactions,
            views=clip.views,
            rate=reaction_rate(now.policy, clip.seen) if clip.observed_at_ms >= 0 else None,
            needs=_needs(now.policy, clip),
            history=[explained(decision) for decision in history],
        )

    def pools(self) -> PoolsAnswer:
        """Use of every tier in the current window, and its number of clips."""
        with self._now() as now:
            policy, start_ms = now.policy, now.policy.window_start_ms(now.at_ms)
            in_tiers, waiting = _occupancy(now.connection)
            made = int(now.connection.scalars(sa.select(sa.func.sum(pool_workers.c.decisions))).one() or 0)
            unpublished = now.connection.scalars(sa.select(sa.func.count()).select_from(pool_outbox)).one()
            leased = unused_by_tier(now.connection, start_ms)
            waits = dict.fromkeys((tier.name for tier in policy.tiers), 0)
            for tier, count in waiting.items():
                aim = next_tier(policy, tier)
                if aim is not None:
                    waits[aim.name] += count
            tiers = [
                tier_use(
                    policy,
                    now.view,
                    tier,
                    now.at_ms,
                    clips=in_tiers.get(tier.name, 0),
                    waiting=waits[tier.name],
                    leased=leased.get(tier.name, 0),
                )
                for tier in policy.tiers
            ]
        return PoolsAnswer(
            at_ms=now.at_ms,
            policy_version=policy.version,
            adopted_at_ms=now.adopted_at_ms,
            window_start_ms=start_ms,
            window_end_ms=start_ms + policy.window_ms,
            dancer_cap=policy.caps.dancer,
            challenge_cap=policy.caps.challenge,
            tiers=tiers,
            candidates=in_tiers.get(None, 0) - waiting.get(None, 0),
            retiring=sum(count for tier, count in in_tiers.items() if tier is not None and not policy.has(tier)),
            decisions=made,
            published=made - unpublished,
        )

    def in_tier(self, tier: str) -> ClipsInTier:
        """The clips in a tier of the active policy. Raises ``NotFound`` naming ``tier``."""
        with self._now() as now:
            if not now.policy.has(tier):
                known = ", ".join(each.name for each in now.policy.tiers)
                raise NotFound(f"tier {tier} is not known; policy {now.policy.version} has {known}", field="tier")
        return ClipsInTier(self._database, tier)

    def try_clip(self, asked: HypotheticalClip, generation: str | None) -> PoolTryAnswer:
        """What would be decided about ``asked`` now, among the clips of its challenge under ``generation``; without a
        generation there are none.
        """
        with self._now() as now:
            percentiles = dict(asked.percentiles or {})
            for dimension, score in (asked.scores or {}).items():
                percentiles[dimension] = _percentile(now.connection, generation, asked.challenge_id, dimension, score)
            clips = asked.challenge_clips
            if clips is None:
                clips = _clips(now.connection, generation, asked.challenge_id) + 1
            rated = Rated(
                clip_id=HYPOTHETICAL,
                dancer_id=asked.dancer_id or "",
                challenge_id=asked.challenge_id,
                percentiles=percentiles,
                challenge_clips=clips,
                at_ms=now.at_ms,
            )
            return dry_run(now.policy, now.view, asked, rated)

    @contextmanager
    def _now(self) -> Iterator[_Now]:
        table = pool_policies.c
        newest = sa.select(table.version, table.content, table.adopted_at_ms).order_by(table.adoption.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(newest).one_or_none()
            if row is None:
                raise NotReady("the traffic pools have no policy yet; dancerank pools run adopts one")
            try:
                policy = msgspec.msgpack.decode(row.content, type=Policy)
            except msgspec.MsgspecError as error:
                problem = f"policy {row.version}, which is active, cannot be read by this release ({error})"
                raise StoreRefused(f"{problem}; start dancerank pools run of this release with it") from error
            yield _Now(
                connection, SqlPoolState(connection, policy), policy, int(row.adopted_at_ms), self._clock.now_ms()
            )


def _state(clip: PooledClip) -> ClipState:
    if clip.deleted:
        return ClipState.DELETED
    if clip.gone:
        return ClipState.GONE
    if clip.tier is None:
        return ClipState.CANDIDATE if clip.wants is None else ClipState.QUEUED
    return ClipState.IN_TIER if clip.wants is None else ClipState.HELD


def _needs(policy: Policy, clip: PooledClip) -> Needs | None:
    if clip.tier is None or not policy.has(clip.tier):
        return None
    tier, following = policy.tiers[policy.index(clip.tier)], next_tier(policy, clip.tier)
    return Needs(
        sentence=needed(policy, tier),
        least_views=tier.least_views,
        gate=tier.gate,
        next_tier=None if following is None else following.name,
        floor=tier.floor,
    )


def _waiting(now: _Now, clip: PooledClip, history: list[PoolDecision]) -> Waiting | None:
    latest = next((decision for decision in reversed(history) if decision.rule in (Rule.QUEUED, Rule.HELD)), None)
    aim = next_tier(now.policy, clip.tier)
    if clip.wants is None or latest is None or aim is None:
        return None
    lane = Lane.NOMINATED if clip.tier is None else Lane.PROMOTED
    short = room(now.policy, now.view, clip, aim, lane, now.at_ms).short
    return Waiting(
        tier=aim.name,
        since_ms=latest.decided_at_ms,
        budget=latest.budget,
        budget_left=latest.budget_left,
        short_now=None if short is None else budget_room(now.policy, now.view, short, now.at_ms),
    )


def _occupancy(connection: sa.Connection) -> tuple[dict[str | None, int], dict[str | None, int]]:
    """Clips that have not left by their tier, and of these, those that wait; ``None`` stands for no tier."""
    table = pool_clips.c
    here = sa.select(table.tier, sa.func.count()).where(table.gone.is_(False)).group_by(table.tier)
    waiting = sa.select(table.tier, sa.func.count()).where(table.wants.is_not(None)).group_by(table.tier)
    found, wait = ({tier: int(count) for tier, count in connection.execute(query)} for query in (here, waiting))
    return found, wait


def _clips(connection: sa.Connection, generation: str | None, challenge_id: str) -> int:
    if generation is None:
        return 0
    fused = totals_of(connection, generation, challenge_id).get(str(Dimension.FUSED))
    return fused.clips if fused else 0


def _percentile(
    connection: sa.Connection, generation: str | None, challenge_id: str, dimension: Dimension, score: float
) -> float:
    """That of one score more, as it would be once it is there."""
    found = counts_of(connection, generation or "", challenge_id, dimension, score)
    return place(found.higher, found.equal + 1, found.total + 1).percentile

"""What the pools did, from their tables: budgets by window, the latest decisions, and those that are new."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_budgets, pool_clips, pool_decisions, pool_leases, pool_policies
from ranking.pools.policy import Policy
from ranking.pools.policy_text import policy_text
from ranking.pools.service.dry_run import explained
from schemas.clock import Clock
from schemas.codec import decode
from schemas.errors import NotReady
from schemas.events import PoolDecision
from schemas.pools import Lane, Limit
from schemas.questions.pool_comparisons import NamedPolicy
from schemas.questions.pool_history import (
    DecisionsAnswer,
    LaneGrants,
    ListedDecision,
    PastWindow,
    PoolHistoryAnswer,
    TierGrants,
)

_NO_POLICY: Final = "the traffic pools have no policy yet; dancerank pools run adopts one"
_TIER: Final = str(Limit.TIER)
_MOST_NEW: Final = 500
_LOOKS: Final = 10
"""How often a number is looked for that another transaction took and had not committed."""
_MOST_MISSING: Final = 1000


class _Adopted(NamedTuple):
    policy: Policy
    adopted_at_ms: int


class PoolHistory:
    """Answers about the past. Every method raises ``StoreUnavailable`` if the database does not answer and
    ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def windows(self, most: int) -> PoolHistoryAnswer:
        """The budgets of the latest ``most`` windows. Raises ``NotReady`` before a policy was adopted."""
        at_ms = self._clock.now_ms()
        with self._database.reading() as connection:
            adopted = _adopted(connection)
            if not adopted:
                raise NotReady(_NO_POLICY)
            active = adopted[-1]
            window_ms = active.policy.window_ms
            current_ms = active.policy.window_start_ms(at_ms)
            since_ms = current_ms - (most - 1) * window_ms
            granted = _granted(connection, since_ms)
        first_ms = max(since_ms, active.policy.window_start_ms(active.adopted_at_ms))
        starts = sorted({*granted, *range(first_ms, current_ms + 1, window_ms)})[-most:]
        windows = [_window(adopted, start_ms, granted.get(start_ms, {})) for start_ms in starts]
        return PoolHistoryAnswer(at_ms=at_ms, windows=windows)

    def policy(self) -> NamedPolicy:
        """The active policy. Raises ``NotReady`` before one was adopted."""
        with self._database.reading() as connection:
            adopted = _adopted(connection)
        if not adopted:
            raise NotReady(_NO_POLICY)
        policy = adopted[-1].policy
        return NamedPolicy(name="active", version=policy.version, toml=policy_text(policy))

    def decisions(self, after: int | None, most: int) -> DecisionsAnswer:
        """The newest ``most`` decisions, or those before the one that has the number ``after``."""
        query = _LISTED.order_by(pool_decisions.c.sequence.desc()).limit(most + 1)
        if after is not None:
            query = query.where(pool_decisions.c.sequence < after)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        found = [_listed(row) for row in rows[:most]]
        return DecisionsAnswer(decisions=found, next_cursor=found[-1].sequence if len(rows) > most else None)


class NewDecisions:
    """Decisions that were made since the last look, from the first look on, each once. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None
        self._missing: dict[int, int] = {}

    def forget(self) -> None:
        """Nobody looks any more; the next look is a first one."""
        self._seen = None
        self._missing.clear()

    def look(self) -> tuple[list[ListedDecision], int]:
        """The new ones, by their numbers, and how many others there were, too many to list.

        A number that was taken before another one may be committed after it, so those that are missing are looked for
        again. Raises as ``PoolHistory``.
        """
        table = pool_decisions.c
        with self._database.reading() as connection:
            newest = int(connection.scalar(sa.select(sa.func.max(table.sequence))) or 0)
            seen = self._seen
            if seen is None:
                self._seen = newest
                return [], 0
            first = max(seen, newest - _MOST_NEW)
            wanted = sa.or_(table.sequence > first, table.sequence.in_(list(self._missing)))
            rows = connection.execute(_LISTED.where(wanted, table.sequence <= newest).order_by(table.sequence)).all()
        found = {int(row.sequence) for row in rows}
        self._missing = {number: left - 1 for number, left in self._missing.items() if number not in found and left > 1}
        gaps = [number for number in range(first + 1, newest + 1) if number not in found]
        self._missing |= dict.fromkeys(gaps[-_MOST_MISSING:], _LOOKS)
        self._seen = max(newest, seen)
        return [_listed(row) for row in rows], max(first - seen, 0)


def _adopted(connection: sa.Connection) -> list[_Adopted]:
    """The policies in the order of their adoption, without those that this release cannot read any more."""
    table = pool_policies.c
    found = []
    for row in connection.execute(sa.select(table.content, table.adopted_at_ms).order_by(table.adoption)):
        try:
            policy = msgspec.msgpack.decode(row.content, type=Policy)
        except msgspec.MsgspecError:
            continue
        found.append(_Adopted(policy, int(row.adopted_at_ms)))
    return found


def _granted(connection: sa.Connection, since_ms: int) -> Mapping[int, Mapping[str, Mapping[str, int]]]:
    """Impressions granted by window, tier and scope; a lease counts as what was granted from it."""
    budget, lease = pool_budgets.c, pool_leases.c
    used: defaultdict[int, defaultdict[str, defaultdict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    settled = sa.select(budget.window_start_ms, budget.tier, budget.scope, budget.used)
    for start_ms, tier, scope, views in connection.execute(
        settled.where(budget.holder == "", budget.window_start_ms >= since_ms)
    ):
        used[int(start_ms)][tier][scope] += int(views)
    leased = sa.select(lease.window_start_ms, lease.tier, lease.lane, lease.used)
    for start_ms, tier, lane, views in connection.execute(leased.where(lease.window_start_ms >= since_ms)):
        for scope in (lane, _TIER):
            used[int(start_ms)][tier][scope] += int(views)
    return used


def _window(adopted: Sequence[_Adopted], start_ms: int, granted: Mapping[str, Mapping[str, int]]) -> PastWindow:
    """By the last policy that was adopted before the window ended."""
    by_end = (each.policy for each in reversed(adopted) if each.adopted_at_ms < start_ms + each.policy.window_ms)
    policy = next(by_end, adopted[0].policy)
    capacities: dict[str, int | None] = {tier.name: tier.capacity for tier in policy.tiers}
    capacities |= dict.fromkeys(sorted(set(granted) - set(capacities)))
    return PastWindow(
        start_ms=start_ms,
        end_ms=start_ms + policy.window_ms,
        policy_version=policy.version,
        tiers=[_tier(tier, capacity, granted.get(tier, {})) for tier, capacity in capacities.items()],
    )


def _tier(tier: str, capacity: int | None, used: Mapping[str, int]) -> TierGrants:
    lanes = [LaneGrants(lane=lane, used=used[lane]) for lane in Lane if used.get(lane)]
    return TierGrants(tier=tier, capacity=capacity, used=used.get(_TIER, 0), lanes=lanes)


def _listed(row: sa.Row[Any]) -> ListedDecision:
    return ListedDecision(
        sequence=int(row.sequence),
        challenge_id=row.challenge_id or None,
        decision=explained(decode(row.content, PoolDecision)),
    )


def _listing(columns: Iterable[Any]) -> sa.Select[Any]:
    decisions, clips = pool_decisions, pool_clips
    return sa.select(*columns).select_from(decisions.outerjoin(clips, clips.c.clip_id == decisions.c.clip_id))


_LISTED: Final = _listing((pool_decisions.c.sequence, pool_decisions.c.content, pool_clips.c.challenge_id))

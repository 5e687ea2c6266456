"""Leases of what tiers and lanes may grant in a window.

A worker grants only from its own lease, whose row no other worker writes, so that transactions that decide wait for no
common row. What a lane has granted is what ``pool_budgets`` says and what its leases have used; that and what is leased
and not used never exceeds its capacity, nor do all lanes together that of their tier. Taking, returning and expiring
leases take turns, in short transactions of their own.

A lease ends when its worker returns it, or by another worker once the worker's ``expires_at_ms`` has passed. Whose
clock runs ahead ends leases too early, which costs their worker a transaction that it repeats, and no budget.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.round_trip import POSTGRESQL, together, writing
from ranking.database.tables import pool_budgets, pool_leases, pool_workers
from ranking.pools.budgets import lane_capacity
from ranking.pools.policy import Policy
from ranking.pools.state import Budget
from schemas.pools import Lane, Limit, Scope

LEASE_S: Final = 30.0
"""Seconds without a transaction after which a worker is taken to have ended, by default."""

_LOCK: Final = 0x6C6561736573  # "leases"
_AHEAD: Final = 32
"""A lease is for about as many batches as the one that needs it, which is repeated once it is there."""


class LaneWindow(NamedTuple):
    """What leases are of: one lane of one tier, in one window."""

    tier: str
    window_start_ms: int
    lane: Lane


class LeaseShort(Exception):
    """A transaction would grant more than its worker has leased: ``wants`` impressions by lane."""

    def __init__(self, wants: Mapping[LaneWindow, int]) -> None:
        super().__init__(dict(wants))
        self.wants = wants


def wait_for_turn(connection: sa.Connection) -> None:
    """Wait until no other transaction changes leases. SQLite has one writer at a time anyway."""
    if connection.dialect.name == POSTGRESQL:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def take(connection: sa.Connection, policy: Policy, worker: str, wants: Mapping[LaneWindow, int], at_ms: int) -> None:
    """Lease to ``worker`` what it lacks to grant ``wants``, and some for what comes next, if so much is left."""
    for lane, views in wants.items():
        held = _Held(connection, policy, worker, lane, at_ms)
        if held.free < views - held.own_left:
            others = pool_leases.c.lane != str(lane.lane)
            settle(connection, sa.and_(_of_tier(lane), pool_leases.c.worker == worker, others))
            held = _Held(connection, policy, worker, lane, at_ms)
        lacking = views - held.own_left
        if lacking <= 0:
            continue
        # Later leases are smaller, so that the last views of a window are not all with one worker. What is explored is
        # decided in rounds, by any worker in turn.
        ahead = 0 if lane.lane is Lane.EXPLORED else min(_AHEAD * views, held.free // (2 * _active(connection)))
        more = min(max(lacking, ahead), held.free)
        if more > 0:
            row = {**lane._asdict(), "lane": str(lane.lane), "worker": worker, "leased": more, "used": 0}
            together(connection, writing(connection, pool_leases, [row], adds=frozenset({"leased", "used"})))


def settle(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    """End leases: what they have used is used of the budgets, the rest is free. Returns how many there were."""
    table = pool_leases.c
    ended = sa.delete(pool_leases).where(condition).returning(*table)
    used: Counter[tuple[str, int, Scope]] = Counter()
    count = 0
    for row in connection.execute(ended).all():
        count += 1
        for scope in (Lane(row.lane), Limit.TIER):
            used[(row.tier, int(row.window_start_ms), scope)] += int(row.used)
    rows = [
        {"tier": tier, "window_start_ms": start_ms, "scope": str(scope), "holder": "", "used": views}
        for (tier, start_ms, scope), views in used.items()
        if views
    ]
    together(connection, writing(connection, pool_budgets, rows, adds=frozenset({"used"})))
    return count


def expire(connection: sa.Connection, worker: str, at_ms: int) -> int:
    """End the leases of workers other than ``worker`` that have not been heard of; returns how many leases there were.

    One that is within a transaction at this moment lives.
    """
    table = pool_workers.c
    silent = sa.select(table.worker).where(table.expires_at_ms < at_ms, table.worker != worker)
    found = connection.scalars(silent.with_for_update(skip_locked=True)).all()
    return leave(connection, found) if found else 0


def leave(connection: sa.Connection, workers: Iterable[str]) -> int:
    """End all leases of ``workers``, which have left; returns how many leases there were."""
    names = list(workers)
    connection.execute(sa.update(pool_workers).where(pool_workers.c.worker.in_(names)).values(expires_at_ms=None))
    return settle(connection, pool_leases.c.worker.in_(names))


def give_back(connection: sa.Connection, worker: str, keeps: Iterable[LaneWindow], start_ms: int) -> int:
    """End the leases of ``worker``, except those of lanes ``keeps`` of the window that began at ``start_ms``."""
    table = pool_leases.c
    kept = [
        sa.and_(table.tier == lane.tier, table.lane == str(lane.lane), table.window_start_ms == start_ms)
        for lane in keeps
        if lane.window_start_ms == start_ms and lane.lane is not Lane.EXPLORED
    ]
    return settle(connection, sa.and_(table.worker == worker, ~sa.or_(sa.false(), *kept)))


def unused_by_tier(connection: sa.Connection, start_ms: int) -> dict[str, int]:
    """Impressions leased and not granted, in the window that began at ``start_ms``."""
    table = pool_leases.c
    query = sa.select(table.tier, sa.func.sum(table.leased - table.used)).where(table.window_start_ms == start_ms)
    return {tier: int(views) for tier, views in connection.execute(query.group_by(table.tier))}


class _Held:
    """What is left of a lane: ``free`` of leases, ``own_left`` in that of the worker."""

    def __init__(self, connection: sa.Connection, policy: Policy, worker: str, lane: LaneWindow, at_ms: int) -> None:
        table = pool_budgets.c
        settled = connection.execute(
            sa.select(table.scope, table.used).where(
                table.tier == lane.tier, table.window_start_ms == lane.window_start_ms, table.holder == ""
            )
        )
        gone: Counter[str] = Counter({scope: int(used) for scope, used in settled})
        self.own_left = 0
        for row in connection.execute(sa.select(pool_leases).where(_of_tier(lane))):
            gone[row.lane] += int(row.leased)
            gone[str(Limit.TIER)] += int(row.leased)
            if row.worker == worker and row.lane == lane.lane:
                self.own_left = int(row.leased) - int(row.used)
        scopes: tuple[Scope, ...] = (lane.lane, Limit.TIER)
        self.free = max(
            0,
            min(
                lane_capacity(policy, Budget(lane.tier, lane.window_start_ms, scope), at_ms) - gone[str(scope)]
                for scope in scopes
            ),
        )


def _of_tier(lane: LaneWindow) -> sa.ColumnElement[bool]:
    table = pool_leases.c
    return sa.and_(table.tier == lane.tier, table.window_start_ms == lane.window_start_ms)


def _active(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).select_from(pool_workers).where(pool_workers.c.expires_at_ms.is_not(None))
    return max(int(connection.scalars(query).one()), 1)


def _spending() -> sa.Executable:
    table = pool_leases.c
    own = sa.and_(
        table.tier == sa.bindparam("of_tier"),
        table.window_start_ms == sa.bindparam("of_window"),
        table.lane == sa.bindparam("of_lane"),
        table.worker == sa.bindparam("of_worker"),
    )
    more = table.used + sa.bindparam("views", type_=sa.BigInteger)
    return sa.update(pool_leases).where(own, more <= table.leased).values(used=more).returning(table.used)


SPENDING: Final = _spending()
"""How a worker grants from its own lease: gives a row if the lease has as much left."""

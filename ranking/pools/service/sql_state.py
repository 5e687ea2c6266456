"""The state of the pools in SQL for one transaction: what was read and changed is kept until ``changes``."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ranking.database.connection import in_parts
from ranking.database.round_trip import POSTGRESQL, Step, among, together, writing
from ranking.database.tables import pool_budgets, pool_clips, pool_kinds, pool_leases
from ranking.pools.budgets import lane_capacity
from ranking.pools.machine import leaves_at_ms, transition
from ranking.pools.policy import Policy
from ranking.pools.service.leases import SPENDING, LaneWindow, LeaseShort
from ranking.pools.state import Budget, Cohort, Counts, PooledClip, PoolEvent, Transition
from schemas.errors import StoreRefused
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import SCOPES, Lane, Limit

_ADDED: Final = frozenset({"reactions", "views"})


class Overtaken(Exception):
    """Another worker has changed what this transaction has read; it has to be repeated."""


class SqlPoolState:
    """``ranking.pools.state.PoolState`` in a transaction. Clips that are read are locked until its end.

    Of tiers and lanes, all that other workers have leased is used for ``worker``, since it cannot grant it. Without
    ``worker`` nothing is locked, and used is what was granted.

    Handled events and what was decided are in ``events`` and ``decisions``, in order; ``consulted`` is the use of each
    budget that decisions depended on, without that by this transaction.
    """

    def __init__(self, connection: sa.Connection, policy: Policy, worker: str | None = None) -> None:
        self._connection = connection
        self._policy = policy
        self._worker = worker
        self._clips: dict[str, PooledClip | None] = {}
        self._changed: dict[str, PooledClip] = {}
        self._used: dict[Budget, int] = {}
        self._read_holders: set[tuple[int, str]] = set()
        self._spent: Counter[Budget] = Counter()
        self._lease_left: dict[LaneWindow, int] = {}
        self.consulted: dict[Budget, int] = {}
        self._cohorts: dict[Cohort, Counts] = {}
        self._learned: Counter[tuple[Cohort, str]] = Counter()
        self.events: list[PoolEvent] = []
        self.decisions: list[PoolDecision] = []

    def handle(self, event: PoolEvent) -> Transition:
        """Apply one event; returns what it changed."""
        change = transition(self._policy, self, event)
        self.events.append(event)
        self.decisions += change.decisions
        if change.clip is not None:
            self._clips[change.clip.clip_id] = self._changed[change.clip.clip_id] = change.clip
        self._spent.update(change.spent)
        if change.learned is not None:
            cohort, more = change.learned
            self._learned[(cohort, "reactions")] += more.reactions
            self._learned[(cohort, "views")] += more.views
        return change

    def reading(self, at_ms: int, clip_ids: Sequence[str], holders: Sequence[str]) -> list[Step]:
        """Steps that read clips, and this window's budgets of all that they may have to pay, and of dancers and
        challenges that are named; ``known`` takes the rows.
        """
        dialect, window = self._connection.dialect.name, self._window(at_ms)
        return [
            self._clips_step(clip_ids),
            Step(_granted(dialect), window),
            Step(_budgets_of_clips(dialect), window | {"clips": clip_ids}),
            Step(_budgets_of(dialect), window | {"holders": holders}),
        ]

    def known(self, rows: Sequence[Sequence[Any]], at_ms: int, clip_ids: Sequence[str], holders: Sequence[str]) -> None:
        """Take what ``reading``, of the same arguments, has found."""
        clips, granted, *budgets = rows
        found = {clip.clip_id: clip for clip in map(clip_of, clips)}
        self._clips |= {clip_id: found.get(clip_id) for clip_id in clip_ids}
        paying = {holder for clip in found.values() for holder in (clip.dancer_id, clip.challenge_id)}
        self._take_granted(granted, at_ms)
        self._take_budgets([row for part in budgets for row in part], at_ms, {*holders, *paying})

    def load(self, clip_ids: Iterable[str]) -> None:
        """Read clips ahead."""
        for part in in_parts(clip_id for clip_id in clip_ids if clip_id not in self._clips):
            (rows,) = together(self._connection, [self._clips_step(part)])
            found = {clip.clip_id: clip for clip in map(clip_of, rows)}
            self._clips |= {clip_id: found.get(clip_id) for clip_id in part}

    def load_budgets(self, at_ms: int, holders: Iterable[str]) -> None:
        """Read this window's budgets of ``holders``, which are dancers and challenges, ahead."""
        start_ms = self._policy.window_start_ms(at_ms)
        known = {holder for window_ms, holder in self._read_holders if window_ms == start_ms}
        statement, window = _budgets_of(self._connection.dialect.name), self._window(at_ms)
        for part in in_parts(set(holders) - known):
            (rows,) = together(self._connection, [Step(statement, window | {"holders": part})])
            self._take_budgets(rows, at_ms, part)

    def clip(self, clip_id: str) -> PooledClip | None:
        self.load([clip_id])
        return self._clips[clip_id]

    def used(self, budget: Budget) -> int:
        if (budget.window_start_ms, budget.holder) not in self._read_holders:
            if budget.holder:
                self.load_budgets(budget.window_start_ms, [budget.holder])
            else:
                step = Step(_granted(self._connection.dialect.name), self._window(budget.window_start_ms))
                self._take_granted(together(self._connection, [step])[0], budget.window_start_ms)
        before = self.consulted[budget] = self._used.get(budget, 0)
        return before + self._spent[budget]

    def counts(self, cohort: Cohort) -> Counts:
        if cohort not in self._cohorts:
            table = pool_kinds.c
            query = sa.select(table.reactions, table.views).where(
                table.challenge_id == cohort.challenge_id, table.tenth == cohort.decile
            )
            reactions, views = self._connection.execute(query).one_or_none() or (0, 0)
            self._cohorts[cohort] = Counts(int(reactions), int(views))
        stored = self._cohorts[cohort]
        return Counts(
            stored.reactions + self._learned[(cohort, "reactions")], stored.views + self._learned[(cohort, "views")]
        )

    def waiting(self) -> list[PooledClip]:
        return self._asked(pool_clips.c.wants.is_not(None))

    def candidates(self) -> list[PooledClip]:
        table = pool_clips.c
        return self._asked(sa.and_(table.gone.is_(False), table.tier.is_(None), table.wants.is_(None)))

    def due(self, at_ms: int) -> list[PooledClip]:
        return self._asked(pool_clips.c.leaves_at_ms <= at_ms)

    def check_leases(self) -> None:
        """Raises ``LeaseShort`` if more was granted than is leased."""
        wants = {lane: views for lane, views in self._by_lane().items() if views > self._lease_left.get(lane, 0)}
        if wants:
            raise LeaseShort(wants)

    def changes(self) -> list[Step]:
        """Steps that write changes of clips and of the own leases; decisions and events are the caller's to write. They
        raise ``Overtaken`` if there was less left than what was decided depended on.
        """
        return [*self._changed_clips(), *self._spending()]

    def shared_changes(self) -> list[Step]:
        """Steps that write what other workers add to as well, and wait for: to come last. They raise as ``changes``."""
        caps = [
            budget._asdict() | {"scope": str(budget.scope), "used": views}
            for budget, views in self._spent.items()
            if budget.holder
        ]
        cohorts = [
            {"challenge_id": cohort.challenge_id, "tenth": cohort.decile}
            | {name: self._learned[(cohort, name)] for name in _ADDED}
            for cohort in {cohort for cohort, _ in self._learned}
        ]
        return [
            *(
                step._replace(check=self._check_caps)
                for step in writing(self._connection, pool_budgets, caps, adds=frozenset({"used"}))
            ),
            *writing(self._connection, pool_kinds, cohorts, adds=_ADDED),
        ]

    def granted_lanes(self) -> set[LaneWindow]:
        """The lanes from which something was granted."""
        return set(self._by_lane())

    def _by_lane(self) -> dict[LaneWindow, int]:
        return {
            LaneWindow(budget.tier, budget.window_start_ms, budget.scope): views
            for budget, views in self._spent.items()
            if isinstance(budget.scope, Lane)
        }

    def _spending(self) -> Iterator[Step]:
        for lane, views in sorted(self._by_lane().items()):
            row = {"of_tier": lane.tier, "of_window": lane.window_start_ms, "of_lane": str(lane.lane)}
            yield Step(SPENDING, row | {"of_worker": self._worker, "views": views}, check=_found)

    def _check_caps(self, rows: Sequence[Any]) -> None:
        """That no other worker has spent what this one counted on; SQLite gives no rows, and has one writer."""
        for row in rows:
            budget = Budget(row.tier, row.window_start_ms, SCOPES[row.scope], row.holder)
            if row.used > lane_capacity(self._policy, budget, budget.window_start_ms):
                raise Overtaken

    def _changed_clips(self) -> list[Step]:
        rows = [clip_row(self._policy, clip) for clip in self._changed.values()]
        return writing(self._connection, pool_clips, rows)

    def _asked(self, condition: sa.ColumnElement[bool]) -> list[PooledClip]:
        found = [clip_of(row) for row in self._connection.execute(sa.select(pool_clips).where(condition))]
        self._clips |= {clip.clip_id: clip for clip in found}
        return found

    def _window(self, at_ms: int) -> dict[str, Any]:
        return {
            "start_ms": self._policy.window_start_ms(at_ms),
            "tiers": [tier.name for tier in self._policy.tiers],
        }

    def _clips_step(self, clip_ids: Sequence[str]) -> Step:
        locks = self._worker is not None
        return Step(_clips_among(self._connection.dialect.name, locks=locks), {"clips": clip_ids})

    def _take_granted(self, rows: Iterable[Any], at_ms: int) -> None:
        """Add up what tiers and lanes have granted; leases of others count whole."""
        used: Counter[Budget] = Counter()
        for tier, window_ms, scope, worker, leased, views in rows:
            if scope not in SCOPES:
                raise _unknown("pool_budgets", f"tier {tier} has a budget of scope", scope)
            budget = Budget(tier, window_ms, SCOPES[scope])
            if worker is None:
                used[budget] += int(views)
                continue
            own = worker == self._worker
            if own and isinstance(budget.scope, Lane):
                self._lease_left[LaneWindow(tier, window_ms, budget.scope)] = int(leased - views)
            for each in (budget, budget._replace(scope=Limit.TIER)):
                used[each] += int(views if own or self._worker is None else leased)
        self._used |= used
        self._read_holders.add((self._policy.window_start_ms(at_ms), ""))

    def _take_budgets(self, rows: Iterable[Any], at_ms: int, holders: Iterable[str]) -> None:
        for tier, window_ms, scope, holder, used in rows:
            if scope not in SCOPES:
                raise _unknown("pool_budgets", f"tier {tier} has a budget of scope", scope)
            self._used.setdefault(Budget(tier, window_ms, SCOPES[scope], holder), int(used))
        start_ms = self._policy.window_start_ms(at_ms)
        self._read_holders |= {(start_ms, holder) for holder in holders}


def _found(rows: Sequence[Any]) -> None:
    if not rows:
        raise Overtaken


@lru_cache
def _clips_among(dialect: str, *, locks: bool) -> sa.Select[Any]:
    """In the order of their ids, in which they are locked, so that workers cannot deadlock."""
    query = sa.select(pool_clips).where(among(dialect, pool_clips.c.clip_id, "clips"))
    return query.order_by(pool_clips.c.clip_id).with_for_update(key_share=True) if locks else query


@lru_cache
def _granted(dialect: str) -> sa.CompoundSelect[Any]:
    """What tiers and lanes have granted in a window, and the leases, at one moment."""
    budget, lease = pool_budgets.c, pool_leases.c
    none: sa.ColumnElement[Any] = sa.literal_column("NULL")
    return sa.union_all(
        sa.select(
            budget.tier, budget.window_start_ms, budget.scope, none.label("worker"), none.label("leased"), budget.used
        ).where(
            among(dialect, budget.tier, "tiers"),
            budget.window_start_ms == sa.bindparam("start_ms"),
            budget.holder == "",
        ),
        sa.select(lease.tier, lease.window_start_ms, lease.lane, lease.worker, lease.leased, lease.used).where(
            among(dialect, lease.tier, "tiers"), lease.window_start_ms == sa.bindparam("start_ms")
        ),
    )


@lru_cache
def _budgets_of(dialect: str) -> sa.Select[Any]:
    return _budgets().where(among(dialect, pool_budgets.c.holder, "holders"))


@lru_cache
def _budgets_of_clips(dialect: str) -> sa.Select[Any]:
    """Of the dancers and challenges of clips."""
    clip = pool_clips.c
    here = among(dialect, clip.clip_id, "clips")
    holders = sa.union(sa.select(clip.dancer_id).where(here), sa.select(clip.challenge_id).where(here))
    holder = pool_budgets.c.holder
    if dialect != POSTGRESQL:
        return _budgets().where(holder.in_(holders))
    # As an array they are looked up. Joined, all budgets of the window would be read while statistics lack.
    return _budgets().where(holder == sa.any_(sa.func.array(holders.scalar_subquery())))


def _budgets() -> sa.Select[Any]:
    return sa.select(pool_budgets).where(
        pool_budgets.c.window_start_ms == sa.bindparam("start_ms"), pool_budgets.c.holder != ""
    )


def clip_row(policy: Policy, clip: PooledClip) -> dict[str, Any]:
    """A clip as a row of ``pool_clips``."""
    row = msgspec.structs.asdict(clip)
    cohort: Cohort = row.pop("cohort")
    nominated_by = None if clip.nominated_by is None else str(clip.nominated_by)
    leaves = None if clip.gone else leaves_at_ms(policy, clip)
    return row | {"tenth": cohort.decile, "nominated_by": nominated_by, "leaves_at_ms": leaves}


def clip_of(row: Any) -> PooledClip:
    """A row of ``pool_clips`` as a clip. Raises ``StoreRefused`` for a dimension that this release does not know."""
    fields = row._asdict()
    del fields["leaves_at_ms"]
    fields["cohort"] = Cohort(row.challenge_id, int(fields.pop("tenth")))
    try:
        fields["nominated_by"] = None if row.nominated_by is None else Dimension(row.nominated_by)
    except ValueError as error:
        raise _unknown("pool_clips", f"clip {row.clip_id} was nominated by dimension", row.nominated_by) from error
    return PooledClip(**fields)


def _unknown(table: str, what: str, value: str) -> StoreRefused:
    return StoreRefused(
        f"table {table}: {what} {value!r}, which this release does not know; run the release that wrote it, or install "
        "the package that adds the modality"
    )

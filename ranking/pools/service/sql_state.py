"""The state of the pools in SQL for one transaction: what was read and changed is kept until ``changes``."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ranking.database.connection import in_parts
from ranking.database.round_trip import Step, among, together, writing
from ranking.database.tables import pool_budgets, pool_clips, pool_kinds
from ranking.pools.machine import leaves_at_ms, transition
from ranking.pools.policy import Policy
from ranking.pools.rounds import round_events
from ranking.pools.state import Budget, Cohort, Counts, PooledClip, PoolEvent, Transition
from schemas.errors import StoreRefused
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import SCOPES

_ADDED: Final = frozenset({"reactions", "views"})


class SqlPoolState:
    """``ranking.pools.state.PoolState`` on a connection whose transaction no other decisions can overlap.

    Handled events and what was decided are in ``events`` and ``decisions``, in order.
    """

    def __init__(self, connection: sa.Connection, policy: Policy) -> None:
        self._connection = connection
        self._policy = policy
        self._clips: dict[str, PooledClip | None] = {}
        self._changed: dict[str, PooledClip] = {}
        self._used: dict[Budget, int] = {}
        self._read_holders: set[tuple[int, str]] = set()
        self._spent: set[Budget] = set()
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
        for budget, views in change.spent.items():
            self._used[budget] = self.used(budget) + views
            self._spent.add(budget)
        if change.learned is not None:
            cohort, more = change.learned
            self._learned[(cohort, "reactions")] += more.reactions
            self._learned[(cohort, "views")] += more.views
        return change

    def round(self, at_ms: int) -> None:
        """One round: ``round_events``, applied."""
        waiting = self.waiting()
        self.load_budgets(at_ms, {holder for clip in waiting for holder in (clip.dancer_id, clip.challenge_id)})
        for event in round_events(self._policy, self, at_ms):
            self.handle(event)

    def reading(self, at_ms: int, clip_ids: Sequence[str], holders: Sequence[str]) -> list[Step]:
        """Steps that read clips, and this window's budgets of all that they may have to pay, and of dancers and
        challenges that are named; ``known`` takes the rows.
        """
        dialect, window = self._connection.dialect.name, self._window(at_ms)
        return [
            Step(_clips_among(dialect), {"clips": clip_ids}),
            Step(_budgets_of_clips(dialect), window | {"clips": clip_ids}),
            Step(_budgets_of(dialect), window | {"holders": ["", *holders]}),
        ]

    def known(self, rows: Sequence[Sequence[Any]], at_ms: int, clip_ids: Sequence[str], holders: Sequence[str]) -> None:
        """Take what ``reading``, of the same arguments, has found."""
        clips, *budgets = rows
        found = {clip.clip_id: clip for clip in map(clip_of, clips)}
        self._clips |= {clip_id: found.get(clip_id) for clip_id in clip_ids}
        paying = {holder for clip in found.values() if clip.tier for holder in (clip.dancer_id, clip.challenge_id)}
        self._take_budgets([row for part in budgets for row in part], at_ms, {"", *holders, *paying})

    def load(self, clip_ids: Iterable[str]) -> None:
        """Read clips ahead."""
        for part in in_parts(clip_id for clip_id in clip_ids if clip_id not in self._clips):
            (rows,) = together(self._connection, [Step(_clips_among(self._connection.dialect.name), {"clips": part})])
            found = {clip.clip_id: clip for clip in map(clip_of, rows)}
            self._clips |= {clip_id: found.get(clip_id) for clip_id in part}

    def load_budgets(self, at_ms: int, holders: Iterable[str]) -> None:
        """Read this window's budgets of ``holders``, which are dancers and challenges, ahead."""
        start_ms = self._policy.window_start_ms(at_ms)
        known = {holder for window_ms, holder in self._read_holders if window_ms == start_ms}
        statement, window = _budgets_of(self._connection.dialect.name), self._window(at_ms)
        for part in in_parts({"", *holders} - known):
            (rows,) = together(self._connection, [Step(statement, window | {"holders": part})])
            self._take_budgets(rows, at_ms, part)

    def clip(self, clip_id: str) -> PooledClip | None:
        self.load([clip_id])
        return self._clips[clip_id]

    def used(self, budget: Budget) -> int:
        if budget not in self._used and (budget.window_start_ms, budget.holder) in self._read_holders:
            return 0
        if budget not in self._used:
            table = pool_budgets.c
            query = sa.select(table.used).where(
                table.tier == budget.tier,
                table.window_start_ms == budget.window_start_ms,
                table.scope == str(budget.scope),
                table.holder == budget.holder,
            )
            self._used[budget] = int(self._connection.execute(query).scalar() or 0)
        return self._used[budget]

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

    def changes(self) -> list[Step]:
        """Steps that write all changes; decisions and events are the caller's to write."""
        budgets = [
            budget._asdict() | {"scope": str(budget.scope), "used": self._used[budget]} for budget in self._spent
        ]
        cohorts = [
            {"challenge_id": cohort.challenge_id, "tenth": cohort.decile}
            | {name: self._learned[(cohort, name)] for name in _ADDED}
            for cohort in {cohort for cohort, _ in self._learned}
        ]
        return [
            *self._changed_clips(),
            *writing(self._connection, pool_budgets, budgets),
            *writing(self._connection, pool_kinds, cohorts, adds=_ADDED),
        ]

    def _changed_clips(self) -> list[Step]:
        rows = [clip_row(self._policy, clip) for clip in self._changed.values()]
        return writing(self._connection, pool_clips, rows)

    def _asked(self, condition: sa.ColumnElement[bool]) -> list[PooledClip]:
        together(self._connection, self._changed_clips())
        self._changed.clear()
        found = [clip_of(row) for row in self._connection.execute(sa.select(pool_clips).where(condition))]
        self._clips |= {clip.clip_id: clip for clip in found}
        return found

    def _window(self, at_ms: int) -> dict[str, Any]:
        return {
            "start_ms": self._policy.window_start_ms(at_ms),
            "tiers": [tier.name for tier in self._policy.tiers],
        }

    def _take_budgets(self, rows: Iterable[Any], at_ms: int, holders: Iterable[str]) -> None:
        for tier, window_ms, scope, holder, used in rows:
            if scope not in SCOPES:
                raise _unknown("pool_budgets", f"tier {tier} has a budget of scope", scope)
            self._used.setdefault(Budget(tier, window_ms, SCOPES[scope], holder), int(used))
        start_ms = self._policy.window_start_ms(at_ms)
        self._read_holders |= {(start_ms, holder) for holder in holders}


@lru_cache
def _clips_among(dialect: str) -> sa.Select[Any]:
    return sa.select(pool_clips).where(among(dialect, pool_clips.c.clip_id, "clips"))


@lru_cache
def _budgets_of(dialect: str) -> sa.Select[Any]:
    return _budgets(dialect).where(among(dialect, pool_budgets.c.holder, "holders"))


@lru_cache
def _budgets_of_clips(dialect: str) -> sa.Select[Any]:
    """Of the dancers and challenges of clips that are in a tier: each may go up, which these have to pay for."""
    clip = pool_clips.c
    here = sa.and_(among(dialect, clip.clip_id, "clips"), clip.tier.is_not(None))
    holders = sa.union(sa.select(clip.dancer_id).where(here), sa.select(clip.challenge_id).where(here))
    return _budgets(dialect).where(pool_budgets.c.holder.in_(holders))


def _budgets(dialect: str) -> sa.Select[Any]:
    table = pool_budgets.c
    return sa.select(pool_budgets).where(
        among(dialect, table.tier, "tiers"), table.window_start_ms == sa.bindparam("start_ms")
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

"""The state of the pools in SQL for one transaction: what was read and changed is kept until ``flush``."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ranking.database.connection import in_parts, insert_of, upsert
from ranking.database.tables import pool_budgets, pool_clips, pool_kinds
from ranking.pools.machine import leaves_at_ms, transition
from ranking.pools.policy import Policy
from ranking.pools.rounds import round_events
from ranking.pools.state import Budget, Cohort, Counts, PooledClip, PoolEvent, Transition
from schemas.errors import StoreRefused
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import SCOPES

_CLIPS: Final = sa.select(pool_clips).where(pool_clips.c.clip_id.in_(sa.bindparam("clips", expanding=True)))
_BUDGETS: Final = sa.select(pool_budgets).where(
    pool_budgets.c.window_start_ms == sa.bindparam("start_ms"),
    pool_budgets.c.holder.in_(sa.bindparam("holders", expanding=True)),
)


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

    def load(self, clip_ids: Iterable[str]) -> None:
        """Read clips ahead."""
        for part in in_parts(clip_id for clip_id in clip_ids if clip_id not in self._clips):
            found = {clip.clip_id: clip for clip in map(clip_of, self._connection.execute(_CLIPS, {"clips": part}))}
            self._clips |= {clip_id: found.get(clip_id) for clip_id in part}

    def load_budgets(self, at_ms: int, holders: Iterable[str]) -> None:
        """Read this window's budgets of ``holders``, which are dancers and challenges, ahead."""
        start_ms = self._policy.window_start_ms(at_ms)
        known = {holder for window_ms, holder in self._read_holders if window_ms == start_ms}
        for part in in_parts({"", *holders} - known):
            rows = self._connection.execute(_BUDGETS, {"start_ms": start_ms, "holders": part})
            for tier, window_ms, scope, holder, used in rows:
                if scope not in SCOPES:
                    raise _unknown("pool_budgets", f"tier {tier} has a budget of scope", scope)
                self._used.setdefault(Budget(tier, window_ms, SCOPES[scope], holder), int(used))
            self._read_holders |= {(start_ms, holder) for holder in part}

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

    def flush(self) -> None:
        """Write all changes; decisions and events are the caller's to write."""
        self._flush_clips()
        upsert(
            self._connection,
            pool_budgets,
            [budget._asdict() | {"scope": str(budget.scope), "used": self.used(budget)} for budget in self._spent],
        )
        self._spent.clear()
        cohorts = {cohort for cohort, _ in self._learned}
        if cohorts:
            rows = [
                {"challenge_id": cohort.challenge_id, "tenth": cohort.decile}
                | {name: self._learned[(cohort, name)] for name in ("reactions", "views")}
                for cohort in sorted(cohorts)
            ]
            self._connection.execute(_adding_up(self._connection.dialect.name), rows)
            self._learned.clear()
            self._cohorts.clear()

    def _flush_clips(self) -> None:
        upsert(self._connection, pool_clips, [clip_row(self._policy, clip) for clip in self._changed.values()])
        self._changed.clear()

    def _asked(self, condition: sa.ColumnElement[bool]) -> list[PooledClip]:
        self._flush_clips()
        found = list(self._read(condition))
        self._clips |= {clip.clip_id: clip for clip in found}
        return found

    def _read(self, condition: sa.ColumnElement[bool]) -> Iterator[PooledClip]:
        for row in self._connection.execute(sa.select(pool_clips).where(condition)):
            yield clip_of(row)


@lru_cache
def _adding_up(dialect: str) -> sa.Insert:
    insert = insert_of(dialect, pool_kinds)
    table, new = pool_kinds.c, insert.excluded
    added = {"reactions": table.reactions + new.reactions, "views": table.views + new.views}
    return insert.on_conflict_do_update(index_elements=list(pool_kinds.primary_key), set_=added)


def clip_row(policy: Policy, clip: PooledClip) -> dict[str, Any]:
    """A clip as a row of ``pool_clips``."""
    row = msgspec.structs.asdict(clip)
    cohort: Cohort = row.pop("cohort")
    nominated_by = None if clip.nominated_by is None else str(clip.nominated_by)
    leaves = None if clip.gone else leaves_at_ms(policy, clip)
    return row | {"tenth": cohort.decile, "nominated_by": nominated_by, "leaves_at_ms": leaves}


def clip_of(row: sa.Row[Any]) -> PooledClip:
    """A row of ``pool_clips`` as a clip. Raises ``StoreRefused`` for a dimension that this release does not know."""
    fields = dict(row._mapping)
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

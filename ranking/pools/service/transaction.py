"""A transaction of the pools: what it reads at once, decides, and writes at once.

Transactions on PostgreSQL exclude each other only where they meet: on the clips that both are about, and on clips that
one of them brings in or deletes. Whatever else they share they add to (caps, cohorts) or have to themselves (leases).
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ranking.database.connection import FRESH_PLANS, in_parts
from ranking.database.round_trip import POSTGRESQL, Step, among, given_rows, inserting, together
from ranking.database.tables import (
    DECISIONS,
    pool_budgets,
    pool_clips,
    pool_counters,
    pool_decisions,
    pool_outbox,
    pool_policies,
    pool_workers,
)
from ranking.pools.policy import MS, Policy
from ranking.pools.service.engagement import EngagementState
from ranking.pools.service.facts import Facts, UploadedTo, outside_training, uploaded
from ranking.pools.service.journal import writing_events
from ranking.pools.service.sql_state import Overtaken, SqlPoolState
from ranking.scores.generations import ACTIVE, CHOSEN
from ranking.scores.standings import Standing, answered, asking, standings
from ranking.views.applied_offsets import advancing
from schemas.codec import encode
from schemas.errors import FinalError
from schemas.events import ClipScored, PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Limit
from schemas.ports import TopicPartition

POLICY_LOCK: Final = 0x706F6C696379  # "policy"
"""Advisory lock that all transactions share and that changing the policy has alone."""

POOLS_VIEW: Final = "pools"
"""Name of this view among the stored offsets."""

ADOPTED: Final = (
    sa.select(pool_policies.c.adoption, pool_policies.c.content).order_by(pool_policies.c.adoption.desc()).limit(1)
)
"""The active policy, with the number of its adoption."""

_FEW: Final = 200
"""Scored clips of a batch whose ranks are asked for before it is known which of them the pools have already."""

_KEPT_WINDOWS: Final = 2
_NEARLY: Final = 0.9
_CLIP_LOCKS: Final = 0x636C6970  # "clip"
_MOST_LOCKS: Final = 1000
"""Of single clips in a transaction: PostgreSQL has about 6,400 by default. One that needs more is alone."""
_FROZEN_MS: Final = 60_000
"""PostgreSQL ends a transaction that does nothing for so long: its process is frozen, or its host is lost."""

_STANDING: Final = sa.select(
    sa.select(sa.func.max(pool_policies.c.adoption)).scalar_subquery().label("adoption"),
    sa.select(pool_workers.c.batches)
    .where(pool_workers.c.worker == sa.bindparam("of_worker"), pool_workers.c.expires_at_ms.is_not(None))
    .scalar_subquery()
    .label("batches"),
)
"""The number of the last adoption of a policy, and how many batches a worker has made, if it is among the workers."""
_COUNTERS: Final = sa.select(pool_counters.c.name, pool_counters.c.value)
_SET_COUNTER: Final = (
    sa.update(pool_counters)
    .where(pool_counters.c.name == sa.bindparam("counter"))
    .values(value=sa.bindparam("reached"))
)
_WORKED: Final = (
    sa.update(pool_workers)
    .where(
        pool_workers.c.worker == sa.bindparam("of_worker"),
        pool_workers.c.batches == sa.bindparam("batches_before"),
        pool_workers.c.expires_at_ms.is_not(None),
    )
    .values(
        batches=sa.bindparam("batches_after"),
        decisions=pool_workers.c.decisions + sa.bindparam("more_decisions", type_=sa.BigInteger),
        expires_at_ms=sa.bindparam("expires_ms"),
    )
    .returning(pool_workers.c.worker)
)
_ROUND: Final = (
    sa.update(pool_counters)
    .where(
        pool_counters.c.name == "round",
        sa.func.abs(sa.bindparam("at_ms", type_=sa.BigInteger) - pool_counters.c.value) >= sa.bindparam("least_ms"),
    )
    .values(value=sa.bindparam("at_ms", type_=sa.BigInteger))
    .returning(pool_counters.c.value)
)


class PolicyReplaced(FinalError):
    """Another worker has adopted another policy since this one started."""

    code = "policy_replaced"
    remedy = "Start this worker again with the policy that is active, named in `pools.policy`."


class NotJoined(Exception):
    """The worker is not among those of the database: it has just started, or was taken to have ended."""


class _Windows(msgspec.Struct):
    """What is read of a policy whose other parts another release may have written."""

    window_s: int


class Batch(NamedTuple):
    """What a transaction is about, to be read at once: the clips ``clip_ids``, of which ``scored`` came with scores and
    ``deleted`` are to be deleted.
    """

    at_ms: int
    clip_ids: Sequence[str] = ()
    scored: Sequence[ClipScored] = ()
    deleted: Sequence[str] = ()


class Worker(NamedTuple):
    """Who decides. It is taken to have ended ``lease_ms`` after its last transaction."""

    name: str
    lease_ms: int
    keeps_journal: bool


class PoolTransaction:
    """One transaction: decides by ``state``, keeps observations by ``engagement``, advances positions."""

    def __init__(
        self,
        connection: sa.Connection,
        policy: Policy,
        adoption: int,
        worker: Worker,
        at_ms: int,
        expected: str | None = None,
    ) -> None:
        """``expected``: the generation that is likely active. Clips are ranked by it in the round trip that says
        whether it is; if it is not, in one of their own.
        """
        self._connection = connection
        self._policy = policy
        self._adoption = adoption
        self._worker = worker
        self._at_ms = at_ms
        self._expected = self.active = expected
        self._stands: Mapping[str, Mapping[Dimension, Standing]] | None = None
        self._batches = 0
        self._counters: dict[str, int] = {}
        self._advances: list[Step] = []
        self.state = SqlPoolState(connection, policy, worker.name)
        self.engagement = EngagementState(connection)

    def open(self, batch: Batch) -> Facts:
        """Read what ``batch`` needs, in one round trip. Raises ``PolicyReplaced`` and ``NotJoined``."""
        claims = sorted({_key(clip_id) for clip_id in (*(clip.clip_id for clip in batch.scored), *batch.deleted)})
        is_alone = len(claims) > _MOST_LOCKS
        steps = entering(self._connection, alone=is_alone)
        if steps and claims and not is_alone:
            steps.append(Step(_CLAIM, {"keys": claims}))
        steps += [
            Step(_STANDING, {"of_worker": self._worker.name}, check=self._check_standing),
        ]
        if self._connection.dialect.name != POSTGRESQL:
            steps.append(Step(_COUNTERS, check=self._count))
        return self._read(batch, steps)

    def read(self, clip_ids: Sequence[str]) -> Facts:
        """Read what more clips need."""
        return self._read(Batch(self._at_ms, clip_ids), [])

    def _read(self, batch: Batch, first: Sequence[Step]) -> Facts:
        clip_ids = sorted(set(batch.clip_ids))
        scored = sorted({clip.clip_id for clip in batch.scored})
        holders = sorted({holder for clip in batch.scored for holder in (clip.dancer_id, clip.challenge_id)})
        about = batch.at_ms, clip_ids, holders
        dialect = self._connection.dialect.name
        clips_read, observed, facts = list[Step](), list[Step](), list[Step]()
        if clip_ids:
            clips_read = self.state.reading(*about)
            observed = self.engagement.reading(clip_ids, deferred=scored)
            facts = [Step(uploaded(dialect), {"clips": clip_ids})]
        if scored:
            facts += [Step(ACTIVE), Step(CHOSEN), Step(outside_training(dialect), {"clips": scored})]
        asks_ahead = bool(scored) and len(scored) <= _FEW and self._expected is not None
        if asks_ahead:
            facts.append(asking(dialect, scored, str(self._expected)))
        rows = iter(together(self._connection, [*first, *clips_read, *observed, *facts], prepared=True)[len(first) :])
        if not clip_ids:
            return Facts()
        self.state.known([next(rows) for _ in clips_read], *about)
        self.engagement.known([next(rows) for _ in observed], clip_ids, deferred=scored)
        uploads = {row.clip_id: UploadedTo(row.challenge_id, int(row.uploaded_at_ms)) for row in next(rows)}
        if not scored:
            return Facts(uploads)
        active, chosen, outside = ([row[0] for row in next(rows)] for _ in range(3))
        if asks_ahead:
            self._stands = answered(next(rows))
        self.active = active[0] if active else None
        return Facts(uploads, self.active, frozenset(chosen), frozenset(outside))

    def _check_standing(self, rows: Sequence[Any]) -> None:
        (found,) = rows
        if found.adoption != self._adoption:
            raise PolicyReplaced(
                f"another policy became active after {self._policy.version}; start this worker again with that policy",
                field="policy",
            )
        if found.batches is None:
            raise NotJoined
        self._batches = int(found.batches)

    def _count(self, rows: Sequence[Any]) -> None:
        self._counters = {row.name: int(row.value) for row in rows}

    def standings(self, clip_ids: Collection[str], generation: str) -> Mapping[str, Mapping[Dimension, Standing]]:
        """Ranks of clips that ``generation`` scored in their challenges."""
        if generation == self._expected and self._stands is not None:
            return self._stands
        return {
            clip_id: found
            for part in in_parts(clip_ids)
            for clip_id, found in standings(self._connection, part, generation).items()
        }

    def advance(self, positions: Mapping[TopicPartition, int]) -> None:
        self._advances += advancing(self._connection, POOLS_VIEW, positions)

    def begin_round(self, at_ms: int, interval_ms: int) -> bool:
        """Whether a round is due: no worker began one within nearly ``interval_ms``, by clocks that may differ.

        A round that lies further ahead was begun by a clock that has been set since, and counts no more.
        """
        least_ms = round(interval_ms * _NEARLY)
        (begun,) = together(self._connection, [Step(_ROUND, {"at_ms": at_ms, "least_ms": least_ms})])
        return bool(begun)

    def forget_windows(self, at_ms: int) -> None:
        """Drop what dancers and challenges were granted in windows that are over by every policy: each may return."""
        contents = self._connection.scalars(sa.select(pool_policies.c.content))
        longest_s = max(msgspec.msgpack.decode(content, type=_Windows).window_s for content in contents)
        table = pool_budgets.c
        over_ms = at_ms - _KEPT_WINDOWS * longest_s * MS
        self._connection.execute(
            sa.delete(pool_budgets).where(
                table.scope.in_([str(Limit.DANCER), str(Limit.CHALLENGE)]), table.window_start_ms < over_ms
            )
        )

    def finish(self) -> None:
        """Write everything in one round trip. Raises ``LeaseShort`` and ``Overtaken``."""
        self.state.check_leases()
        events, made = self.state.events, self.state.decisions
        batches = self._batches + bool(events)
        steps = [
            *self._worked(batches, len(made)),
            *self.engagement.changes(),
            *self.state.changes(),
            *self._advances,
            *self._made(made),
        ]
        if events:
            steps += self._journal(batches)
        steps += [*self._unknown_still(), *self.state.shared_changes()]
        together(self._connection, steps, prepared=True)

    def _worked(self, batches: int, decisions: int) -> Iterable[Step]:
        row = {
            "of_worker": self._worker.name,
            "batches_before": self._batches,
            "batches_after": batches,
            "more_decisions": decisions,
            "expires_ms": self._at_ms + self._worker.lease_ms,
        }
        yield Step(_WORKED, row, check=_expected)

    def _made(self, decisions: Sequence[PoolDecision]) -> Iterable[Step]:
        """In sequence, numbered while the clips are locked, so that numbers of a clip rise."""
        first = self._counters.get("decisions", 0) + 1  # PostgreSQL numbers them itself
        rows = [
            {
                "clip_id": decision.clip_id,
                "number": decision.number,
                "sequence": sequence,
                "decided_at_ms": decision.decided_at_ms,
                "content": encode(decision),
            }
            for sequence, decision in enumerate(decisions, start=first)
        ]
        if not rows:
            return
        if self._connection.dialect.name == POSTGRESQL:
            yield Step(_MAKING, rows)
            return
        yield from inserting(self._connection, pool_decisions, rows)
        yield from inserting(self._connection, pool_outbox, [{"sequence": row["sequence"]} for row in rows])
        yield Step(_SET_COUNTER, {"counter": "decisions", "reached": first + len(decisions) - 1})

    def _journal(self, number: int) -> Iterable[Step]:
        batch = self._counters.get("batches", 0) + 1
        if self._worker.keeps_journal:
            state = self.state
            yield writing_events(
                self._connection, batch, self._adoption, self._worker.name, number, state.events, state.consulted
            )
        if self._connection.dialect.name != POSTGRESQL:
            yield Step(_SET_COUNTER, {"counter": "batches", "reached": batch})

    def _unknown_still(self) -> Iterable[Step]:
        """Steps that make sure that no other worker brings in a clip whose observations are deferred as unknown: it
        would not have seen them.
        """
        clip_ids = sorted(self.engagement.unknown)
        dialect = self._connection.dialect.name
        if clip_ids and dialect == POSTGRESQL:
            yield Step(_SHARE_IF_FREE, {"keys": sorted({_key(clip_id) for clip_id in clip_ids})}, check=_all_free)
            known = sa.select(pool_clips.c.clip_id).where(among(dialect, pool_clips.c.clip_id, "clips"))
            yield Step(known, {"clips": clip_ids}, check=_unexpected)


def entering(connection: sa.Connection, *, alone: bool = False) -> list[Step]:
    """Steps with which every transaction of the pools begins: that of another policy, and that of very many clips,
    run ``alone``. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name != POSTGRESQL:
        return []
    return [Step(_ENTER_ALONE if alone else _ENTER)]


def _entering(lock: Any) -> sa.Select[Any]:
    limit = sa.func.set_config("idle_in_transaction_session_timeout", str(_FROZEN_MS), True)
    return sa.select(limit, FRESH_PLANS, lock(POLICY_LOCK))


_ENTER: Final = _entering(sa.func.pg_advisory_xact_lock_shared)
_ENTER_ALONE: Final = _entering(sa.func.pg_advisory_xact_lock)
_KEYS: Final = sa.func.unnest(sa.bindparam("keys", type_=postgresql.ARRAY(sa.Integer()))).column_valued("given")
_CLAIM: Final = sa.select(sa.func.pg_advisory_xact_lock(_CLIP_LOCKS, _KEYS))
_SHARE_IF_FREE: Final = sa.select(
    sa.func.bool_and(sa.func.pg_try_advisory_xact_lock_shared(_CLIP_LOCKS, _KEYS)).label("all_free")
)


def _making() -> sa.Executable:
    """Decisions with their numbers, and the numbers to the outbox."""
    columns = [column for column in pool_decisions.c if column.name != "sequence"]
    given = given_rows(columns)
    made = (
        postgresql.insert(pool_decisions)
        .from_select([*(column.name for column in columns), "sequence"], sa.select(*given.c, DECISIONS.next_value()))
        .returning(pool_decisions.c.sequence)
        .cte("made")
    )
    return sa.insert(pool_outbox).from_select(["sequence"], sa.select(made.c.sequence))


_MAKING: Final = _making()


def _key(clip_id: str) -> int:
    """Of the lock of a clip; a few clips of a million have one together."""
    return zlib.crc32(clip_id.encode()) - (1 << 31)


def _expected(rows: Sequence[Any]) -> None:
    if not rows:
        raise Overtaken


def _unexpected(rows: Sequence[Any]) -> None:
    if rows:
        raise Overtaken


def _all_free(rows: Sequence[Any]) -> None:
    if not rows[0].all_free:
        raise Overtaken

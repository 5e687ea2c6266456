"""The database of the pools: any number of workers decide in it, and publish what was decided."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.connection import FRESH_PLANS, Database
from ranking.database.round_trip import COMMIT, Step, among, together
from ranking.database.tables import pool_clips, pool_counters, pool_decisions, pool_outbox, pool_policies, pool_workers
from ranking.pools.policy import MS, Policy
from ranking.pools.service import leases, snapshots
from ranking.pools.service.facts import Facts
from ranking.pools.service.leases import LEASE_S, LaneWindow, LeaseShort
from ranking.pools.service.replaying import Replay, replay
from ranking.pools.service.snapshots import JournalSize
from ranking.pools.service.sql_state import Overtaken, SqlPoolState
from ranking.pools.service.transaction import (
    ADOPTED,
    POLICY_LOCK,
    POOLS_VIEW,
    Batch,
    NotJoined,
    PoolTransaction,
    Worker,
    entering,
)
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import stored_positions
from schemas.codec import decode
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.events import PoolDecision
from schemas.ports import TopicPartition

_ATTEMPTS: Final = 50
_LOOK_AGAIN_S: Final = 0.002
_LONGEST_WAIT_S: Final = 0.05
_FREE: Final = (
    sa.select(pool_counters.c.value).where(pool_counters.c.name == "published").with_for_update(skip_locked=True)
)
_CONTENT: Final = sa.select(pool_decisions.c.content).where(pool_decisions.c.sequence == pool_outbox.c.sequence)
_NEXT: Final = (
    sa.select(pool_outbox.c.sequence, _CONTENT.scalar_subquery().label("content"))
    .order_by(pool_outbox.c.sequence)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
"""Decisions to publish, by their numbers. A clip's second decision is numbered after the transaction of the first has
ended. Each is looked up by itself: a join reads all decisions ever made while the tables have no statistics."""
_UNPUBLISHED: Final = sa.select(pool_outbox.c.sequence).limit(1)
_FRESH: Final = Step(sa.select(FRESH_PLANS))
_encode_policy: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class Published(NamedTuple):
    """How many decisions were published, and whether more wait."""

    decisions: int
    is_more: bool


class PoolStore:
    """Any number of workers may use one database: each grants from budgets that are leased to it, so that none is
    overspent. A store is one worker.

    Every method raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, *, keeps_journal: bool = True, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._keeps_journal = keeps_journal
        self._lease_ms = round(lease_s * MS)
        self._name = ""
        self._granting: set[LaneWindow] = set()
        self._generation: str | None = None

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        with self._database.reading() as connection:
            return stored_positions(connection, POOLS_VIEW, partitions)

    def ranked_to(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The positions of the rankings."""
        with self._database.glancing() as connection:
            return stored_positions(connection, SCORES_VIEW, partitions)

    def adopt(self, policy: Policy, at_ms: int) -> int:
        """Make ``policy`` active, if it is not; returns the number of its adoption.

        Leases under another one end: its workers have to stop. Raises ``ConfigurationError`` if another policy was
        known by its version.
        """
        content = _encode_policy(policy)
        with self._database.writing() as connection:
            together(connection, entering(connection, alone=True))
            table = pool_policies.c
            named = connection.execute(sa.select(table.content).where(table.version == policy.version)).scalars()
            if any(known != content for known in named):
                raise ConfigurationError(
                    f"policy {policy.version} was active before with another content; give every change a new version",
                    field="version",
                )
            last = connection.execute(ADOPTED).one_or_none()
            if last is not None and bytes(last.content) == content:
                return int(last.adoption)
            adoption = 1 if last is None else int(last.adoption) + 1
            row = {"adoption": adoption, "version": policy.version, "content": content, "adopted_at_ms": at_ms}
            connection.execute(sa.insert(pool_policies), row)
            _reckon_stays(connection, policy)
            leases.wait_for_turn(connection)
            leases.settle(connection, sa.true())
            return adoption

    def decide(
        self, policy: Policy, adoption: int, batch: Batch, handle: Callable[[PoolTransaction, Facts], object]
    ) -> list[PoolDecision]:
        """One transaction under ``policy`` about ``batch``: what ``handle`` does is written together, nothing if it
        raises. It is called again if another worker was quicker, or if a lease was too small. Returns what was decided.

        Raises ``PolicyReplaced`` if another policy has been adopted since.
        """
        for attempt in range(_ATTEMPTS):
            worker = Worker(self._name, self._lease_ms, self._keeps_journal)
            try:
                with self._database.writing() as connection:
                    transaction = PoolTransaction(connection, policy, adoption, worker, batch.at_ms, self._generation)
                    handle(transaction, transaction.open(batch))
                    transaction.finish()
            except LeaseShort as short:
                self._lease(policy, adoption, short.wants, batch.at_ms)
            except NotJoined:
                self._join(batch.at_ms)
            except Overtaken:
                time.sleep(min(_LOOK_AGAIN_S * attempt, _LONGEST_WAIT_S))
            else:
                self._granting |= transaction.state.granted_lanes()
                self._generation = transaction.active
                return transaction.state.decisions
        raise StoreUnavailable(f"other workers of the pools were quicker {_ATTEMPTS} times; try again")

    @contextmanager
    def looking(self, policy: Policy) -> Iterator[SqlPoolState]:
        """The state of the pools at this moment, for a plan; nothing is locked or written."""
        with self._database.reading() as connection:
            yield SqlPoolState(connection, policy)

    def _join(self, at_ms: int) -> None:
        self._name = uuid.uuid4().hex
        row = {"worker": self._name, "expires_at_ms": at_ms + self._lease_ms, "batches": 0, "decisions": 0}
        with self._database.writing() as connection:
            connection.execute(sa.insert(pool_workers), row)

    def _lease(self, policy: Policy, adoption: int, wants: Mapping[LaneWindow, int], at_ms: int) -> None:
        with self._database.writing() as connection:
            together(connection, entering(connection))
            last = connection.execute(ADOPTED).one()
            if int(last.adoption) != adoption:
                return  # the next attempt says so
            leases.wait_for_turn(connection)
            leases.expire(connection, self._name, at_ms)
            leases.take(connection, policy, self._name, wants, at_ms)

    def tidy_leases(self, policy: Policy, at_ms: int) -> int:
        """Return leases from which nothing was granted since the last call, and end those of workers that are not heard
        of; returns how many these had.
        """
        with self._database.writing() as connection:
            leases.wait_for_turn(connection)
            expired = leases.expire(connection, self._name, at_ms)
            leases.give_back(connection, self._name, self._granting, policy.window_start_ms(at_ms))
        self._granting.clear()
        return expired

    def leave(self) -> None:
        """Return all leases, at the end; what comes later joins again."""
        if self._name:
            with self._database.writing() as connection:
                leases.wait_for_turn(connection)
                leases.leave(connection, [self._name])

    def publish(self, deliver: Callable[[Sequence[PoolDecision]], None], most: int) -> Published | None:
        """Hand the next decisions, at most ``most``, to ``deliver``, which returns once they are safe or raises.

        Those about one clip come in the order in which they were made, and none is left out. After a crash some come
        again. Returns ``None`` while another worker publishes: what was decided meanwhile it has left to that one,
        which finds it among what is left.
        """
        if self._database.dialect == "sqlite":
            return self._publish_unlocked(deliver, most)
        with self._database.writing() as connection:
            _, is_free, rows = together(connection, [_FRESH, Step(_FREE), Step(_NEXT, {"most": most})], prepared=True)
            if not is_free:
                return None
            if rows:
                deliver([decode(row.content, PoolDecision) for row in rows])
            # Others look for what is left once the lock is free, so this one does as well.
            done = [_published(connection, rows)] if rows else []
            *_, left = together(connection, [*done, COMMIT, Step(_UNPUBLISHED)])
            return Published(len(rows), bool(left))

    def _publish_unlocked(self, deliver: Callable[[Sequence[PoolDecision]], None], most: int) -> Published:
        """Without holding the one lock of all writers while Kafka is waited for; of two workers both may send."""
        with self._database.reading() as connection:
            rows = connection.execute(_NEXT, {"most": most}).all()
        if rows:
            deliver([decode(row.content, PoolDecision) for row in rows])
            with self._database.writing() as connection:
                together(connection, [_published(connection, rows)])
        return Published(len(rows), self.has_unpublished())

    def has_unpublished(self) -> bool:
        """Whether there are decisions that were not published yet."""
        with self._database.glancing() as connection:
            return connection.execute(_UNPUBLISHED).first() is not None

    def take_snapshot(self, at_ms: int, *, interval_s: float = 0.0) -> bool:
        """Let a snapshot take the place of the journal so far, if the one before is ``interval_s`` old and no other
        worker is at it.
        """
        interval_ms = round(interval_s * MS)
        with self._database.reading() as connection:
            if not self._keeps_journal or not snapshots.is_due(connection, at_ms, interval_ms):
                return False
        # Held before the transaction sees its state: of two that see the same one, the second would write it again.
        with self._database.alone(snapshots.LOCK) as is_free:
            if not is_free:
                return False
            with self._database.undisturbed(POLICY_LOCK) as connection:
                # Another worker may have been quicker.
                return snapshots.is_due(connection, at_ms, interval_ms) and snapshots.take(connection, at_ms)

    def journal_size(self) -> JournalSize:
        """What the journal and the snapshot before it hold."""
        with self._database.reading() as connection:
            return snapshots.journal_size(connection)

    def replay(self) -> Replay:
        """Make all decisions since the newest snapshot again from the journal, and compare. Raises
        ``JournalIncomplete``.
        """
        with self._database.reading() as connection:
            return replay(connection)


def _published(connection: sa.Connection, rows: Sequence[Any]) -> Step:
    """A step that takes decisions out of the outbox."""
    return Step(_done(connection.dialect.name), {"sequences": [int(row.sequence) for row in rows]})


@lru_cache
def _done(dialect: str) -> sa.Delete:
    return sa.delete(pool_outbox).where(among(dialect, pool_outbox.c.sequence, "sequences"))


def _reckon_stays(connection: sa.Connection, policy: Policy) -> None:
    """Compute again when each clip leaves, as ``ranking.pools.machine.leaves_at_ms`` does."""
    table = pool_clips.c
    stays = {tier.name: table.entered_at_ms + tier.stay_s * MS for tier in policy.tiers}
    outside = table.rated_at_ms + policy.tiers[0].stay_s * MS
    leaves = sa.case(
        (table.tier.is_(None), outside),
        *((table.tier == name, at) for name, at in stays.items()),
        else_=table.entered_at_ms,
    )
    connection.execute(sa.update(pool_clips).where(table.gone.is_(False)).values(leaves_at_ms=leaves))

"""The database of the pools: transactions that take turns, each with the positions that it is about."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database, in_parts
from ranking.database.tables import (
    clips,
    pool_budgets,
    pool_clips,
    pool_counters,
    pool_decisions,
    pool_policies,
    scored_clips,
)
from ranking.pools.policy import MS, Policy
from ranking.pools.service.engagement import EngagementState
from ranking.pools.service.journal import Replay, replay, write_events
from ranking.pools.service.sql_state import SqlPoolState
from ranking.scores.generations import active_generation, generations_chosen
from ranking.scores.standings import Standing, standings
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import advance, stored_positions
from schemas.codec import decode, encode
from schemas.errors import ConfigurationError, FinalError
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Limit
from schemas.ports import TopicPartition

POOLS_VIEW: Final = "pools"
"""Name of this view among the stored offsets."""

_KEPT_WINDOWS: Final = 2
_NEARLY: Final = 0.9

_NAMED: Final = pool_counters.c.name == sa.bindparam("counter")
_VALUE: Final = sa.select(pool_counters.c.value).where(_NAMED)
_LOCKED_VALUE: Final = _VALUE.with_for_update()
_FREE_VALUE: Final = _VALUE.with_for_update(skip_locked=True)
_SET_VALUE: Final = sa.update(pool_counters).where(_NAMED).values(value=sa.bindparam("reached"))
_HAS_UNPUBLISHED: Final = sa.select(
    sa.func.max(pool_counters.c.value).filter(pool_counters.c.name == "decisions")
    > sa.func.max(pool_counters.c.value).filter(pool_counters.c.name == "published")
)
_ADOPTED: Final = (
    sa.select(pool_policies.c.adoption, pool_policies.c.content).order_by(pool_policies.c.adoption.desc()).limit(1)
)
_UPLOADED: Final = sa.select(clips.c.clip_id, clips.c.challenge_id, clips.c.uploaded_at_ms).where(
    clips.c.clip_id.in_(sa.bindparam("clips", expanding=True))
)
_encode_policy: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class PolicyReplaced(FinalError):
    """Another worker has adopted another policy since this one started."""

    code = "policy_replaced"
    remedy = "Start this worker again with the policy that is active, named in `pools.policy`."


class _Windows(msgspec.Struct):
    """What is read of a policy whose other parts another release may have written."""

    window_s: int


class UploadedTo(NamedTuple):
    """Challenge and time of a clip's upload."""

    challenge_id: str
    at_ms: int


class PoolTransaction:
    """One transaction: decides by ``state``, keeps observations by ``engagement``, advances positions."""

    def __init__(self, connection: sa.Connection, policy: Policy, adoption: int, *, keeps_journal: bool) -> None:
        self._connection = connection
        self._adoption = adoption
        self._keeps_journal = keeps_journal
        self.state = SqlPoolState(connection, policy)
        self.engagement = EngagementState(connection)

    def active_generation(self) -> str | None:
        """``None`` until the first clip was scored."""
        return active_generation(self._connection)

    def generations_chosen(self) -> set[str]:
        """All that are or were active."""
        return generations_chosen(self._connection)

    def uploads(self, clip_ids: Iterable[str]) -> dict[str, UploadedTo]:
        """The latest upload of clips, for those that the rankings hold."""
        found: dict[str, UploadedTo] = {}
        for part in in_parts(clip_ids):
            rows = self._connection.execute(_UPLOADED, {"clips": part})
            found |= {row.clip_id: UploadedTo(row.challenge_id, int(row.uploaded_at_ms)) for row in rows}
        return found

    def standings(self, clip_ids: Collection[str], generation: str) -> dict[str, dict[Dimension, Standing]]:
        """Ranks of clips that ``generation`` scored in their challenges."""
        return {
            clip_id: found
            for part in in_parts(clip_ids)
            for clip_id, found in standings(self._connection, part, generation).items()
        }

    def outside_training(self, clip_ids: Collection[str], generation: str) -> set[str]:
        """Those of the clips that lie outside the training distribution of ``generation``, as the rankings hold it."""
        table = scored_clips.c
        query = sa.select(table.clip_id).where(table.generation == generation, table.training_distance > 1.0)
        return {
            clip_id
            for part in in_parts(clip_ids)
            for clip_id in self._connection.scalars(query.where(table.clip_id.in_(part)))
        }

    def advance(self, positions: Mapping[TopicPartition, int]) -> None:
        advance(self._connection, POOLS_VIEW, positions)

    def begin_round(self, at_ms: int, interval_ms: int) -> bool:
        """Whether a round is due: no worker began one within nearly ``interval_ms``, by clocks that may differ.

        A round that lies further ahead was begun by a clock that has been set since, and counts no more.
        """
        if abs(at_ms - _counter(self._connection, "round")) < interval_ms * _NEARLY:
            return False
        _count(self._connection, "round", at_ms)
        return True

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
        """Write what was decided, in sequence."""
        self.state.flush()
        self.engagement.flush()
        made = self.state.decisions
        if made:
            first = _counter(self._connection, "decisions") + 1
            self._connection.execute(
                sa.insert(pool_decisions),
                [
                    {
                        "clip_id": decision.clip_id,
                        "number": decision.number,
                        "sequence": sequence,
                        "decided_at_ms": decision.decided_at_ms,
                        "content": encode(decision),
                    }
                    for sequence, decision in enumerate(made, start=first)
                ],
            )
            _count(self._connection, "decisions", first + len(made) - 1)
        if self.state.events:
            batch = _counter(self._connection, "batches") + 1
            if self._keeps_journal:
                write_events(self._connection, batch, self._adoption, self.state.events)
            _count(self._connection, "batches", batch)


class PoolStore:
    """Any number of workers may use one database: their transactions take turns, so that no budget is overspent.

    Every method raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, *, keeps_journal: bool = True) -> None:
        self._database = database
        self._keeps_journal = keeps_journal

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        with self._database.reading() as connection:
            return stored_positions(connection, POOLS_VIEW, partitions)

    def ranked_to(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The positions of the rankings."""
        with self._database.reading() as connection:
            return stored_positions(connection, SCORES_VIEW, partitions)

    def adopt(self, policy: Policy, at_ms: int) -> int:
        """Make ``policy`` active, if it is not; returns the number of its adoption.

        Raises ``ConfigurationError`` if another policy was known by its version.
        """
        content = _encode_policy(policy)
        with self._database.writing() as connection:
            _take_turn(connection)
            table = pool_policies.c
            named = connection.execute(sa.select(table.content).where(table.version == policy.version)).scalars()
            if any(known != content for known in named):
                raise ConfigurationError(
                    f"policy {policy.version} was active before with another content; give every change a new version",
                    field="version",
                )
            last = _adopted(connection)
            if last is not None and last[1] == content:
                return last[0]
            adoption = 1 if last is None else last[0] + 1
            row = {"adoption": adoption, "version": policy.version, "content": content, "adopted_at_ms": at_ms}
            connection.execute(sa.insert(pool_policies), row)
            _reckon_stays(connection, policy)
            return adoption

    @contextmanager
    def deciding(self, policy: Policy, adoption: int) -> Iterator[PoolTransaction]:
        """A transaction under ``policy``; all is written on leaving, nothing if left by an error.

        Raises ``PolicyReplaced`` if another policy has been adopted since.
        """
        with self._database.writing() as connection:
            _take_turn(connection)
            last = _adopted(connection)
            if last is None or last[0] != adoption:
                raise PolicyReplaced(
                    f"another policy became active after {policy.version}; start this worker again with that policy",
                    field="policy",
                )
            transaction = PoolTransaction(connection, policy, adoption, keeps_journal=self._keeps_journal)
            yield transaction
            transaction.finish()

    def publish(self, deliver: Callable[[Sequence[PoolDecision]], None], most: int) -> int | None:
        """Hand the next decisions, at most ``most``, to ``deliver``, which returns once they are safe or raises.

        They come in sequence and none is left out. After a crash some come again. Returns how many there were; ``None``
        while another worker publishes. Whoever got a number has to look again, by ``has_unpublished``: what others
        decided meanwhile they have left to it.
        """
        if self._database.dialect == "sqlite":
            return self._publish_unlocked(deliver, most)
        with self._database.writing() as connection:
            published = connection.scalars(_FREE_VALUE, {"counter": "published"}).one_or_none()
            if published is None:
                return None
            rows = _next_decisions(connection, int(published), most)
            if rows:
                deliver([decode(row.content, PoolDecision) for row in rows])
                _count(connection, "published", rows[-1].sequence)
            return len(rows)

    def _publish_unlocked(self, deliver: Callable[[Sequence[PoolDecision]], None], most: int) -> int:
        """Without holding the one lock of all writers while Kafka is waited for; of two workers both may send."""
        with self._database.reading() as connection:
            rows = _next_decisions(connection, _counter(connection, "published"), most)
        if rows:
            deliver([decode(row.content, PoolDecision) for row in rows])
            with self._database.writing() as connection:
                if rows[-1].sequence > _counter(connection, "published"):
                    _count(connection, "published", rows[-1].sequence)
        return len(rows)

    def has_unpublished(self) -> bool:
        """Whether there are decisions that were not published yet."""
        with self._database.reading() as connection:
            return connection.scalars(_HAS_UNPUBLISHED).one()

    def replay(self) -> Replay:
        """Make all decisions again from the journal and compare. Raises ``JournalIncomplete``."""
        with self._database.reading() as connection:
            return replay(connection, _counter(connection, "batches"))


def _take_turn(connection: sa.Connection) -> None:
    """Wait until no other transaction decides; SQLite's writers have done so already."""
    connection.execute(_LOCKED_VALUE, {"counter": "decisions"})


def _next_decisions(connection: sa.Connection, published: int, most: int) -> Sequence[sa.Row[Any, Any]]:
    table = pool_decisions.c
    query = sa.select(table.sequence, table.content).where(table.sequence > published).order_by(table.sequence)
    return connection.execute(query.limit(most)).all()


def _counter(connection: sa.Connection, name: str) -> int:
    return int(connection.scalars(_VALUE, {"counter": name}).one())


def _count(connection: sa.Connection, name: str, value: int) -> None:
    connection.execute(_SET_VALUE, {"counter": name, "reached": value})


def _adopted(connection: sa.Connection) -> tuple[int, bytes] | None:
    row = connection.execute(_ADOPTED).one_or_none()
    return None if row is None else (int(row.adoption), bytes(row.content))


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

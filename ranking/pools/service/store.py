"""The database of the pools: transactions that take turns, each with the positions that it is about."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database, in_parts
from ranking.database.round_trip import Step, among, inserting, together
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
from ranking.pools.service.journal import Replay, replay, writing_events
from ranking.pools.service.sql_state import SqlPoolState
from ranking.scores.generations import ACTIVE, CHOSEN
from ranking.scores.standings import Standing, standings
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import advancing, stored_positions
from schemas.codec import decode, encode
from schemas.errors import ConfigurationError, FinalError
from schemas.events import ClipScored, PoolDecision
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


class Batch(NamedTuple):
    """What a transaction is about, to be read at once: the clips ``clip_ids``, of which ``scored`` came with scores."""

    at_ms: int
    clip_ids: Sequence[str] = ()
    scored: Sequence[ClipScored] = ()


class Facts(NamedTuple):
    """What the rankings hold about a batch: the latest ``uploads`` of its clips, by clip; and if any were scored, the
    ``active`` generation and all that are or were, and the scored clips outside the training distribution of the
    active one.
    """

    uploads: Mapping[str, UploadedTo] = {}
    active: str | None = None
    chosen: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()


class PoolTransaction:
    """One transaction: decides by ``state``, keeps observations by ``engagement``, advances positions."""

    def __init__(self, connection: sa.Connection, policy: Policy, adoption: int, *, keeps_journal: bool) -> None:
        self._connection = connection
        self._policy = policy
        self._adoption = adoption
        self._keeps_journal = keeps_journal
        self._counters: dict[str, int] = {}
        self._advances: list[Step] = []
        self.state = SqlPoolState(connection, policy)
        self.engagement = EngagementState(connection)

    def open(self, batch: Batch) -> Facts:
        """Wait for the turn, and read what ``batch`` needs, in one round trip. Raises ``PolicyReplaced``."""
        clip_ids = sorted(set(batch.clip_ids))
        scored = sorted({clip.clip_id for clip in batch.scored})
        holders = sorted({holder for clip in batch.scored for holder in (clip.dancer_id, clip.challenge_id)})
        about = batch.at_ms, clip_ids, holders
        dialect = self._connection.dialect.name
        turn = [Step(_LOCKED_VALUE, {"counter": "decisions"}), Step(_VALUE, {"counter": "batches"}), Step(_ADOPTED)]
        clips_read, observed, facts = list[Step](), list[Step](), list[Step]()
        if clip_ids:
            clips_read = self.state.reading(*about)
            observed = self.engagement.reading(clip_ids, deferred=scored)
            facts = [Step(_uploaded(dialect), {"clips": clip_ids})]
        if scored:
            facts += [Step(ACTIVE), Step(CHOSEN), Step(_outside_training(dialect), {"clips": scored})]
        rows = iter(together(self._connection, [*turn, *clips_read, *observed, *facts]))
        self._check(next(rows), next(rows), next(rows))
        if not clip_ids:
            return Facts()
        self.state.known([next(rows) for _ in clips_read], *about)
        self.engagement.known([next(rows) for _ in observed], clip_ids, deferred=scored)
        uploads = {row.clip_id: UploadedTo(row.challenge_id, int(row.uploaded_at_ms)) for row in next(rows)}
        if not scored:
            return Facts(uploads)
        active, chosen, outside = ([row[0] for row in each] for each in rows)
        return Facts(uploads, active[0] if active else None, frozenset(chosen), frozenset(outside))

    def _check(self, decisions: Sequence[Any], batches: Sequence[Any], adopted: Sequence[Any]) -> None:
        self._counters = {"decisions": int(decisions[0].value), "batches": int(batches[0].value)}
        if not adopted or int(adopted[0].adoption) != self._adoption:
            raise PolicyReplaced(
                f"another policy became active after {self._policy.version}; start this worker again with that policy",
                field="policy",
            )

    def standings(self, clip_ids: Collection[str], generation: str) -> dict[str, dict[Dimension, Standing]]:
        """Ranks of clips that ``generation`` scored in their challenges."""
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
        """Write everything, decisions in sequence, in one round trip."""
        connection, events, made = self._connection, self.state.events, self.state.decisions
        steps = [*self.state.changes(), *self.engagement.changes(), *self._advances]
        if made:
            first = self._counters["decisions"] + 1
            rows = [
                {
                    "clip_id": decision.clip_id,
                    "number": decision.number,
                    "sequence": sequence,
                    "decided_at_ms": decision.decided_at_ms,
                    "content": encode(decision),
                }
                for sequence, decision in enumerate(made, start=first)
            ]
            steps += [*inserting(connection, pool_decisions, rows), _counting("decisions", first + len(made) - 1)]
        if events:
            batch = self._counters["batches"] + 1
            if self._keeps_journal:
                steps += writing_events(connection, batch, self._adoption, events)
            steps.append(_counting("batches", batch))
        together(connection, steps)


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
    def deciding(self, policy: Policy, adoption: int, batch: Batch) -> Iterator[tuple[PoolTransaction, Facts]]:
        """A transaction under ``policy`` about ``batch``; all is written on leaving, nothing if left by an error.

        Raises ``PolicyReplaced`` if another policy has been adopted since.
        """
        with self._database.writing() as connection:
            transaction = PoolTransaction(connection, policy, adoption, keeps_journal=self._keeps_journal)
            yield transaction, transaction.open(batch)
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
    together(connection, [_counting(name, value)])


def _counting(name: str, value: int) -> Step:
    return Step(_SET_VALUE, {"counter": name, "reached": value})


@lru_cache
def _uploaded(dialect: str) -> sa.Select[Any]:
    uploaded = sa.select(clips.c.clip_id, clips.c.challenge_id, clips.c.uploaded_at_ms)
    return uploaded.where(among(dialect, clips.c.clip_id, "clips"))


@lru_cache
def _outside_training(dialect: str) -> sa.Select[Any]:
    """Clips outside the training distribution of the active generation."""
    table = scored_clips.c
    return sa.select(table.clip_id).where(
        table.generation == ACTIVE.scalar_subquery(),
        table.training_distance > 1.0,
        among(dialect, table.clip_id, "clips"),
    )


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

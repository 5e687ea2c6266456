"""Snapshots of the pools, which take the place of the journal up to them.

A snapshot is of a moment at which no transaction decides, so that it holds all batches up to one and none after it. It
is written, the one before deleted and the journal up to it deleted in one transaction: whoever crashes when, a replay
finds a snapshot and all batches after it.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.tables import (
    pool_budgets,
    pool_clips,
    pool_decisions,
    pool_journal,
    pool_leases,
    pool_policies,
    pool_snapshot_parts,
    pool_snapshots,
    pool_workers,
)
from ranking.pools.service.journal import pseudonym
from ranking.pools.service.sql_state import clip_of
from ranking.pools.state import Budget, PooledClip
from schemas.pools import SCOPES, Limit

LOCK: Final = 0x736E617073686F74  # "snapshot"
"""Whoever takes a snapshot holds this advisory lock."""
_PART: Final = 5000
"""Clips in a row."""


class _Content(msgspec.Struct, frozen=True):
    adoption: int
    budgets: list[tuple[str, int, str, int]]
    """Tier, start of the window, scope and impressions granted, of tiers and lanes."""
    batches: dict[str, int]
    """By worker."""


_encoder: Final = msgspec.msgpack.Encoder()
_content_decoder: Final = msgspec.msgpack.Decoder(_Content)
_clips_decoder: Final = msgspec.msgpack.Decoder(list[PooledClip])


class Snapshot(NamedTuple):
    """The state after batch ``batch`` and decision ``sequence``, under the policy of ``adoption``; ``batches`` are
    those of each worker so far.
    """

    batch: int
    sequence: int
    taken_at_ms: int
    adoption: int
    budgets: Mapping[Budget, int]
    batches: Mapping[str, int]


class JournalSize(NamedTuple):
    """What the journal holds: batches and bytes, and how large the snapshot before it is; ``taken_at_ms`` is ``None``
    without one.
    """

    batches: int
    journal_bytes: int
    taken_at_ms: int | None
    clips: int
    snapshot_bytes: int


def is_due(connection: sa.Connection, at_ms: int, interval_ms: int) -> bool:
    """Whether the newest snapshot, or the first policy, is ``interval_ms`` old, and the journal has anything since."""
    if connection.execute(sa.select(pool_journal.c.batch).limit(1)).first() is None:
        return False
    last = connection.scalars(sa.select(sa.func.max(pool_snapshots.c.taken_at_ms))).one()
    if last is None:
        last = connection.scalars(sa.select(sa.func.min(pool_policies.c.adopted_at_ms))).one()
    return last is not None and at_ms - int(last) >= interval_ms


def take(connection: sa.Connection, at_ms: int) -> bool:
    """Write a snapshot of the state that ``connection`` sees, a moment at which no transaction decided, and delete the
    journal up to it. ``False`` if there is nothing to cover. Whoever calls holds ``LOCK``.
    """
    last = connection.execute(
        sa.select(pool_journal.c.batch, pool_journal.c.adoption).order_by(pool_journal.c.batch.desc()).limit(1)
    ).one_or_none()
    if last is None:
        return False
    batch = int(last.batch)
    clips = 0
    for part, found in enumerate(_clips(connection)):
        clips += len(found)
        row = {"batch": batch, "part": part, "content": _encoder.encode(found)}
        connection.execute(sa.insert(pool_snapshot_parts), row)
    budgets = [(b.tier, b.window_start_ms, str(b.scope), used) for b, used in granted(connection).items()]
    batches = {row.worker: int(row.batches) for row in connection.execute(sa.select(pool_workers))}
    content = _encoder.encode(_Content(int(last.adoption), budgets, batches))
    sequence = connection.scalars(sa.select(sa.func.max(pool_decisions.c.sequence))).one() or 0
    row = {"batch": batch, "sequence": sequence, "taken_at_ms": at_ms, "clips": clips, "content": content}
    connection.execute(sa.insert(pool_snapshots), row)
    for table in (pool_snapshots, pool_snapshot_parts):
        connection.execute(sa.delete(table).where(table.c.batch < batch))
    connection.execute(sa.delete(pool_journal).where(pool_journal.c.batch <= batch))
    return True


def newest(connection: sa.Connection) -> Snapshot | None:
    """The snapshot from which the journal replays; its clips are read apart."""
    row = connection.execute(sa.select(pool_snapshots).order_by(pool_snapshots.c.batch.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    content = _content_decoder.decode(row.content)
    budgets = {Budget(tier, start_ms, SCOPES[scope]): used for tier, start_ms, scope, used in content.budgets}
    return Snapshot(int(row.batch), int(row.sequence), int(row.taken_at_ms), content.adoption, budgets, content.batches)


def clips_of(connection: sa.Connection, snapshot: Snapshot) -> Iterator[PooledClip]:
    """Its clips, dancers by pseudonym."""
    table = pool_snapshot_parts.c
    parts = connection.scalars(sa.select(table.part).where(table.batch == snapshot.batch).order_by(table.part)).all()
    for part in parts:
        content = connection.scalars(
            sa.select(table.content).where(table.batch == snapshot.batch, table.part == part)
        ).one()
        yield from _clips_decoder.decode(content)


def granted(connection: sa.Connection) -> dict[Budget, int]:
    """What tiers and lanes have granted in each window, in leases and without."""
    used: dict[Budget, int] = {}
    for row in connection.execute(sa.select(pool_budgets).where(pool_budgets.c.holder == "")):
        used[Budget(row.tier, row.window_start_ms, SCOPES[row.scope])] = int(row.used)
    for row in connection.execute(sa.select(pool_leases).where(pool_leases.c.used > 0)):
        for scope in (SCOPES[row.lane], Limit.TIER):
            budget = Budget(row.tier, row.window_start_ms, scope)
            used[budget] = used.get(budget, 0) + int(row.used)
    return used


def journal_size(connection: sa.Connection) -> JournalSize:
    length = sa.func.coalesce(sa.func.sum(sa.func.length(pool_journal.c.content)), 0)
    batches, size = connection.execute(sa.select(sa.func.count(), length)).one()
    row = connection.execute(
        sa.select(pool_snapshots.c.taken_at_ms, pool_snapshots.c.clips).order_by(pool_snapshots.c.batch.desc()).limit(1)
    ).one_or_none()
    parts = sa.func.coalesce(sa.func.sum(sa.func.length(pool_snapshot_parts.c.content)), 0)
    kept = int(connection.scalars(sa.select(parts)).one())
    if row is None:
        return JournalSize(int(batches), int(size), None, 0, kept)
    return JournalSize(int(batches), int(size), int(row.taken_at_ms), int(row.clips), kept)


def _clips(connection: sa.Connection) -> Iterator[list[PooledClip]]:
    """In parts, by id."""
    after = ""
    query = sa.select(pool_clips).order_by(pool_clips.c.clip_id).limit(_PART)
    while rows := connection.execute(query.where(pool_clips.c.clip_id > after)).all():
        yield [msgspec.structs.replace(clip, dancer_id=pseudonym(clip.dancer_id)) for clip in map(clip_of, rows)]
        after = rows[-1].clip_id

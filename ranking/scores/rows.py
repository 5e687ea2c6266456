"""Writing the SQL view: what the log says of clips into rows, within a transaction of the caller."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from ranking.database.connection import in_parts, insert_into, lock_clips
from ranking.database.tables import clips, deleted_clips, scored_clips, scores, unranked_scores
from ranking.scores.generations import activate_first, retired
from ranking.views.log_records import DeletedRecord, LogEntry
from schemas.events import ClipScored, outside_training, training_distance
from schemas.modalities import Dimension
from schemas.ports import ScoredRecord
from schemas.times import LOG_AHEAD_MS

K = TypeVar("K")
Row = dict[str, Any]

_WRITTEN: Final = ("uploaded_at_ms", "log_partition", "log_offset")
"""What says which of two rows is the later one, as ``_written`` says it of records."""


class Erasure(NamedTuple):
    """Records to erase from the log: all of the clips ``deleted``, and those that came ``late``, after the deletion."""

    deleted: Sequence[str]
    late: Sequence[ScoredRecord]

    def __bool__(self) -> bool:
        return bool(self.deleted or self.late)


def write_entries(connection: sa.Connection, entries: Sequence[LogEntry], now_ms: int) -> Erasure:
    """Apply entries in any order; a deleted clip stays deleted, a retired generation retired.

    A row whose time of upload is implausible at ``now_ms``, kept by an earlier release, gives way to any record. The
    first clip ever scored activates its generation. Rows are locked in the order of their keys, so that workers
    cannot deadlock.
    """
    deletions = [entry for entry in entries if isinstance(entry, DeletedRecord)]
    scored = [entry for entry in entries if isinstance(entry, ScoredRecord)]
    lock_clips(connection, alone=bool(deletions))
    _delete(connection, deletions)
    gone = _deleted_among(connection, {entry.clip.clip_id for entry in scored})
    past = retired(connection) if scored else set()
    living = [e for e in scored if e.clip.clip_id not in gone and e.clip.generation not in past]
    _write_scored(connection, living, now_ms)
    if living:
        activate_first(connection, living[0].clip.generation, living[0].clip.scored_at_ms)
    late = [entry for entry in scored if entry.clip.clip_id in gone]
    return Erasure(sorted({entry.event.clip_id for entry in deletions}), late)


def _delete(connection: sa.Connection, deletions: Sequence[DeletedRecord]) -> None:
    if not deletions:
        return
    at_ms: dict[str, int] = {}
    for record, event in deletions:
        at_ms[event.clip_id] = max(record.timestamp_ms, at_ms.get(event.clip_id, 0))
    insert = insert_into(connection, deleted_clips)
    statement = insert.on_conflict_do_update(
        index_elements=list(deleted_clips.primary_key),
        set_={"deleted_at_ms": insert.excluded.deleted_at_ms},
        where=insert.excluded.deleted_at_ms > deleted_clips.c.deleted_at_ms,
    )
    connection.execute(statement, [{"clip_id": clip, "deleted_at_ms": at_ms[clip]} for clip in sorted(at_ms)])
    for part in in_parts(at_ms):
        connection.execute(sa.delete(clips).where(clips.c.clip_id.in_(part)))  # and, by cascades, all scores


def _deleted_among(connection: sa.Connection, clip_ids: Collection[str]) -> set[str]:
    gone: set[str] = set()
    for part in in_parts(clip_ids):
        query = sa.select(deleted_clips.c.clip_id).where(deleted_clips.c.clip_id.in_(part))
        gone |= set(connection.scalars(query))
    return gone


def _write_scored(connection: sa.Connection, scored: Sequence[ScoredRecord], now_ms: int) -> None:
    if not scored:
        return
    newest = _newest(scored, lambda clip: (clip.clip_id, clip.generation))
    newest_clips = _newest(scored, lambda clip: clip.clip_id)
    _upsert(connection, clips, [_clip_row(newest_clips[key]) for key in sorted(newest_clips)], now_ms)
    ordered = [newest[key] for key in sorted(newest)]
    _upsert(connection, scored_clips, [_scored_row(entry) for entry in ordered], now_ms)
    _replace_scores(connection, ordered)


def _upsert(connection: sa.Connection, table: sa.Table, rows: list[Row], now_ms: int) -> None:
    """Insert rows, or overwrite those that come from an earlier upload or record."""
    insert = insert_into(connection, table)
    new = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: new[column.name] for column in table.c if not column.primary_key},
        where=sa.or_(
            sa.tuple_(*(new[name] for name in _WRITTEN)) > sa.tuple_(*(table.c[name] for name in _WRITTEN)),
            table.c.uploaded_at_ms > now_ms + LOG_AHEAD_MS,
        ),
    )
    connection.execute(statement, rows)


def _replace_scores(connection: sa.Connection, entries: Sequence[ScoredRecord]) -> None:
    """Write the scores of the records that hold their row of ``scored_clips``; a later one may hold it instead.

    Those outside the training distribution are kept apart from the rankings.
    """
    known = scored_clips.c
    held = {
        (row.generation, row.clip_id, row.log_partition, row.log_offset)
        for row in connection.execute(
            sa.select(known.generation, known.clip_id, known.log_partition, known.log_offset).where(
                known.clip_id.in_(sorted({entry.clip.clip_id for entry in entries}))
            )
        )
    }
    holders = [
        entry
        for entry in entries
        if (entry.clip.generation, entry.clip.clip_id, entry.record.partition, entry.record.offset) in held
    ]
    if not holders:
        return
    for table in (scores, unranked_scores):
        connection.execute(
            sa.delete(table).where(
                table.c.generation == sa.bindparam("of_generation"), table.c.clip_id == sa.bindparam("of_clip")
            ),
            [{"of_generation": entry.clip.generation, "of_clip": entry.clip.clip_id} for entry in holders],
        )
    ranked: list[Row] = []
    unranked: list[Row] = []
    for entry in holders:
        outside = outside_training(training_distance(entry.clip))
        (unranked if outside else ranked).extend(_score_rows(entry.clip, with_challenge=not outside))
    for table, rows in ((scores, ranked), (unranked_scores, unranked)):
        if rows:
            connection.execute(sa.insert(table), rows)


def _newest(scored: Iterable[ScoredRecord], key: Callable[[ClipScored], K]) -> dict[K, ScoredRecord]:
    """The record written last for each key."""
    newest: dict[K, ScoredRecord] = {}
    for entry in scored:
        held = newest.setdefault(key(entry.clip), entry)
        if _written(entry) > _written(held):
            newest[key(entry.clip)] = entry
    return newest


def _written(entry: ScoredRecord) -> tuple[int, int, int]:
    return entry.clip.uploaded_at_ms, entry.record.partition, entry.record.offset


def _clip_row(entry: ScoredRecord) -> Row:
    clip = entry.clip
    return {
        "clip_id": clip.clip_id,
        "dancer_id": clip.dancer_id,
        "challenge_id": clip.challenge_id,
        "uploaded_at_ms": clip.uploaded_at_ms,
        "duration_s": clip.duration_s,
        "log_partition": entry.record.partition,
        "log_offset": entry.record.offset,
    }


def _scored_row(entry: ScoredRecord) -> Row:
    clip = entry.clip
    return {
        "generation": clip.generation,
        "clip_id": clip.clip_id,
        "challenge_id": clip.challenge_id,
        "uploaded_at_ms": clip.uploaded_at_ms,
        "scored_at_ms": clip.scored_at_ms,
        "missing": ",".join(clip.missing),
        "training_distance": training_distance(clip),
        "log_partition": entry.record.partition,
        "log_offset": entry.record.offset,
    }


def _score_rows(clip: ClipScored, *, with_challenge: bool) -> list[Row]:
    attention = {Dimension(modality): result.attention for modality, result in clip.modalities.items()}
    return [
        {
            "generation": clip.generation,
            "clip_id": clip.clip_id,
            "dimension": str(dimension),
            "score": score + 0.0,  # 0 for -0, which PostgreSQL would keep and SQLite would not
            "attention": attention.get(dimension),
        }
        | ({"challenge_id": clip.challenge_id} if with_challenge else {})
        for dimension, score in clip.scores().items()
    ]

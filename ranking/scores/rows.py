"""Writing the SQL view: what the log says of clips into rows, within a transaction of the caller."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from ranking.database.bulk import adding, keyed, keys_of
from ranking.database.connection import in_parts, insert_into, locking_clips
from ranking.database.round_trip import Sending, Step
from ranking.database.tables import (
    attended_clips,
    clips,
    deleted_clips,
    guided_clips,
    scored_clips,
    scores,
    unranked_scores,
)
from ranking.scores.generations import ACTIVE, RETIRED, activating_first
from ranking.scores.held import Changes, HeldClip, held_clips, removing_scored, scored_generations, scores_of
from ranking.scores.moments import attended
from ranking.scores.runs.periods import minute_of
from ranking.scores.runs.writing import ChallengeOf, Due, add_runs, drop_empty, due_among, merge_runs
from ranking.scores.runs.writing import asking_due as asking_due_runs
from ranking.scores.sketches import add_scores, merge_sketches
from ranking.scores.sketches import asking_due as asking_due_sketches
from ranking.scores.sources import source_row
from ranking.scores.tips.writing import JointChanges, add_joints, drop_empty_sums
from ranking.views.clip_styles import clip_style
from ranking.views.log_records import DeletedRecord, LogEntry
from schemas.events import ClipScored, outside_training, training_distance
from schemas.ports import ScoredRecord
from schemas.times import LOG_AHEAD_MS

K = TypeVar("K")

_IF_LATER: Final = (
    "ON CONFLICT (clip_id) DO UPDATE SET "
    + ", ".join(f"{column.name} = excluded.{column.name}" for column in clips.c if not column.primary_key)
    + " WHERE (excluded.uploaded_at_ms, excluded.log_partition, excluded.log_offset)"
    " > (clips.uploaded_at_ms, clips.log_partition, clips.log_offset) OR clips.uploaded_at_ms > ?"
)
"""The order of rows is that of records, by ``_written``."""


class Erasure(NamedTuple):
    """Records to erase from the log: all of the clips ``deleted``, and those that came ``late``, after the deletion."""

    deleted: Sequence[str]
    late: Sequence[ScoredRecord]

    def __bool__(self) -> bool:
        return bool(self.deleted or self.late)


class Written(NamedTuple):
    """What is to be erased from the log, and what ``merge`` is to merge: ``sketches`` by generation, ``runs``, and the
    runs of challenges ``divided`` by periods.
    """

    erasure: Erasure
    sketches: Mapping[str, Sequence[str]]
    runs: Sequence[Due]
    divided: Collection[ChallengeOf]

    @property
    def is_due(self) -> bool:
        return bool(self.sketches or self.runs or self.divided)


def write_entries(
    connection: sa.Connection, entries: Sequence[LogEntry], now_ms: int, last: Sequence[Step] = ()
) -> Written:
    """Apply entries in any order; a deleted clip stays deleted, a retired generation retired.

    A row whose time of upload is implausible at ``now_ms``, kept by an earlier release, gives way to any record. The
    first clip ever scored activates its generation. Rows are locked in the order of their keys, so that workers
    cannot deadlock. What challenges gained and lost is added to the runs that ranks are counted from.

    Statements go out with the next one whose rows decide what follows: of clips that are new, three round trips.
    ``last`` goes out with the last of them, unless there is something to erase.
    """
    sending = Sending(connection)
    dialect = sending.dialect
    deletions = [entry for entry in entries if isinstance(entry, DeletedRecord)]
    scored = [entry for entry in entries if isinstance(entry, ScoredRecord)]
    sending.add(*(Step(statement) for statement in locking_clips(dialect, alone=bool(deletions))))
    changes, joints = Changes(), JointChanges()
    _delete(sending, deletions, changes, joints)
    asking = (
        Step(_gone(dialect), {"of_clips": keys_of(dialect, part)})
        for part in in_parts(entry.clip.clip_id for entry in scored)
    )
    past_rows, active, *gone_rows = sending.rows(Step(RETIRED), Step(ACTIVE), *asking)
    past, gone = _first_column([past_rows]), _first_column(gone_rows)
    living = [e for e in scored if e.clip.clip_id not in gone and e.clip.generation not in past]
    generations = _write_scored(sending, living, changes, joints, now_ms)
    add_joints(sending, joints)
    if living and not active:
        sending.add(activating_first(dialect, living[0].clip.generation, living[0].clip.scored_at_ms))
    divided = add_runs(sending, changes.by_challenge, minute_of(now_ms))
    if deletions:
        sending.flush()
        drop_empty(connection, changes.by_challenge)
        drop_empty_sums(connection, joints)
    late = [entry for entry in scored if entry.clip.clip_id in gone]
    erasure = Erasure(sorted({entry.event.clip_id for entry in deletions}), late)
    due = [asking_due_sketches(generation) for generation in generations]
    due += asking_due_runs(dialect, changes.by_challenge)
    found = sending.rows(*due, *(() if erasure else last))
    sending.flush()
    sketches = {g: [row.dimension for row in rows] for g, rows in zip(generations, found, strict=False) if rows}
    return Written(erasure, sketches, due_among(found[len(generations) : len(due)]), divided)


def merge(connection: sa.Connection, written: Written, now_ms: int) -> None:
    """Merge what became due, in a transaction of its own: nobody who waits for what was written waits for this. What
    an interruption leaves is due again with the next clip of the challenge, or generation.
    """
    sending = Sending(connection)
    sending.add(*(Step(statement) for statement in locking_clips(sending.dialect, alone=False)))
    for generation, dimensions in sorted(written.sketches.items()):
        merge_sketches(sending, generation, dimensions)
    merge_runs(sending, written.runs, written.divided, minute_of(now_ms))
    sending.flush()


def _first_column(found: Iterable[Sequence[Any]]) -> set[str]:
    return {row[0] for rows in found for row in rows}


@lru_cache
def _gone(dialect: str) -> sa.Select[Any]:
    return sa.select(deleted_clips.c.clip_id).where(keyed(dialect, deleted_clips.c.clip_id, "of_clips"))


def _delete(sending: Sending, deletions: Sequence[DeletedRecord], changes: Changes, joints: JointChanges) -> None:
    """Retired generations have no ranks and no sums to keep."""
    if not deletions:
        return
    (past_rows,) = sending.rows(Step(RETIRED))
    past, connection = _first_column([past_rows]), sending.connection
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
        held = held_clips(sending, part, scored_generations(connection))
        kept = [clip for clip in held if clip.generation not in past]
        changes.lost(kept)
        joints.lost(sending, kept)
        _remove(sending, held)
        sending.flush()
        connection.execute(sa.delete(clips).where(clips.c.clip_id.in_(part)))


def _write_scored(
    sending: Sending, scored: Sequence[ScoredRecord], changes: Changes, joints: JointChanges, now_ms: int
) -> list[str]:
    """Scores of clips outside the training distribution are kept apart from the rankings. Returns the generations that
    have new sketches.
    """
    if not scored:
        return []
    newest = _newest(scored, lambda clip: (clip.generation, clip.clip_id))
    newest_clips = _newest(scored, lambda clip: clip.clip_id)
    # Locks the clips, those too whose rows are newer than the records: from here on nobody else writes their scores.
    latest_ms = now_ms + LOG_AHEAD_MS
    adding(sending, clips, [clip_row(newest_clips[key]) for key in sorted(newest_clips)], _IF_LATER, [latest_ms])
    generations = {generation for generation, _ in newest}
    held = {(clip.generation, clip.clip_id): clip for clip in held_clips(sending, newest_clips, generations)}
    later = [
        newest[key]
        for key in sorted(newest)
        if key not in held or _written(newest[key]) > held[key].written or held[key].written[0] > latest_ms
    ]
    replaced = [held[key] for entry in later if (key := (entry.clip.generation, entry.clip.clip_id)) in held]
    joints.lost(sending, replaced)
    _remove(sending, replaced)
    changes.lost(replaced)
    ranked: list[tuple[Any, ...]] = []
    unranked: list[tuple[Any, ...]] = []
    for entry in later:
        clip, found = entry.clip, scores_of(entry.clip)
        of = (clip.generation, clip.clip_id)
        if outside_training(training_distance(clip)):
            changes.gained(clip, {})
            unranked += ((*of, dimension, *pair) for dimension, pair in found.items())
        else:
            changes.gained(clip, found)
            ranked += score_rows(clip)
    adding(sending, scored_clips, [scored_row(entry) for entry in later])
    adding(sending, scores, ranked)
    sketched = by_dimension(ranked)
    add_scores(sending, sketched)
    adding(sending, unranked_scores, unranked)
    adding(sending, guided_clips, joints.gained(entry.clip for entry in later))
    attentions = (attended(entry.clip) for entry in later)
    adding(sending, attended_clips, [row for row in attentions if row is not None])
    return sorted({generation for generation, _ in sketched})


def score_rows(clip: ClipScored) -> list[tuple[Any, ...]]:
    """The rows of ``scores`` of a clip that is in rankings."""
    style = clip_style(clip).style
    of = (clip.generation, clip.clip_id)
    return [(*of, dimension, clip.challenge_id, *pair, style) for dimension, pair in scores_of(clip).items()]


def by_dimension(ranked: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], list[float]]:
    """Scores of rows of ``scores`` by generation and dimension."""
    found: dict[tuple[str, str], list[float]] = {}
    for generation, _clip, dimension, _challenge, score, *_ in ranked:
        found.setdefault((generation, dimension), []).append(score)
    return found


def _remove(sending: Sending, held: Iterable[HeldClip]) -> None:
    for generation, of in groupby(sorted(held), attrgetter("generation")):
        sending.add(*removing_scored(sending.dialect, generation, [clip.clip_id for clip in of]))


def _newest(scored: Iterable[ScoredRecord], key: Callable[[ClipScored], K]) -> dict[K, ScoredRecord]:
    """The record written last for each key."""
    newest: dict[K, ScoredRecord] = {}
    for entry in scored:
        of = key(entry.clip)
        if of not in newest or _written(entry) > _written(newest[of]):
            newest[of] = entry
    return newest


def _written(entry: ScoredRecord) -> tuple[int, int, int]:
    return entry.clip.uploaded_at_ms, entry.record.partition, entry.record.offset


def clip_row(entry: ScoredRecord) -> tuple[Any, ...]:
    """The row of ``clips`` of a record."""
    clip, record = entry.clip, entry.record
    return (
        *(clip.clip_id, clip.dancer_id, clip.challenge_id, clip.uploaded_at_ms, clip.duration_s),
        *(record.partition, record.offset),
    )


def scored_row(entry: ScoredRecord) -> tuple[Any, ...]:
    """The row of ``scored_clips`` of a record."""
    clip, record = entry.clip, entry.record
    return (
        *(clip.generation, clip.clip_id, clip.challenge_id, clip.uploaded_at_ms, clip.scored_at_ms),
        *(",".join(clip.missing), training_distance(clip), record.partition, record.offset),
        *source_row(clip),
        *clip_style(clip),
    )

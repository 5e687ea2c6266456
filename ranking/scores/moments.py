"""The attention of a routine over time: a row beside its scores, and what is answered from it."""

from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.tables import attended_clips, clips, scored_clips, scores, unranked_scores
from schemas.errors import MomentsMissing, NotFound
from schemas.events import ClipScored, TemporalAttention, temporal_attention
from schemas.modalities import MAX_DURATION_S, MODALITIES, Dimension, Modality
from schemas.moments import ClipMoments, moments_of


class AttendedClip(NamedTuple):
    """What the database keeps of a routine's attention, in the order of its columns."""

    generation: str
    clip_id: str
    modality: str
    rate_hz: float
    parts: bytes
    weights: bytes


def attended(clip: ClipScored) -> AttendedClip | None:
    """``None`` for a clip without attention over time."""
    found = temporal_attention(clip)
    if found is None:
        return None
    parts = msgspec.msgpack.encode(found.parts)
    return AttendedClip(clip.generation, clip.clip_id, str(found.modality), found.rate_hz, parts, found.weights)


def clip_moments(connection: sa.Connection, clip_id: str, generation: str, count: int, apart_s: float) -> ClipMoments:
    """Raises ``NotFound`` for a clip that ``generation`` has not scored, ``MomentsMissing`` for one without attention
    over time, or with that of a modality that this release does not know.
    """
    clip, of = scored_clips.c, attended_clips.c
    query = (
        sa.select(clips.c.duration_s, of.modality, of.rate_hz, of.parts, of.weights)
        .select_from(scored_clips)
        .join(clips, clips.c.clip_id == clip.clip_id)
        .outerjoin(attended_clips, sa.and_(of.generation == clip.generation, of.clip_id == clip.clip_id))
        .where(clip.generation == generation, clip.clip_id == clip_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"clip {clip_id} is not known under generation {generation}", field="clip_id")
    if row.modality is None:
        raise MomentsMissing(_why(clip_id, generation, float(row.duration_s)), field="clip_id")
    if row.modality not in MODALITIES:
        raise MomentsMissing(
            f"generation {generation} scored clip {clip_id} by {row.modality}, which this release does not know; "
            "install the package that adds the modality, or upgrade",
            field="clip_id",
        )
    attention = TemporalAttention(
        modality=Modality(row.modality),
        rate_hz=float(row.rate_hz),
        parts=msgspec.msgpack.decode(row.parts, type=tuple[str, ...]),
        weights=row.weights,
    )
    found = moments_of(attention, count, apart_s)
    return ClipMoments(
        clip_id=clip_id,
        generation=generation,
        score=_fused_score(connection, clip_id, generation),
        **{name: getattr(found, name) for name in ("modality", "rate_hz", "seconds", "parts", "weights", "moments")},
    )


def _why(clip_id: str, generation: str, duration_s: float) -> str:
    if duration_s <= MAX_DURATION_S:
        return (
            f"clip {clip_id} is not a routine: it lasts {duration_s:.4g} s, and moments are of clips longer than "
            f"{MAX_DURATION_S:g} s"
        )
    return (
        f"generation {generation} scored clip {clip_id} without attention over time; its bundle has no stream for "
        "routines that gives some"
    )


def _fused_score(connection: sa.Connection, clip_id: str, generation: str) -> float:
    """Which for a routine is the score of its stream; of one outside the training distribution too."""
    queries = [
        sa.select(table.score).where(
            table.generation == generation, table.clip_id == clip_id, table.dimension == Dimension.FUSED
        )
        for table in (scores.c, unranked_scores.c)
    ]
    return float(connection.scalars(sa.union_all(*queries)).one())

"""Where the features of a clip, or its video, can be read again: columns beside the clip's row."""

from typing import Final

import sqlalchemy as sa

from ranking.database.tables import clips, scored_clips
from ranking.scores.held import scored_generations
from schemas.errors import NotFound
from schemas.events import ClipScored, ClipScoredV3, FeatureFile, VideoFile
from schemas.questions.feedback import FeaturesKept

_KINDS: Final = {str(kind.__struct_config__.tag): kind for kind in (FeatureFile, VideoFile)}


def source_row(clip: ClipScored) -> tuple[str | None, str | None, str | None]:
    """Kind, URI and checksum as the database keeps them. A URI that PostgreSQL cannot hold names no file either."""
    source = clip.features if isinstance(clip, ClipScoredV3) else None
    if source is None or "\0" in source.uri:
        return None, None, None
    return str(source.__struct_config__.tag), source.uri, source.sha256


def source_of(connection: sa.Connection, clip_id: str, generation: str | None) -> FeaturesKept | None:
    """What ``generation`` scored the clip from, or else any other generation: never from an earlier upload than the one
    that ``generation`` scored, which was another clip. One that lacks ``generation`` is taken as it was uploaded last.

    ``None``: its features came inline, or were scored by a release that did not keep where they are. Raises
    ``NotFound`` for a clip that no generation has scored.
    """
    table, last = scored_clips.c, clips.c
    query = (
        sa.select(
            table.generation,
            table.uploaded_at_ms,
            sa.case((last.uploaded_at_ms == table.uploaded_at_ms, last.duration_s)).label("duration_s"),
            table.source_kind,
            table.source_uri,
            table.source_sha256,
        )
        .outerjoin_from(scored_clips, clips, last.clip_id == table.clip_id)
        .where(table.generation.in_(scored_generations(connection)), table.clip_id == clip_id)
        .order_by(table.uploaded_at_ms.desc(), table.generation)
    )
    rows = connection.execute(query).all()
    if not rows:
        raise NotFound(f"clip {clip_id} is not known", field="clip_id")
    own = next((row for row in rows if row.generation == generation), rows[0])
    for row in (own, *rows):
        if row.source_uri is not None and row.uploaded_at_ms >= own.uploaded_at_ms:
            source = _KINDS[row.source_kind](row.source_uri, row.source_sha256)
            return FeaturesKept(source, int(row.uploaded_at_ms), row.duration_s)
    return None

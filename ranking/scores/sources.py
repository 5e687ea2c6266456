"""Where the features of a clip, or its video, can be read again: columns beside the clip's row."""

from typing import Final

import sqlalchemy as sa

from ranking.database.tables import scored_clips
from schemas.errors import NotFound
from schemas.events import ClipScored, ClipScoredV3, FeatureFile, VideoFile

FeaturesKept = FeatureFile | VideoFile
_KINDS: Final = {str(kind.__struct_config__.tag): kind for kind in (FeatureFile, VideoFile)}


def source_row(clip: ClipScored) -> tuple[str | None, str | None, str | None]:
    """Kind, URI and checksum as the database keeps them. A URI that PostgreSQL cannot hold names no file either."""
    source = clip.features if isinstance(clip, ClipScoredV3) else None
    if source is None or "\0" in source.uri:
        return None, None, None
    return str(source.__struct_config__.tag), source.uri, source.sha256


def source_of(connection: sa.Connection, clip_id: str, generation: str | None) -> FeaturesKept | None:
    """The source that ``generation`` scored the clip from, or else any other; of several, the one uploaded last.

    ``None``: its features came inline, or were scored by a release that did not keep where they are. Raises
    ``NotFound`` for a clip that no generation has scored.
    """
    table = scored_clips.c
    query = (
        sa.select(table.source_kind, table.source_uri, table.source_sha256)
        .where(table.clip_id == clip_id)
        .order_by(
            table.source_uri.is_(None),
            sa.case((table.generation == generation, 0), else_=1),
            table.uploaded_at_ms.desc(),
            table.generation,
        )
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"clip {clip_id} is not known", field="clip_id")
    return None if row.source_uri is None else _KINDS[row.source_kind](row.source_uri, row.source_sha256)

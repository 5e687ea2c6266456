"""Rows of clips and of what was observed of them, written past the workers that keep these tables."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import clips, engagement
from ranking.scores.observations import ObservedClip, RankedUpload

UPLOADED_AT_MS = 1_700_000_000_000


def observed(clip_id: str, challenge_id: str = "ch", **changes: Any) -> ObservedClip:
    """A clip with counts; ``changes`` to its fields, or to those of its upload."""
    of_upload = {name: changes.pop(name) for name in RankedUpload._fields if name in changes}
    upload = RankedUpload(f"dancer-of-{clip_id}", challenge_id, UPLOADED_AT_MS, 4.0)._replace(**of_upload)
    return ObservedClip(clip_id, 10, 2, 1, 3.0, 500, upload)._replace(**changes)


def write_observed(database: Database, rows: Iterable[ObservedClip], *, unranked_challenge: str = "ch") -> None:
    """Bring the database to this release's schema and add the rows; those without an upload get counts alone."""
    with database.writing() as connection:
        for row in rows:
            challenge_id = unranked_challenge if row.upload is None else row.upload.challenge_id
            connection.execute(sa.insert(engagement), _engagement_row(row, challenge_id))
            if row.upload is not None:
                where = {"clip_id": row.clip_id, "log_partition": 0, "log_offset": 0}
                connection.execute(sa.insert(clips), row.upload._asdict() | where)


def _engagement_row(row: ObservedClip, challenge_id: str) -> dict[str, Any]:
    kept = {name: value for name, value in row._asdict().items() if name != "upload"}
    times = {"observed_at_ms": UPLOADED_AT_MS, "views_observed_at_ms": UPLOADED_AT_MS}
    return kept | times | {"challenge_id": challenge_id, "virality": 0.0}

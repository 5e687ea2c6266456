"""Which clips are in a tier of the traffic pools, as a condition of other questions."""

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from ranking.database.connection import Database, in_parts
from ranking.database.tables import pool_clips

_MOST_LISTED: Final = 10_000


class ClipsInTier:
    """Clips that are in ``tier`` at the time of asking.

    Every method raises ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, tier: str) -> None:
        self._database = database
        self._here = sa.and_(pool_clips.c.gone.is_(False), pool_clips.c.tier == tier)

    def listed(self) -> Collection[str] | None:
        """All of them; ``None`` if there are more than 10,000."""
        with self._database.reading() as connection:
            found = connection.scalars(sa.select(pool_clips.c.clip_id).where(self._here).limit(_MOST_LISTED + 1)).all()
        return None if len(found) > _MOST_LISTED else found

    def satisfied(self, clip_ids: Sequence[str]) -> Collection[str]:
        """Those of the clips that are in the tier."""
        table, found = pool_clips.c, set[str]()
        with self._database.reading() as connection:
            for part in in_parts(clip_ids):
                found.update(connection.scalars(sa.select(table.clip_id).where(self._here, table.clip_id.in_(part))))
        return found

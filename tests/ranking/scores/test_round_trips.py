"""A scored clip is in the rankings after few round trips to PostgreSQL: the pools wait for each of them."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from schemas.events import ClipScored
from tests.ranking.examples import NOW_MS, at, logged, scored_clip

ANSWER = "ReadyForQuery"
"""What the server says at the end of each round trip."""
COMMITTED = 'CommandComplete\t "COMMIT"'
NEW, AGAIN = 4, 6
"""Beginning; who is deleted or retired; locks, and rows that are there; everything that is written, and the commit. Of
a clip that was scored before, its scores and its guidance are read as well."""
MERGED = 8
"""Afterwards, where sketches and runs of two levels are merged: beginning; three readings with what is deleted and
written; two looks for more; and the commit, by itself."""


@pytest.mark.postgresql
def test_a_clip_is_ranked_after_few_round_trips(postgresql_database: Database, tmp_path: Path) -> None:
    opened: list[Any] = []
    sa.event.listen(postgresql_database._engine, "connect", lambda connection, _: opened.append(connection))
    store, offset = ScoreStore(postgresql_database), 0

    def round_trips(clip: ClipScored) -> tuple[int, int]:
        """Until the clip is committed, and afterwards."""
        nonlocal offset
        with (tmp_path / "trace").open("w+") as output:
            for connection in opened:
                connection.pgconn.trace(output.fileno())
            store.apply(logged([clip], start=offset), {at(): offset + 1})
            for connection in opened:
                connection.pgconn.untrace()
            written, _, merged = (tmp_path / "trace").read_text().partition(COMMITTED)
        offset += 1
        return written.count(ANSWER) + 1, max(0, merged.count(ANSWER) - 1)

    store.apply(logged([scored_clip("first")]), {at(): (offset := 1)})
    assert len(opened) == 1
    found = [round_trips(scored_clip(f"c{number}")) for number in range(16)]
    assert {written for written, _ in found} == {NEW}
    assert [merged for _, merged in found].count(0) >= 8
    assert 0 < max(merged for _, merged in found) <= MERGED
    assert round_trips(scored_clip("c1", uploaded_at_ms=NOW_MS + 1))[0] == AGAIN
    assert store.count_differences() == []

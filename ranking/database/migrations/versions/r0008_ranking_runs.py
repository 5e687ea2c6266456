"""Runs of scores, from which ranks are counted, and sketches of their distribution; and no foreign keys between rows.

Rows that belong together are deleted together. PostgreSQL checks a foreign key with a query for each row, which took
most of the time of a batch.
"""

import secrets
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

import msgspec
import numpy as np
import sqlalchemy as sa
from alembic import op
from datasketches import kll_doubles_sketch

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PART: Final = 128
_SKETCH: Final = 800
_ROWS_AT_ONCE: Final = 10_000
_LOW: Final = (1 << 31) - 1


def _identifier() -> sa.types.TypeEngine[str]:
    return sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_index("ix_scored_clips_generation_challenge_id", "scored_clips")
    for table, referred in (("unranked_scores", "scored_clips"), ("scores", "scored_clips"), ("scored_clips", "clips")):
        with op.batch_alter_table(table) as batch:  # SQLite can only copy the table
            batch.drop_constraint(f"fk_{table}_{referred}", type_="foreignkey")
    op.create_table(
        "ranking_runs",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("challenge_id", _identifier(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False, comment="length of its period; 0: all time"),
        sa.Column("start", sa.Integer(), nullable=False, comment="of its period, in minutes since 1970; 0: all time"),
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False, comment="random"),
        sa.Column("entries", sa.BigInteger(), nullable=False, comment="clips added or removed"),
        sa.Column("level", sa.Integer(), nullable=False, comment="runs of one level are merged"),
        sa.Column("totals", sa.LargeBinary(), nullable=False, comment="clips and attention by dimension: MessagePack"),
        sa.Column("content", sa.LargeBinary(), nullable=True, comment="the entries; null if they are in ranking_parts"),
        sa.PrimaryKeyConstraint("generation", "challenge_id", "minutes", "start", "run", name="pk_ranking_runs"),
    )
    op.create_table(
        "ranking_parts",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("first_score", sa.Double(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="clips before it; scores, and clips up to each"),
        sa.PrimaryKeyConstraint("run", "dimension", "first_score", name="pk_ranking_parts"),
    )
    op.create_table(
        "score_sketches",
        sa.Column("generation", _identifier(), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("sketch", sa.BigInteger(), autoincrement=False, nullable=False, comment="random"),
        sa.Column("scores", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="a KLL sketch of Apache DataSketches"),
        sa.PrimaryKeyConstraint("generation", "dimension", "sketch", name="pk_score_sketches"),
    )
    if on_postgresql:  # kept in the row as they are, instead of compressed or in a second table
        op.execute("ALTER TABLE ranking_runs ALTER COLUMN content SET STORAGE MAIN")
        op.execute("ALTER TABLE ranking_parts ALTER COLUMN content SET STORAGE MAIN")
    _count()


def downgrade() -> None:
    op.drop_table("score_sketches")
    op.drop_table("ranking_parts")
    op.drop_table("ranking_runs")
    for table, referred, columns in (
        ("scored_clips", "clips", ["clip_id"]),
        ("scores", "scored_clips", ["generation", "clip_id"]),
        ("unranked_scores", "scored_clips", ["generation", "clip_id"]),
    ):
        with op.batch_alter_table(table) as batch:
            name = f"fk_{table}_{referred}"
            batch.create_foreign_key(name, referred, columns, columns, ondelete="CASCADE")
    op.create_index("ix_scored_clips_generation_challenge_id", "scored_clips", ["generation", "challenge_id"])


def _count() -> None:
    """One sorted run for each challenge, of the rows that are there."""
    connection = op.get_bind()
    clips = {
        (generation, challenge_id): int(count)
        for generation, challenge_id, count in connection.execute(
            sa.text("SELECT generation, challenge_id, count(*) FROM scored_clips GROUP BY generation, challenge_id")
        )
    }
    runs = {place: secrets.randbits(63) for place in clips}
    totals: dict[tuple[str, str], dict[str, tuple[int, int, int]]] = {}
    for place, count in clips.items():
        totals[place] = {"": (count, 0, 0)}
    # In the order of the index that rankings are read by: no sorting.
    rows = connection.execute(
        sa.text(
            "SELECT generation, challenge_id, dimension, score, attention FROM scores"
            " ORDER BY generation, challenge_id, dimension, score"
        ),
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    parts: list[dict[str, Any]] = []
    sketches: dict[tuple[str, str], kll_doubles_sketch] = {}
    for (generation, challenge_id, dimension), found in groupby(rows, lambda row: tuple(row[:3])):
        key, sums = (generation, challenge_id), [0, 0]
        sketch = sketches.setdefault((generation, dimension), kll_doubles_sketch(_SKETCH))
        for first, content in _parts(_summed(found, sums, sketch)):
            parts.append({"run": runs[key], "dimension": dimension, "first_score": first, "content": content})
        totals[key][dimension] = (sums[0], sums[1] >> 31, sums[1] & _LOW)
        if len(parts) >= _ROWS_AT_ONCE:
            _insert_parts(parts)
    _insert_parts(parts)
    table = sa.table("ranking_runs", *map(sa.column, ("generation", "challenge_id", "minutes", "start", "run")))
    for name in ("entries", "level", "totals", "content"):
        table.append_column(sa.column(name))
    new = [
        {
            "generation": place[0],
            "challenge_id": place[1],
            "minutes": 0,
            "start": 0,
            "run": runs[place],
            "entries": count,
            "level": max(3, (count.bit_length() - 1) // 2),
            "totals": msgspec.msgpack.encode(dict(sorted(totals[place].items()))),
            "content": None,
        }
        for place, count in clips.items()
    ]
    if new:
        connection.execute(sa.insert(table), new)
    _insert_sketches(sketches)


def _summed(rows: Iterable[Any], sums: list[int], sketch: kll_doubles_sketch) -> Iterator[tuple[float, int]]:
    """Distinct scores with their clips; ``sums``: clips, and attention in units of 2⁻⁶²."""
    for score, same in groupby(rows, lambda row: float(row.score)):
        attention = [row.attention or 0.0 for row in same]
        sums[0] += len(attention)
        sketch.update(np.full(len(attention), score))
        sums[1] += sum(round(each * 2.0**62) for each in attention)
        yield score, len(attention)


def _parts(scores: Iterable[tuple[float, int]]) -> Iterator[tuple[float, bytes]]:
    below = 0
    part: list[tuple[float, int]] = []
    for pair in scores:
        part.append(pair)
        if len(part) == _PART:
            yield part[0][0], _content(below, part)
            below, part = below + sum(clips for _, clips in part), []
    if part:
        yield part[0][0], _content(below, part)


def _content(below: int, part: list[tuple[float, int]]) -> bytes:
    scores, through = np.array([score for score, _ in part], "<f8"), np.cumsum([clips for _, clips in part])
    return below.to_bytes(8, "little", signed=True) + scores.tobytes() + through.astype("<i4").tobytes()


def _insert_sketches(sketches: dict[tuple[str, str], kll_doubles_sketch]) -> None:
    table = sa.table("score_sketches", *map(sa.column, ("generation", "dimension", "sketch", "scores", "content")))
    rows = [
        {
            "generation": generation,
            "dimension": dimension,
            "sketch": secrets.randbits(63),
            "scores": sketch.n,
            "content": sketch.serialize(),
        }
        for (generation, dimension), sketch in sketches.items()
    ]
    if rows:
        op.get_bind().execute(sa.insert(table), rows)


def _insert_parts(parts: list[dict[str, Any]]) -> None:
    table = sa.table("ranking_parts", *map(sa.column, ("run", "dimension", "first_score", "content")))
    if parts:
        op.get_bind().execute(sa.insert(table), parts)
    parts.clear()

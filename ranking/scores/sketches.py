"""How the scores of all challenges are distributed: mergeable quantile sketches of the stream of scores.

A rank within a challenge is exact. A percentile among all clips that a generation ever scored, without end, is an
estimate of KLL sketches (Karnin, Lang, Liberty: Optimal Quantile Approximation in Streams, 2016; Apache DataSketches):
each transaction adds a sketch of its own, and sketches are merged, in any order, without a greater error. A sketch
forgets nothing: scores of clips that were deleted or scored again still count.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from datasketches import kll_doubles_sketch

from ranking.database.bulk import adding
from ranking.database.round_trip import Sending, Step, among
from ranking.database.tables import score_sketches
from schemas.modalities import Dimension
from schemas.questions.challenges import PERCENTILES, Quantile, ScoreDistribution

SIZE: Final = 800
"""DataSketches' k: a percentile is off by at most 0.35 points, at 99 % confidence; a sketch is about 20 KB."""
_MERGED: Final = 8

Key = tuple[str, str]
"""Generation and dimension."""


def add_scores(sending: Sending, scores: Mapping[Key, Sequence[float]]) -> None:
    """Add scores to the sketches of their generations and dimensions, within the transaction that writes the rows."""
    rows = []
    for (generation, dimension), values in sorted(scores.items()):
        sketch = kll_doubles_sketch(SIZE)
        sketch.update(np.asarray(values, np.float64))
        rows.append(_row(generation, dimension, sketch))
    adding(sending, score_sketches, rows)


def asking_due(generation: str) -> Step:
    """For the dimensions of which a generation has sketches to merge, one in a row."""
    return Step(_DUE, {"of_generation": generation})


def merge_sketches(sending: Sending, generation: str, dimensions: Sequence[str]) -> None:
    """Merge those of each dimension that no other transaction is merging."""
    (rows,) = sending.rows(Step(_old(sending.dialect), {"of_generation": generation, "of_dimensions": dimensions}))
    new = []
    for dimension in dimensions:
        old = [row for row in rows if row.dimension == dimension]
        if len(old) > 1:
            these = {"of_generation": generation, "of_dimension": dimension, "of_sketches": [row.sketch for row in old]}
            sending.add(Step(_deleting(sending.dialect), these))
            new.append(_row(generation, dimension, _merged(row.content for row in old)))
    adding(sending, score_sketches, new)


def drop_sketches(connection: sa.Connection, generation: str) -> None:
    connection.execute(sa.delete(score_sketches).where(score_sketches.c.generation == generation))


def distribution(
    connection: sa.Connection, generation: str, dimension: Dimension, score: float | None
) -> ScoreDistribution | None:
    """The distribution of all scores, and the percentile of ``score`` in it; ``None`` without any scores."""
    table = score_sketches.c
    query = sa.select(table.content).where(table.generation == generation, table.dimension == str(dimension))
    sketch = _merged(connection.scalars(query))
    if sketch.is_empty():
        return None
    percentile = None
    if score is not None:
        below, up_to = sketch.get_rank(score, False), sketch.get_rank(score, True)
        percentile = 100 * (below + up_to) / 2
    values = sketch.get_quantiles([each / 100 for each in PERCENTILES], True)
    return ScoreDistribution(
        generation=generation,
        dimension=dimension,
        scores=int(sketch.n),
        rank_error=100 * sketch.normalized_rank_error(False) if sketch.is_estimation_mode() else 0.0,
        lowest=float(sketch.get_min_value()),
        highest=float(sketch.get_max_value()),
        quantiles=[Quantile(each, float(value)) for each, value in zip(PERCENTILES, values, strict=True)],
        score=score,
        percentile=percentile,
    )


_GENERATION: Final = score_sketches.c.generation == sa.bindparam("of_generation", type_=sa.String)
_DUE: Final = (
    sa.select(score_sketches.c.dimension)
    .where(_GENERATION)
    .group_by(score_sketches.c.dimension)
    .having(sa.func.count() >= _MERGED)
    .order_by(score_sketches.c.dimension)
)


@lru_cache
def _old(dialect: str) -> sa.Select[Any]:
    of = score_sketches.c
    which = among(dialect, of.dimension, "of_dimensions")
    return sa.select(of.dimension, of.sketch, of.content).where(_GENERATION, which).with_for_update(skip_locked=True)


@lru_cache
def _deleting(dialect: str) -> sa.Delete:
    of = score_sketches.c
    dimension = of.dimension == sa.bindparam("of_dimension", type_=sa.String)
    return sa.delete(score_sketches).where(_GENERATION, dimension, among(dialect, of.sketch, "of_sketches"))


def _merged(contents: Iterable[bytes]) -> kll_doubles_sketch:
    sketch = kll_doubles_sketch(SIZE)
    for content in contents:
        sketch.merge(kll_doubles_sketch.deserialize(bytes(content)))
    return sketch


def _row(generation: str, dimension: str, sketch: kll_doubles_sketch) -> tuple[Any, ...]:
    return generation, dimension, secrets.randbits(63), int(sketch.n), sketch.serialize()

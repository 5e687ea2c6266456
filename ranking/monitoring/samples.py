"""Samples of what was scored, kept in the database: the first clips of each model generation, and the latest.

All workers add to the same samples, so each reports the drift of all partitions, and a restart forgets nothing. Nothing
in them names a clip. Legend: N clips, Q quantities.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.monitoring_tables import drift_samples
from ranking.scores.generations import retired

Float64 = npt.NDArray[np.float64]

_ADVISORY_LOCK: Final = 0x6472696674  # "drift"
_FORMAT: Final = "<f8"
_FORMAT_BYTES: Final = 8


class Sample(NamedTuple):
    """``values`` (N, Q) of clips of one generation, NaN where absent, and their ``styles`` (N), ``None`` where not
    judged; ``scored_at_ms`` of the clip scored last."""

    generation: str
    values: Float64
    scored_at_ms: int
    styles: Sequence[str | None] = ()


class Samples(NamedTuple):
    """The first clips of a generation and the latest, (N, Q) each; ``complete``: as many as wanted of both. How many of
    each show a style: of the latest, the whole batches that these are in."""

    reference: Float64
    window: Float64
    complete: bool
    reference_styles: Mapping[str, int] = MappingProxyType({})
    window_styles: Mapping[str, int] = MappingProxyType({})


class DriftSamples:
    """The samples of every generation. Raises ``StoreUnavailable`` or ``StoreRefused`` if the database fails."""

    def __init__(self, database: Database, *, reference_clips: int, window_clips: int) -> None:
        self.reference_clips = reference_clips
        self.window_clips = window_clips
        self._database = database

    def add(self, samples: Sequence[Sample]) -> None:
        """Store what was seen since the last call, and forget what has left the window.

        Clips fill the reference of their generation first, which never changes once it is full.
        """
        if not samples:
            return
        with self._database.writing() as connection:
            # One worker at a time, or two would both fill the reference. SQLite's writers queue by themselves.
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            past = retired(connection)
            for sample in samples:
                if sample.generation not in past:
                    self._store(connection, sample)
                    self._forget(connection, sample.generation)

    def read(self, generation: str) -> Samples:
        """The samples of ``generation``; both sides are empty where there are none."""
        table = drift_samples.c
        query = (
            sa.select(table.reference, table.clips, table.content, table.styles)
            .where(table.generation == generation)
            .order_by(table.number)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        first, latest = ([row for row in rows if bool(row.reference) is referred] for referred in (True, False))
        columns = max((len(row.content) // _FORMAT_BYTES // row.clips for row in rows), default=0)
        reference = _joined([(row.clips, row.content) for row in first], columns)
        window = _joined([(row.clips, row.content) for row in latest], columns)[-self.window_clips :]
        complete = len(reference) >= self.reference_clips and len(window) >= self.window_clips
        return Samples(reference, window, complete, *(_counted(row.styles for row in part) for part in (first, latest)))

    def _store(self, connection: sa.Connection, sample: Sample) -> None:
        table = drift_samples.c
        row = connection.execute(
            sa.select(
                sa.func.coalesce(sa.func.max(table.number), 0).label("number"),
                sa.func.coalesce(sa.func.sum(table.clips).filter(table.reference), 0).label("referred"),
            ).where(table.generation == sample.generation)
        ).one()
        lacking = max(0, self.reference_clips - int(row.referred))
        styles = list(sample.styles) or [None] * len(sample.values)
        parts = [
            (True, sample.values[:lacking], styles[:lacking]),
            (False, sample.values[lacking:][-self.window_clips :], styles[lacking:][-self.window_clips :]),
        ]
        rows = [
            {
                "generation": sample.generation,
                "number": row.number + number,
                "reference": reference,
                "clips": len(values),
                "scored_at_ms": sample.scored_at_ms,
                "content": values.astype(_FORMAT).tobytes(),
                "styles": msgspec.msgpack.encode(Counter(style for style in shown if style is not None)),
            }
            for number, (reference, values, shown) in enumerate(parts, start=1)
            if len(values)
        ]
        if rows:
            connection.execute(sa.insert(drift_samples), rows)

    def _forget(self, connection: sa.Connection, generation: str) -> None:
        table = drift_samples.c
        of_window = sa.and_(table.generation == generation, table.reference.is_(False))
        query = sa.select(table.number, table.clips).where(of_window).order_by(table.number.desc())
        newer = 0
        for number, clips in connection.execute(query).all():
            if newer >= self.window_clips:
                connection.execute(sa.delete(drift_samples).where(of_window, table.number <= number))
                return
            newer += clips


def _counted(contents: Iterable[bytes | None]) -> dict[str, int]:
    """Clips by style; rows of releases before styles have none."""
    total: Counter[str] = Counter()
    for content in contents:
        if content is not None:
            total.update(msgspec.msgpack.decode(content, type=dict[str, int]))
    return dict(total)


def _joined(parts: Sequence[tuple[int, bytes]], columns: int) -> Float64:
    """(N, Q) of stored parts in their order, with NaN in the last of the ``columns`` that a part does not have."""
    joined = np.full((sum(clips for clips, _ in parts), columns), np.nan)
    begin = 0
    for clips, content in parts:
        values = np.frombuffer(content, _FORMAT).reshape(clips, -1)
        joined[begin : begin + clips, : values.shape[1]] = values
        begin += clips
    return joined

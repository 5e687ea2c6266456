"""Measurements of the model in the database, so that every process can show them, and how they changed."""

from collections.abc import Mapping
from typing import Final

import msgspec
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.monitoring_tables import model_measurements
from ranking.monitoring.calibration import CalibrationBin
from ranking.scores.generations import retired
from schemas.errors import StoreRefused
from schemas.modalities import Dimension
from schemas.observation import Agreement, Calibration, Drift

KEPT: Final = 2016
"""Measurements of a generation; a week of them at the default interval."""


def _as_dict(value: object) -> dict[object, object]:
    """A mapping that cannot be changed, such as the absent styles of a drift."""
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_as_dict).encode


class Summary(msgspec.Struct, frozen=True):
    """What is kept of every measurement. ``agreements``: the means over all challenges."""

    agreements: list[Agreement]
    calibrations: list[Calibration]
    drift: Drift


class Details(msgspec.Struct, frozen=True):
    """What is kept of the latest measurement. ``bins``: deciles of the predictions, by dimension."""

    agreements: list[Agreement]
    bins: dict[Dimension, list[CalibrationBin]]


class Measured(msgspec.Struct, frozen=True):
    """One measurement; ``details`` of the latest only."""

    measured_at_ms: int
    summary: Summary
    details: Details | None = None


class Measurements:
    """The latest ``KEPT`` measurements of each generation. Every method raises ``StoreUnavailable`` or
    ``StoreRefused`` if the database fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, generation: str, measured: Measured, *, least_interval_s: float = 0.0) -> bool:
        """Keep a measurement, unless another worker has kept one less than ``least_interval_s`` before."""
        table, at_ms = model_measurements.c, measured.measured_at_ms
        of_generation = table.generation == generation
        with self._database.writing() as connection:
            newest = connection.scalar(sa.select(sa.func.max(table.measured_at_ms)).where(of_generation))
            if newest is not None and at_ms - least_interval_s * 1000 < newest <= at_ms:
                return False
            connection.execute(
                sa.delete(model_measurements).where(
                    sa.or_(
                        table.generation.in_(retired(connection)),
                        sa.and_(of_generation, table.measured_at_ms >= at_ms),  # of a clock that has been set since
                    )
                )
            )
            connection.execute(sa.update(model_measurements).where(of_generation).values(details=None))
            row = {
                "generation": generation,
                "measured_at_ms": at_ms,
                "summary": _encode(measured.summary),
                "details": None if measured.details is None else _encode(measured.details),
            }
            connection.execute(sa.insert(model_measurements), [row])
            oldest = sa.select(table.measured_at_ms).where(of_generation).order_by(table.measured_at_ms.desc())
            first = connection.scalar(oldest.offset(KEPT - 1).limit(1))
            if first is not None:
                connection.execute(sa.delete(model_measurements).where(of_generation, table.measured_at_ms < first))
        return True

    def read(self, generation: str, most: int) -> list[Measured]:
        """The latest ``most`` measurements of a generation, oldest first."""
        table = model_measurements.c
        query = sa.select(table.measured_at_ms, table.summary, table.details).where(table.generation == generation)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.measured_at_ms.desc()).limit(most)).all()
        try:
            return [
                Measured(
                    int(row.measured_at_ms),
                    msgspec.msgpack.decode(row.summary, type=Summary),
                    None if row.details is None else msgspec.msgpack.decode(row.details, type=Details),
                )
                for row in reversed(rows)
            ]
        except msgspec.MsgspecError as error:
            raise StoreRefused(
                f"a measurement of generation {generation} cannot be read by this release ({error}); it is of another "
                "one, whose processes show it"
            ) from error

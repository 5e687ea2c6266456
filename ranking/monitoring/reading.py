"""Answers about the model from its bundle and from what the workers of the traffic pools measured."""

from collections.abc import Iterable

from ranking.database.connection import Database
from ranking.monitoring.calibration import BINS, CalibrationBin
from ranking.monitoring.measurements import Measured, Measurements
from ranking.monitoring.model_cards import model_card
from schemas.bundle import BundleManifest
from schemas.clock import Clock
from schemas.questions.model import (
    ChallengeAgreement,
    DecileCalibration,
    DimensionCalibration,
    ModelAnswer,
    ModelDrift,
    ModelMeasurement,
)


class ModelReader:
    """Answers about generations. Any number of threads may ask."""

    def __init__(
        self, database: Database, clock: Clock, manifest: BundleManifest | None = None, problem: str | None = None
    ) -> None:
        """``manifest``: of the bundle that this process is set to; ``problem``: why it has none."""
        self._measurements = Measurements(database)
        self._clock = clock
        self._manifest = manifest
        self._problem = problem

    def answer(self, generation: str | None, active: str | None, most: int) -> ModelAnswer:
        """The card, and the latest ``most`` measurements of ``generation``. Raises ``StoreUnavailable`` or
        ``StoreRefused`` if the database fails.
        """
        measured = [] if generation is None else self._measurements.read(generation, max(most, 1))
        points = [_measurement(each, is_latest=False) for each in measured]
        return ModelAnswer(
            at_ms=self._clock.now_ms(),
            generation=generation,
            card=None if self._manifest is None else model_card(self._manifest, active),
            card_problem=None if self._manifest is not None else self._problem or "this process has no bundle",
            latest=_measurement(measured[-1], is_latest=True) if measured else None,
            history=points[-most:] if most else [],
        )


def _measurement(measured: Measured, *, is_latest: bool) -> ModelMeasurement:
    summary, details = measured.summary, measured.details if is_latest else None
    agreements = [*summary.agreements, *(details.agreements if details is not None else ())]
    bins = details.bins if details is not None else {}
    drift = summary.drift
    return ModelMeasurement(
        measured_at_ms=measured.measured_at_ms,
        agreements=[ChallengeAgreement(**each._asdict()) for each in agreements],
        calibrations=[
            DimensionCalibration(
                dimension=each.dimension,
                bias=each.bias,
                error=each.error,
                deciles=_deciles(bins.get(each.dimension, ())),
            )
            for each in summary.calibrations
        ],
        drift=ModelDrift(
            score_psi=dict(drift.score_psi),
            norm_psi=dict(drift.norm_psi),
            norm_ratio=dict(drift.norm_ratio),
            reference_clips=drift.reference_clips,
            window_clips=drift.window_clips,
        ),
    )


def _deciles(bins: Iterable[CalibrationBin]) -> list[DecileCalibration]:
    return [
        DecileCalibration(
            low=number / BINS,
            high=(number + 1) / BINS,
            clips=each.clips,
            predicted=each.predicted,
            observed=each.observed,
        )
        for number, each in enumerate(bins)
    ]

"""The model under observation: a worker gives it what was scored, and asks it to measure from time to time."""

import logging
from collections.abc import Iterable
from typing import TypeGuard

from ranking.database.connection import Database
from ranking.monitoring.agreement import Comparison, compare
from ranking.monitoring.drift import DriftMonitor
from ranking.monitoring.measurements import Details, Measured, Measurements, Summary
from ranking.monitoring.samples import DriftSamples
from ranking.monitoring.settings import MonitoringSettings
from ranking.monitoring.windows import challenge_windows
from ranking.scores.generations import active_generation
from schemas.clock import Clock
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.events import ClipScored
from schemas.observation import Drift, Observer
from schemas.virality_target import Target, target_of

log = logging.getLogger(__name__)


class ModelMonitor:
    """Agreement with what was observed, calibration, and drift, reported to the observer. Threads may add and measure
    at once. Any number of workers may measure one database; they report the same.
    """

    def __init__(
        self, database: Database, observer: Observer, clock: Clock, settings: MonitoringSettings | None = None
    ) -> None:
        """``database`` has to be migrated."""
        self._settings = settings or MonitoringSettings()
        self._observer = observer
        self._clock = clock
        self._database = database
        samples = DriftSamples(
            database,
            reference_clips=self._settings.reference_clips,
            window_clips=self._settings.drift_clips,
        )
        self._drift = DriftMonitor(samples, observer)
        self._measurements = Measurements(database)
        self._not_compared: str | None = None

    def add(self, clips: Iterable[ClipScored]) -> None:
        """Clips that were just read from the log; returns at once."""
        self._drift.add(clips)

    def measure(self) -> None:
        """Report to the observer how right the active generation is now, and keep it in the database.

        Nothing is compared with predictions of another target than Eq. (1); their drift is reported.
        If the database fails, a warning is logged, what was reported before stands, and the next call tries again.
        """
        try:
            with self._database.reading() as connection:
                generation = active_generation(connection)
            drift = self._drift.report(generation)
            found = self._compared(generation) if self._comparable(generation) else Comparison([], [], {})
            if generation is not None and drift is not None:
                self._keep(generation, found, drift)
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("the model was not measured: %s", error)
            self._observer.model_not_measured()
            return
        self._observer.agreement_measured(found.agreements)
        self._observer.calibration_measured(found.calibrations)
        self._observer.model_measured(self._clock.now_ms())

    def _keep(self, generation: str, found: Comparison, drift: Drift) -> None:
        """For others to show; of several workers that measure at about the same time one does."""
        means = [each for each in found.agreements if each.challenge_id is None]
        single = [each for each in found.agreements if each.challenge_id is not None]
        summary, details = Summary(means, found.calibrations, drift), Details(single, dict(found.bins))
        measured = Measured(self._clock.now_ms(), summary, details)
        self._measurements.add(generation, measured, least_interval_s=self._settings.measure_interval_s / 2)

    def _comparable(self, generation: str | None) -> TypeGuard[str]:
        """Whether observed virality, which is Eq. (1), is what the generation predicts; says so once if it is not."""
        if generation is None:
            return False
        if (target := target_of(generation)) is Target.EQ1:
            return True
        if generation != self._not_compared:
            self._not_compared = generation
            log.warning(
                "agreement and calibration are not measured: generation %s predicts %s, what is observed is eq1",
                generation,
                target,
            )
        return False

    def _compared(self, generation: str) -> Comparison:
        settings = self._settings
        with self._database.reading() as connection:
            windows = challenge_windows(
                connection,
                generation,
                most_clips=settings.agreement_clips,
                least_clips=settings.least_clips,
                least_days=settings.least_days,
            )
            return compare(windows, least_clips=settings.least_clips, most_challenges=settings.most_challenges)

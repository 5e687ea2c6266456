import logging

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from exporters.prometheus import PrometheusObserver
from ranking.database.connection import Database
from ranking.monitoring.measurements import Measurements
from ranking.monitoring.monitor import ModelMonitor
from ranking.monitoring.settings import MonitoringSettings
from ranking.scores.generations import Generations
from schemas.clock import ManualClock
from schemas.modalities import Dimension
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import NOW_MS
from tests.ranking.monitoring.seen import RecordingObserver, observe, plain_clips, random_clips

SETTINGS = MonitoringSettings(agreement_clips=40, reference_clips=30, drift_clips=20)


class Watched:
    """A monitor of a database, its observer, and its clock."""

    def __init__(self, database: Database) -> None:
        self.observer, self.clock = RecordingObserver(), ManualClock()
        self.monitor = ModelMonitor(database, self.observer, self.clock, SETTINGS)


@pytest.fixture
def watched(any_database: Database) -> Watched:
    return Watched(any_database)


def test_the_active_generation_is_measured(any_database: Database, watched: Watched) -> None:
    clips = random_clips("ch", 80, np.random.default_rng(7), absent=0.0)
    observe(any_database, clips)
    watched.monitor.measure()
    latest = sorted((c for c in clips if c.days_online >= 1), key=lambda c: -c.observed_at_ms)[:40]
    virality = [clip.virality for clip in latest]
    expected = spearmanr([clip.fused for clip in latest], virality).statistic
    agreements = watched.observer.agreements
    assert agreements["ch", "fused"].correlation == pytest.approx(expected)
    assert agreements[None, "fused"] == agreements["ch", "fused"]._replace(challenge_id=None)
    lowest, highest = min(c.virality for c in clips), max(c.virality for c in clips)
    above = [c.fused - (c.virality - lowest) / (highest - lowest) for c in latest]
    assert watched.observer.calibrations["fused"].bias == pytest.approx(np.mean(above))
    assert watched.observer.measured_at_ms == watched.clock.now_ms()
    (kept,) = Measurements(any_database).read("g1", 10)
    assert kept.details is not None
    assert {each.challenge_id: each for each in kept.details.agreements if each.dimension == "fused"} == {
        "ch": agreements["ch", "fused"]
    }
    assert agreements[None, "fused"] in kept.summary.agreements
    bins = kept.details.bins[Dimension.FUSED]
    inside = [sum(1 for clip in latest if min(max(int(clip.fused * 10), 0), 9) == number) for number in range(10)]
    assert [each.clips for each in bins] == inside
    newer = random_clips("new", 80, np.random.default_rng(7), absent=0.0)
    observe(any_database, [clip._replace(generation="g2") for clip in newer])
    watched.monitor.measure()
    assert watched.observer.agreements == agreements
    Generations(any_database).activate("g2", 5)
    watched.monitor.measure()
    assert {challenge for challenge, _ in watched.observer.agreements} == {None, "new"}


@pytest.mark.parametrize("target", ["per-view", "audience-adjusted"])
def test_predictions_of_another_target_are_not_compared_with_observed_eq1(
    any_database: Database, watched: Watched, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    clips = random_clips("ch", 40, np.random.default_rng(7), absent=0.0)
    observe(any_database, [clip._replace(generation=f"{target}-0123456789abcdef") for clip in clips])
    watched.monitor.add(plain_clips(30, generation=f"{target}-0123456789abcdef"))
    Generations(any_database).activate(f"{target}-0123456789abcdef", 5)
    with caplog.at_level(logging.WARNING):
        watched.monitor.measure()
        watched.monitor.measure()
    assert (watched.observer.agreements, watched.observer.calibrations) == ({}, {})
    assert watched.observer.drift is not None
    assert watched.observer.measured_at_ms == watched.clock.now_ms()
    assert caplog.text.count(f"predicts {target}, what is observed is eq1") == 1


def test_drift_and_agreement_are_reported_together(any_database: Database, watched: Watched) -> None:
    observe(any_database, random_clips("ch", 40, np.random.default_rng(8), absent=0.0))
    watched.monitor.add(plain_clips(50))
    watched.monitor.measure()
    assert watched.observer.drift is not None
    assert watched.observer.drift.score_psi[Dimension.FUSED] > 0
    assert ("ch", "fused") in watched.observer.agreements


def test_before_anything_was_scored_there_is_nothing_to_tell(any_database: Database, watched: Watched) -> None:
    watched.monitor.measure()
    assert (watched.observer.agreements, watched.observer.calibrations, watched.observer.drift) == ({}, {}, None)
    assert watched.observer.failures == 0


def test_a_failing_database_leaves_the_last_report(empty_database: Database, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(empty_database)
    with caplog.at_level(logging.WARNING):
        watched.monitor.measure()
    assert watched.observer.failures == 1
    assert "not measured" in caplog.text
    assert watched.observer.measured_at_ms is None
    empty_database.migrate()
    watched.clock.advance(60)
    watched.monitor.measure()
    assert watched.observer.measured_at_ms == watched.clock.now_ms()


def test_an_unreachable_server_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    monitor = ModelMonitor(Database(UNREACHABLE), observer := RecordingObserver(), ManualClock(), SETTINGS)
    monitor.add(plain_clips(3))
    with caplog.at_level(logging.WARNING):
        monitor.measure()
    assert observer.failures == 1
    assert "did not answer" in caplog.text


def test_reports_become_metrics(sqlite_database: Database) -> None:
    observe(sqlite_database, random_clips("ch", 40, np.random.default_rng(9)))
    observer = PrometheusObserver()
    monitor = ModelMonitor(sqlite_database, observer, ManualClock(start_ms=NOW_MS), SETTINGS)
    monitor.add(plain_clips(50))
    monitor.measure()
    value = observer.registry.get_sample_value
    assert value("dancerank_agreement_spearman", {"challenge": "ch", "dimension": "fused"}) is not None
    assert value("dancerank_agreement_clips", {"challenge": "all challenges", "dimension": "fused"}) is not None
    assert value("dancerank_calibration_error", {"dimension": "fused"}) is not None
    assert value("dancerank_drift_score_psi", {"dimension": "fused"}) is not None
    assert value("dancerank_drift_norm_psi", {"modality": "skeletal"}) is not None
    assert value("dancerank_drift_norm_ratio", {"modality": "skeletal"}) is not None
    assert value("dancerank_model_measured_timestamp_seconds") == NOW_MS / 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agreement_clips", 19),
        ("least_clips", 1),
        ("least_days", -1.0),
        ("least_days", float("nan")),
        ("most_challenges", -1),
        ("reference_clips", 0),
        ("drift_clips", 0),
    ],
)
def test_a_setting_that_cannot_work_names_itself(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        MonitoringSettings(**{name: value})

"""Measurements of the model are kept for every process to show, bounded in number."""

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.monitoring_tables import model_measurements
from ranking.monitoring import measurements
from ranking.monitoring.calibration import CalibrationBin
from ranking.monitoring.measurements import Details, Measured, Measurements, Summary
from ranking.scores.generations import Generations
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.modalities import Dimension, Modality
from schemas.observation import Agreement, Calibration, Drift
from tests.ranking.databases import UNREACHABLE

FUSED = Dimension.FUSED


def measured(at_ms: int, correlation: float = 0.5) -> Measured:
    summary = Summary(
        [Agreement(None, FUSED, correlation, 40)],
        [Calibration(FUSED, 0.1, 0.2)],
        Drift({FUSED: 0.02}, {Modality.SKELETAL: 0.3}, {Modality.SKELETAL: 1.1}, 30, 20),
    )
    bins = {FUSED: [CalibrationBin(2, 0.25, 0.5), CalibrationBin(0, None, None)]}
    return Measured(at_ms, summary, Details([Agreement("ch", FUSED, correlation, 40)], bins))


@pytest.fixture
def kept(any_database: Database) -> Measurements:
    return Measurements(any_database)


def times(kept: Measurements, most: int = 100, generation: str = "g1") -> list[int]:
    return [each.measured_at_ms for each in kept.read(generation, most)]


def test_a_measurement_is_read_as_it_was_kept_and_an_earlier_one_without_its_details(kept: Measurements) -> None:
    first, second = measured(1000, 0.4), measured(2000)
    assert kept.add("g1", first)
    assert kept.read("g1", 10) == [first]
    assert kept.add("g1", second)
    assert kept.read("g1", 10) == [Measured(1000, first.summary), second]
    assert kept.read("g1", 1) == [second]
    assert kept.read("g2", 10) == []


def test_of_workers_that_measure_at_about_the_same_time_one_keeps_it(kept: Measurements) -> None:
    assert kept.add("g1", measured(10_000), least_interval_s=5)
    assert not kept.add("g1", measured(14_999), least_interval_s=5)
    assert kept.add("g2", measured(14_999), least_interval_s=5)
    assert kept.add("g1", measured(15_000), least_interval_s=5)
    assert times(kept) == [10_000, 15_000]


def test_the_latest_are_kept_of_each_generation(kept: Measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "KEPT", 3)
    kept.add("g2", measured(1))
    for at_ms in range(1, 6):
        kept.add("g1", measured(at_ms))
    assert (times(kept), times(kept, generation="g2")) == ([3, 4, 5], [1])


def test_what_a_clock_that_was_ahead_wrote_is_replaced(kept: Measurements) -> None:
    for at_ms in (1000, 9_000_000):
        kept.add("g1", measured(at_ms))
    assert kept.add("g1", measured(2000), least_interval_s=0.5)
    assert times(kept) == [1000, 2000]


def test_those_of_retired_generations_go(kept: Measurements, any_database: Database) -> None:
    kept.add("g1", measured(1))
    kept.add("g2", measured(1))
    list(Generations(any_database).retire("g2", 5))
    kept.add("g1", measured(2))
    assert (times(kept), times(kept, generation="g2")) == ([1, 2], [])


def test_a_measurement_of_another_release_is_an_error_that_names_it(kept: Measurements, any_database: Database) -> None:
    row = {"generation": "g1", "measured_at_ms": 5, "summary": b"\x01", "details": None}
    with any_database.writing() as connection:
        connection.execute(sa.insert(model_measurements), [row])
    with pytest.raises(StoreRefused, match="of generation g1 cannot be read"):
        kept.read("g1", 10)


def test_an_unreachable_database_is_a_retriable_error() -> None:
    with pytest.raises(StoreUnavailable):
        Measurements(Database(UNREACHABLE)).read("g1", 1)

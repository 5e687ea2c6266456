import threading
from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.monitoring_tables import drift_samples
from ranking.monitoring.drift import DriftMonitor, samples_of
from ranking.monitoring.samples import DriftSamples
from ranking.monitoring.stability import population_stability
from schemas.errors import StoreRefused
from schemas.events import embedding_array
from schemas.modalities import FUSED_MODALITIES, PAPER_MODALITIES, Dimension, Modality
from tests.ranking.examples import result, scored_clip
from tests.ranking.monitoring.seen import RecordingObserver, plain_clips


class Worker:
    """One of several drift monitors of a database."""

    def __init__(self, database: Database, *, reference: int = 100, window: int = 50) -> None:
        self.database, self.observer = database, RecordingObserver()
        self.samples = DriftSamples(database, reference_clips=reference, window_clips=window)
        self.monitor = DriftMonitor(self.samples, self.observer)

    def see(self, start: int, count: int, *, generation: str = "g1", norm: float = 1.0) -> None:
        self.monitor.add(plain_clips(count, start=start, generation=generation, norm=norm))

    def report(self, generation: str | None = "g1") -> None:
        self.monitor.report(generation)

    def fused(self) -> tuple[list[float], list[float]]:
        """The fused scores of both samples, which are the numbers of the clips."""
        reference, window, *_ = self.samples.read("g1")
        column = len(PAPER_MODALITIES)
        return reference[:, column].tolist(), window[:, column].tolist() if len(window) else []

    def rows(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(drift_samples)).scalar_one())


NewWorker = Callable[[], Worker]


@pytest.fixture
def start(any_database: Database) -> NewWorker:
    """Starts workers of one migrated database."""
    return lambda: Worker(any_database)


def test_the_quantities_of_a_clip_are_its_scores_and_the_norms_of_its_embeddings() -> None:
    generator = np.random.default_rng(0)
    modalities = {
        m: result(generator.normal(size=16), score=float(i))
        for i, m in enumerate(FUSED_MODALITIES)
        if m != Modality.FACIAL
    }
    clips = [
        scored_clip("a", modalities=modalities, fused_score=0.75, generation="g2", scored_at_ms=7),
        scored_clip("b", generation="g1", scored_at_ms=9),
        scored_clip("c", generation="g2", scored_at_ms=5),
    ]
    first, second = samples_of(clips)
    assert (first.generation, first.values.shape, first.scored_at_ms) == ("g1", (1, 9), 9)
    assert (second.generation, second.values.shape, second.scored_at_ms) == ("g2", (2, 9), 7)
    norms = [
        float(np.sqrt((embedding_array(modalities[m]).astype(float) ** 2).sum())) if m in modalities else np.nan
        for m in FUSED_MODALITIES
    ]
    assert second.values[0] == pytest.approx([0.0, 1.0, np.nan, 3.0, 0.75, *norms], nan_ok=True)


def test_modalities_beyond_the_papers_are_the_last_quantities_of_batches_that_have_them(start: NewWorker) -> None:
    routine = {Modality.ROUTINE: result([3.0, 4.0], score=0.25, attention=1.0)}
    (sample,) = samples_of([scored_clip("r", modalities=routine, fused_score=0.25)])
    assert sample.values[0] == pytest.approx([*[np.nan] * 4, 0.25, *[np.nan] * 4, 0.25, 5.0], nan_ok=True)
    worker = start()
    worker.see(0, 100)
    worker.report()
    worker.monitor.add([scored_clip(f"r{n}", modalities=routine, fused_score=n) for n in range(50)])
    worker.report()
    worker.samples.add(samples_of(plain_clips(1, start=50)))
    assert worker.fused() == (list(range(100)), list(range(1, 51))), "a part without them has the columns of the paper"
    drift = worker.observer.drift
    assert drift is not None
    assert list(drift.score_psi) == [Dimension.SKELETAL, Dimension.ROUTINE, Dimension.FUSED]
    assert list(drift.norm_psi) == [Modality.SKELETAL, Modality.ROUTINE]


def test_the_first_clips_are_the_reference_and_the_last_the_window(start: NewWorker) -> None:
    worker = start()
    for first in range(0, 400, 30):
        worker.see(first, 30)
        worker.report()
    assert worker.fused() == (list(range(100)), list(range(370, 420)))


def test_drift_is_reported_once_both_samples_are_complete(start: NewWorker) -> None:
    worker = start()
    worker.see(0, 149)
    worker.report()
    assert worker.observer.drift[:5] == ({}, {}, {}, 100, 49)
    worker.see(149, 1)
    worker.report()
    drift = worker.observer.drift
    assert drift is not None
    expected = population_stability(np.arange(100.0), np.arange(100.0, 150.0))
    assert drift.score_psi[Dimension.FUSED] == pytest.approx(expected)
    assert set(drift.score_psi) == {Dimension.SKELETAL, Dimension.FUSED}, "the others were never there"
    assert set(drift.norm_psi) == set(drift.norm_ratio) == {Modality.SKELETAL}
    assert drift.norm_ratio[Modality.SKELETAL] == pytest.approx(1.0)
    assert drift.score_psi[Dimension.SKELETAL] < 0.25 < drift.score_psi[Dimension.FUSED]


@pytest.mark.parametrize("moved", ["score", "norm"])
def test_the_scores_of_a_modality_drift_apart_from_the_norms_of_its_embeddings(start: NewWorker, moved: str) -> None:
    rng, worker = np.random.default_rng(0), start()
    for number in range(150):
        later = {"score": 1.0, "norm": 1.0} | ({moved: 5.0} if number >= 100 else {})
        embedding = np.array([1.0, 2.0]) * later["norm"] * rng.uniform(0.9, 1.1)
        skeletal = result(embedding, score=later["score"] * rng.uniform(0.9, 1.1))
        worker.monitor.add([scored_clip(f"d{number}", modalities={Modality.SKELETAL: skeletal})])
    worker.report()
    drift = worker.observer.drift
    assert drift is not None
    found = {"score": drift.score_psi[Dimension.SKELETAL], "norm": drift.norm_psi[Modality.SKELETAL]}
    assert {name for name, psi in found.items() if psi > 1} == {moved}
    assert min(found.values()) < 0.5


def test_embeddings_that_grew_show(start: NewWorker) -> None:
    worker = start()
    worker.see(0, 100)
    worker.see(100, 50, norm=3.0)
    worker.report()
    drift = worker.observer.drift
    assert drift is not None
    assert drift.norm_ratio[Modality.SKELETAL] == pytest.approx(3.0, rel=0.01)
    assert drift.norm_psi[Modality.SKELETAL] > 1


def test_a_modality_that_is_gone_has_an_index_and_no_ratio(start: NewWorker) -> None:
    worker = start()
    worker.see(0, 100)
    worker.monitor.add([scored_clip(f"d{n}", modalities={Modality.SCENIC: result()}) for n in range(50)])
    worker.report()
    drift = worker.observer.drift
    assert drift is not None
    assert drift.norm_psi[Modality.SKELETAL] > 1
    assert drift.norm_psi[Modality.SCENIC] > 1
    assert drift.norm_ratio == {}


def test_a_restart_forgets_neither_the_reference_nor_the_window(start: NewWorker) -> None:
    before = start()
    before.see(0, 200)
    before.report()
    after = start()
    after.report()
    assert after.observer.drift == before.observer.drift
    after.see(200, 10)
    after.report()
    assert after.fused() == (list(range(100)), list(range(160, 210)))


def test_workers_share_both_samples(start: NewWorker) -> None:
    first, second = start(), start()
    first.see(0, 60)
    first.report()
    second.see(60, 60)
    second.report()
    first.see(120, 40)
    first.report()
    second.report()
    assert first.fused() == second.fused() == (list(range(100)), list(range(110, 160)))
    assert first.observer.drift == second.observer.drift


def test_workers_that_store_together_fill_one_reference(start: NewWorker) -> None:
    workers = [start() for _ in range(4)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for part in range(5):
                workers[number].see(1000 * number + 10 * part, 10)
                workers[number].report()
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    reference, window = workers[0].fused()
    assert (len(reference), len(window)) == (100, 50)
    assert len({*reference, *window}) == 150


def test_each_generation_has_samples_of_its_own(start: NewWorker) -> None:
    worker = start()
    worker.see(0, 150)
    worker.see(1000, 20, generation="g2")
    worker.report("g2")
    assert worker.observer.drift[:5] == ({}, {}, {}, 20, 0)
    worker.see(2000, 10, generation="g1")
    worker.report("g1")
    assert worker.observer.drift is not None
    assert worker.observer.drift.reference_clips == 100


def test_what_left_the_window_is_forgotten(start: NewWorker) -> None:
    worker = start()
    for first in range(0, 2000, 25):
        worker.see(first, 25)
        worker.report()
    assert worker.rows() == 4 + 2


def test_however_many_clips_come_between_two_reports_the_first_and_the_latest_count(start: NewWorker) -> None:
    worker = start()
    for first in range(0, 1000, 7):
        worker.see(first, 7)
    worker.report()
    worker.see(2000, 500)
    worker.report()
    assert worker.fused() == (list(range(100)), list(range(2450, 2500)))


def test_nothing_is_known_before_the_first_clip(start: NewWorker) -> None:
    worker = start()
    worker.report(None)
    assert worker.observer.drift is None


def test_clips_that_could_not_be_stored_are_kept_for_the_next_report(empty_database: Database) -> None:
    worker = Worker(empty_database)
    worker.see(0, 30)
    with pytest.raises(StoreRefused):
        worker.report()
    empty_database.migrate()
    worker.see(30, 30)
    worker.report()
    assert worker.fused() == (list(range(60)), [])

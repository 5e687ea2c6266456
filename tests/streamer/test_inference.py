"""Networks on threads of their own: the loop goes on meanwhile, and a hanging network is a loop that stands still."""

import threading
import time
from typing import Any

import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock, SystemClock
from schemas.events import ClipScored
from schemas.modalities import Modality
from streamer.batch_sizes import BatchSizes
from streamer.inference import Inference
from streamer.padding import PaddedBuffer
from streamer.runs import StreamRun
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, Scoring, ScoringInput
from tests.clips import random_features, upload
from tests.streaming import Log, quick_settings, running, uploads
from tests.waiting import wait_until
from transport.memory import MemoryTransactionalSink

ALONE = BatchSizes({Modality.SKELETAL: {250: 1}, Modality.SCENIC: {250: 2}})


class Held(Scorer):
    """Waits in every run until it is opened; ``entered`` counts runs that began."""

    def __init__(self, bundle: Bundle, *, sizes: BatchSizes = ALONE) -> None:
        super().__init__(OnnxRuntime(bundle, threads=1), sizes=sizes)
        self.open, self.entered, self.error = threading.Event(), 0, None
        self._lock = threading.Lock()

    def run(self, scoring: Scoring, run: StreamRun, buffer: PaddedBuffer) -> None:
        with self._lock:
            self.entered += 1
        self.open.wait(60)
        if self.error is not None:
            raise self.error
        super().run(scoring, run, buffer)


def clips(count: int) -> list[ScoringInput]:
    made = [random_features(3.0 + n % 4, modalities=(Modality.SKELETAL, Modality.SCENIC), seed=n) for n in range(count)]
    return [(upload(f"clip-{n}", features), features) for n, features in enumerate(made)]


def begun(scorer: Scorer, *, workers: int = 2, clock: Any = None) -> tuple[Inference[str], threading.Event]:
    ended = threading.Event()
    return Inference(scorer, workers=workers, clock=clock or SystemClock(), ended=ended.set), ended


def test_a_batch_that_several_threads_share_has_the_results_of_one(bundle: Bundle) -> None:
    scorer, batch = Scorer(OnnxRuntime(bundle, threads=1), sizes=ALONE), clips(9)
    inference, ended = begun(scorer, workers=3)
    inference.submit([upload.clip_id for upload, _ in batch], scorer.begin(batch))
    assert ended.wait(60)
    (scored,) = inference.collect()
    inference.close()
    expected = scorer.score(batch)
    assert list(scored.items) == [upload.clip_id for upload, _ in batch]
    for result, other in zip(scored.results, expected, strict=True):
        assert isinstance(result, ClipScored)
        assert isinstance(other, ClipScored)
        assert (result.clip_id, result.modalities) == (other.clip_id, other.modalities)


def test_there_is_room_while_the_threads_could_run_out_of_work(bundle: Bundle) -> None:
    scorer = Held(bundle)
    inference, ended = begun(scorer)
    room = []
    for _ in range(4):
        room.append(inference.has_room)
        inference.submit(["a"], scorer.begin(clips(1)))
    assert room == [True, True, True, False]
    scorer.open.set()
    assert ended.wait(60)
    wait_until(lambda: inference.collect() is not None and not inference.batches)
    inference.close()


def test_a_defect_in_a_run_is_raised_where_the_batch_is_collected(bundle: Bundle) -> None:
    scorer = Held(bundle)
    scorer.error = ZeroDivisionError("a defect")
    scorer.open.set()
    inference, ended = begun(scorer)
    inference.submit(["a"], scorer.begin(clips(3)))
    assert ended.wait(60)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        inference.collect()
    inference.close()


def test_closing_waits_for_runs_that_began_and_drops_the_others(bundle: Bundle) -> None:
    scorer = Held(bundle)
    inference, _ = begun(scorer, workers=1)
    inference.submit(["a"], scorer.begin(clips(5)))
    wait_until(lambda: scorer.entered == 1)
    closing = threading.Thread(target=inference.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    scorer.open.set()
    closing.join(60)
    assert (scorer.entered, inference.collect()) == (1, [])


def test_it_says_since_when_the_longest_run_has_lasted(bundle: Bundle) -> None:
    scorer, clock = Held(bundle), ManualClock()
    inference, ended = begun(scorer, clock=clock)
    assert inference.busy_since_s() is None
    inference.submit(["a"], scorer.begin(clips(1)))
    began_s = clock.monotonic_s()
    wait_until(lambda: scorer.entered == 2)
    clock.advance(30.0)
    assert inference.busy_since_s() == began_s
    scorer.open.set()
    assert ended.wait(60)
    wait_until(lambda: inference.busy_since_s() is None)
    inference.close()


def test_a_network_that_hangs_is_a_loop_that_has_not_moved(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on, run = threading.Event(), Scorer.run

    def held(*work: Any) -> None:
        may_go_on.wait(60)
        run(*work)

    monkeypatch.setattr(Scorer, "run", held)
    log = Log()
    log.upload(*uploads(2))
    streamer = log.streamer(bundle, quick_settings())
    with running(streamer):
        wait_until(lambda: streamer._inference.busy_since_s() is not None)
        since_s = streamer._inference.busy_since_s()
        wait_until(lambda: streamer.progress.stepped_s == since_s)
        time.sleep(0.1)
        assert streamer.progress.stepped_s == since_s
        may_go_on.set()
        wait_until(lambda: log.settled() >= 2)
        wait_until(lambda: (streamer.progress.stepped_s or 0) > since_s)


class CommitsLast(MemoryTransactionalSink):
    """Ends its first commit with results only once networks have run meanwhile."""

    def __init__(self, log: Log, runs: list[int]) -> None:
        super().__init__(log.broker)
        self.runs, self.waited = runs, 0

    def commit(self, records, positions, source) -> None:  # type: ignore[no-untyped-def]
        if records and not self.waited:
            before = len(self.runs)
            wait_until(lambda: len(self.runs) > before, what="no network ran during a commit")
            self.waited = len(self.runs) - before
        super().commit(records, positions, source)


def test_networks_run_while_a_transaction_is_committed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    log, runs, run = Log(partitions=1), list[int](), Scorer.run

    def counted(*work: Any) -> None:
        time.sleep(0.05)
        run(*work)
        runs.append(1)

    monkeypatch.setattr(Scorer, "run", counted)
    log.upload(*uploads(12))
    sink = CommitsLast(log, runs)
    with running(log.streamer(bundle, quick_settings(max_batch_clips=2), sink=sink)):
        wait_until(lambda: log.settled() >= 12)
    assert sink.waited >= 1

import logging
import threading
from collections.abc import Callable

import msgspec
import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock
from schemas.errors import InferenceFailed
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Float32, Int64, StreamResult
from streamer.batch_sizes import BatchSizes
from streamer.measuring import LENGTHS, Deadline, chosen_sizes, measure_costs, sizes_up_to
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.settings import StreamerSettings
from streamer.tuning import Way, fixed_schedule, open_tuned, ways

USUAL = LENGTHS[0]


class Priced(OnnxRuntime):
    """Takes as long, by a clock of its own, as ``price`` says of a stream and a number of clips."""

    def __init__(
        self, bundle: Bundle, price: Callable[[Modality, int], float], clock: ManualClock | None = None
    ) -> None:
        super().__init__(bundle, threads=1)
        self.clock, self.price = clock or ManualClock(), price
        self.runs, self._lock = list[tuple[Modality, int]](), threading.Lock()

    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        assert frames.shape[0] == len(lengths)
        with self._lock:
            self.runs.append((modality, len(lengths)))
            self.clock.advance(self.price(modality, len(lengths)))
        return super().run_stream(modality, frames[:, :1], lengths.clip(max=1))


def sizes(runtime: Priced, *, max_clips: int = 32, max_steps: int = 4096, budget_s: float = 1e9) -> BatchSizes:
    costs = measure_costs(
        runtime,
        workers=1,
        max_clips=max_clips,
        max_steps=max_steps,
        deadline=Deadline(runtime.clock, budget_s),
        clock=runtime.clock,
    )
    return chosen_sizes(costs, {})


def dense_or_sparse(modality: Modality, clips: int) -> float:
    """Skeletons gain nothing together, the others share a fixed cost of five clips."""
    return float(clips) if modality is Modality.SKELETAL else 5.0 + clips


def test_a_stream_that_gains_nothing_runs_clips_alone_and_the_others_gain_what_they_can(bundle: Bundle) -> None:
    chosen = sizes(Priced(bundle, dense_or_sparse))
    assert chosen.at(Modality.SKELETAL, USUAL) == 1
    assert chosen.at(Modality.SCENIC, USUAL) == 16  # of 4096 steps


def test_no_size_is_above_the_limits_of_batches(bundle: Bundle) -> None:
    runtime = Priced(bundle, dense_or_sparse)
    sizes(runtime, max_clips=6, max_steps=1000)
    assert max(clips for _, clips in runtime.runs) == 6
    assert sizes(runtime, max_steps=100).largest(32) == 1


def test_sizes_are_powers_of_two_and_the_limit() -> None:
    assert [sizes_up_to(limit) for limit in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


def test_measuring_ends_in_time_and_what_is_unknown_runs_whole_batches(bundle: Bundle) -> None:
    runtime = Priced(bundle, lambda _, clips: float(clips))
    chosen = sizes(runtime, budget_s=5.0)
    assert (
        runtime.clock.monotonic_s() <= ManualClock().monotonic_s() + 5.0 + 4.0
    )  # the first run of a stream is unknown
    assert chosen.at(Modality.SKELETAL, USUAL) == 1
    assert any(chosen.at(modality, USUAL) is None for modality in Modality)


def test_a_size_that_fails_is_not_used(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    def price(modality: Modality, clips: int) -> float:
        if clips > 4:
            raise InferenceFailed("out of memory")
        return 1.0

    assert sizes(Priced(bundle, price)).largest(32) == 4
    assert "fewer than 8 clips of 250 steps, which fail: out of memory" in caplog.text


def test_clips_that_a_stream_does_not_take_are_not_measured(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    shorter = {Modality.SKELETAL: 250}  # 10 s
    profile = msgspec.structs.replace(bundle.manifest.profile, longest=shorter)
    bounded = Bundle(msgspec.structs.replace(bundle.manifest, profile=profile), bundle.graphs)
    chosen = sizes(Priced(bounded, dense_or_sparse), max_clips=2)
    assert set(chosen.most[Modality.SKELETAL]) == {250, 125}
    assert set(chosen.most[Modality.HOLISTIC]) == set(LENGTHS)
    assert "which fail" not in caplog.text


@pytest.mark.parametrize(
    ("workers", "threads", "expected"),
    [
        (0, 0, [Way(4, 1), Way(1, 4)]),
        (0, 1, [Way(1, 1)]),
        (3, 0, [Way(3, 1)]),
        (2, 0, [Way(2, 2)]),
        (2, 8, [Way(2, 8)]),
    ],
)
def test_what_the_settings_fix_is_not_measured(workers: int, threads: int, expected: list[Way]) -> None:
    assert ways(StreamerSettings(inference_workers=workers, inference_threads=threads), 4) == expected
    assert ways(StreamerSettings(), 1) == [Way(1, 1)]


class Chosen(Observer):
    def __init__(self) -> None:
        self.sizes: dict[tuple[Modality, int], int] = {}

    def batch_size_chosen(self, modality: Modality, steps: int, clips: int) -> None:
        self.sizes[modality, steps] = clips


def test_what_was_chosen_is_logged_and_reported_and_fixed_sizes_are_kept(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen = Chosen()
    settings = StreamerSettings(providers=("cpu",), stream_batch_clips={Modality.FACIAL: 3}, max_batch_clips=2)
    runtime, schedule = open_tuned(settings, bundle, observer=seen)
    runtime.close()
    assert schedule.sizes.at(Modality.FACIAL, USUAL) == seen.sizes[Modality.FACIAL, USUAL] == 3
    assert {(modality, USUAL) for modality in bundle.manifest.modalities} <= seen.sizes.keys()
    assert "clips of a run: skeletal" in caplog.text


def test_without_time_to_measure_batches_are_run_whole(bundle: Bundle) -> None:
    settings = StreamerSettings(providers=("cpu",), tuning_s=0, stream_batch_clips={Modality.SKELETAL: 1})
    runtime, schedule = open_tuned(settings, bundle)
    runtime.close()
    assert schedule.sizes == fixed_schedule(settings).sizes == BatchSizes({Modality.SKELETAL: {USUAL: 1}})


@pytest.mark.parametrize(
    ("price", "chosen", "opened"), [(0.95, 2, [1, 2, 1]), (0.5, 1, [1, 2])], ids=["hardly faster", "clearly faster"]
)
def test_streams_run_side_by_side_unless_one_at_a_time_is_clearly_faster(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, price: float, chosen: int, opened: list[int]
) -> None:
    clock, seen = ManualClock(), list[int]()

    def open_priced(*_: object, threads: int, **__: object) -> Priced:
        assert len(seen) == len(closed), "two runtimes are open at once"
        seen.append(threads)
        runtime = Priced(bundle, lambda _, clips: clips * (1.0 if threads == 1 else price), clock)
        monkeypatch.setattr(runtime, "close", lambda: closed.append(threads))
        return runtime

    closed: list[int] = []
    monkeypatch.setattr("streamer.tuning.open_runtime", open_priced)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    settings = StreamerSettings(tuning_s=1e6, max_batch_clips=2)
    assert open_tuned(settings, bundle, clock=clock).schedule.workers == chosen
    assert seen == opened

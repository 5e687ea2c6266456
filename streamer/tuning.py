"""How the networks are spread over the cores: measured where they will run, unless the settings say."""

import logging
import os
from typing import Final, NamedTuple

from schemas.bundle import Bundle
from schemas.clock import Clock, SystemClock
from schemas.observation import Observer
from schemas.ports import ModelRuntime
from streamer.batch_sizes import BatchSizes
from streamer.measuring import LENGTHS, Costs, Deadline, chosen_sizes, cost_of_a_clip, measure_costs
from streamer.runtimes.selection import open_runtime
from streamer.settings import StreamerSettings

log = logging.getLogger(__name__)

_CLEARLY: Final = 0.1
"""By so much another way has to be faster than the likeliest: less is what other work on the machine makes of two."""
_OPENING_SHARE: Final = 0.25
"""Another way is measured only if opening the graphs takes less than this share of the time there is."""


class Way(NamedTuple):
    """``workers`` streams side by side, each operator of each on ``threads`` threads (0: one per core)."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} at a time on {self.threads or 'all'} threads each"


class Schedule(NamedTuple):
    """How many streams run side by side, how many clips share a run of each, and how many ``threads`` an operator has
    (0: one per core).
    """

    workers: int
    sizes: BatchSizes
    threads: int = 0


class Tuned(NamedTuple):
    """A runtime and how to use it."""

    runtime: ModelRuntime
    schedule: Schedule


def ways(settings: StreamerSettings, cores: int) -> list[Way]:
    """The ways to share ``cores``, the likeliest first. What the settings fix is kept: with a number of threads and
    none of workers, one stream runs at a time.
    """
    workers, threads = settings.inference_workers, settings.inference_threads
    if workers and threads:
        return [Way(workers, threads)]
    if threads:
        return [Way(1, threads)]
    if workers:
        return [Way(workers, max(1, cores // workers))]
    return list(dict.fromkeys([Way(cores, 1), Way(1, cores)]))


def fixed_schedule(settings: StreamerSettings) -> Schedule:
    """What the settings say, without measuring: streams whose size they leave open run whole batches."""
    sizes = {modality: {LENGTHS[0]: size} for modality, size in settings.stream_batch_clips.items()}
    return Schedule(settings.inference_workers or 1, BatchSizes(sizes), settings.inference_threads)


def open_tuned(
    settings: StreamerSettings, bundle: Bundle, *, observer: Observer | None = None, clock: Clock | None = None
) -> Tuned:
    """The runtime of the settings with the ``bundle``, warm, and the schedule that was fastest on it.

    Measures for ``tuning_s`` at most. Raises what ``open_runtime`` raises.
    """
    observer, clock = observer or Observer(), clock or SystemClock()
    candidates = ways(settings, len(os.sched_getaffinity(0)))
    tuned = _Tuning(settings, bundle, clock).fastest(candidates)
    for modality, by_length in tuned.schedule.sizes.most.items():
        for length, clips in by_length.items():
            observer.batch_size_chosen(modality, length, clips)
    return tuned


class _Tuning:
    def __init__(self, settings: StreamerSettings, bundle: Bundle, clock: Clock) -> None:
        self._settings, self._bundle, self._clock = settings, bundle, clock

    def fastest(self, candidates: list[Way]) -> Tuned:
        """Opens one runtime after the other, never two at once: their weights would be in memory twice."""
        best, settings, clock = candidates[0], self._settings, self._clock
        began_s = clock.monotonic_s()
        runtime = self._open(best)
        opening_s = clock.monotonic_s() - began_s
        if not settings.tuning_s:
            return Tuned(runtime, Schedule(best.workers, fixed_schedule(settings).sizes, best.threads))
        deadline = Deadline(clock, settings.tuning_s)
        costs, opened = self._measure(runtime, best, deadline), best
        for way in candidates[1:]:
            cost_s = cost_of_a_clip(costs)
            if cost_s is None or opening_s > _OPENING_SHARE * settings.tuning_s or not deadline.allows(2 * opening_s):
                log.info("%s: not compared with %s, opening the graphs takes %.1f s", best, way, opening_s)
                continue
            runtime.close()
            runtime, opened = self._open(way), way
            others = self._measure(runtime, way, deadline)
            other_s = cost_of_a_clip(others)
            if other_s is not None and other_s < cost_s * (1 - _CLEARLY):
                best, costs = way, others
        if opened != best:
            runtime.close()
            runtime = self._open(best)
        sizes = chosen_sizes(costs, settings.stream_batch_clips)
        log.info("streams run %s; clips of a run: %s", best, _described(sizes, costs))
        return Tuned(runtime, Schedule(best.workers, sizes, best.threads))

    def _open(self, way: Way) -> ModelRuntime:
        settings = self._settings
        return open_runtime(settings.runtime, self._bundle, providers=settings.providers, threads=way.threads)

    def _measure(self, runtime: ModelRuntime, way: Way, deadline: Deadline) -> Costs:
        settings = self._settings
        return measure_costs(
            runtime,
            workers=way.workers,
            max_clips=settings.max_batch_clips,
            max_steps=settings.max_batch_steps,
            deadline=deadline,
            clock=self._clock,
        )


def _described(sizes: BatchSizes, costs: Costs) -> str:
    """``skeletal 1 (2.9 ms a clip), …`` of the usual length; what else was measured is in the metrics."""
    return ", ".join(
        f"{modality} {sizes.at(modality, LENGTHS[0])} ({1000 * min(usual.values()):.3g} ms a clip)"
        for modality, by_length in costs.items()
        if (usual := by_length.get(LENGTHS[0]))
    )

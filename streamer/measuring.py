"""What one clip costs in each stream, by the size of the batch, measured on the runtime that will serve.

Legend: a clip's length counts steps of ``STEP_RATE_HZ``.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np

from schemas.clock import Clock
from schemas.errors import InferenceFailed
from schemas.modalities import STEP_RATE_HZ, Modality
from schemas.ports import ModelRuntime
from streamer.batch_sizes import BatchSizes, best_size

LENGTHS: Final = tuple(round(seconds * STEP_RATE_HZ) for seconds in (10, 5, 20))
"""Lengths that are measured, in this order: the usual clip first, in case that the time does not suffice."""

log = logging.getLogger(__name__)

_ROUNDS: Final = 3
"""Times that a size is measured; the fastest counts, which other work on the machine disturbed least."""
_SLOWER: Final = 1.1
"""Larger sizes are not tried once one costs so many times the best."""

Costs = Mapping[Modality, Mapping[int, Mapping[int, float]]]
"""Seconds a clip by stream, length and size."""


class Deadline:
    """``budget_s`` from now, by the clock's monotonic time."""

    def __init__(self, clock: Clock, budget_s: float) -> None:
        self._clock, self._end_s = clock, clock.monotonic_s() + budget_s

    def allows(self, duration_s: float) -> bool:
        """Whether something that takes so long ends in time."""
        return self._clock.monotonic_s() + duration_s <= self._end_s


def sizes_up_to(limit: int) -> list[int]:
    """1, 2, 4 … ``limit``."""
    return [*(2**power for power in range(math.ceil(math.log2(max(limit, 1))))), max(limit, 1)]


def measure_costs(
    runtime: ModelRuntime,
    *,
    workers: int,
    max_clips: int,
    max_steps: int,
    deadline: Deadline,
    clock: Clock,
    lengths: Sequence[int] = LENGTHS,
) -> Costs:
    """Run each stream on clips of noise, on all ``workers`` threads at once, as they will share the cores.

    Sizes grow while they gain, up to ``max_clips`` and to ``max_steps`` of clips times length. What does not fit before
    the deadline is left out. The runs also warm the runtime up to the shapes that it will meet.
    """
    costs: dict[Modality, dict[int, dict[int, float]]] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="measure-streams") as threads:
        for length in lengths:
            sizes = sizes_up_to(min(max_clips, max(1, max_steps // length)))
            for modality in runtime.manifest.modalities:
                found = _costs_of(runtime, modality, length, sizes, workers, threads, deadline, clock)
                if found:
                    costs.setdefault(modality, {})[length] = found
    return costs


def chosen_sizes(costs: Costs, fixed: Mapping[Modality, int]) -> BatchSizes:
    """The best size of each stream and length; of ``fixed`` streams the one that is given."""
    chosen = {
        m: {length: best_size(by_size) for length, by_size in by_length.items()} for m, by_length in costs.items()
    }
    return BatchSizes({**chosen, **{modality: {LENGTHS[0]: size} for modality, size in fixed.items()}})


def cost_of_a_clip(costs: Costs) -> float | None:
    """Seconds of a clip with all modalities and of the usual length, at the best sizes; ``None`` if one is unknown."""
    usual = [by_length.get(LENGTHS[0]) for modality, by_length in costs.items() if modality.is_fused]
    if not usual or any(not by_size for by_size in usual):
        return None
    return sum(min(by_size.values()) for by_size in usual if by_size)


def _costs_of(
    runtime: ModelRuntime,
    modality: Modality,
    length: int,
    sizes: Iterable[int],
    workers: int,
    threads: ThreadPoolExecutor,
    deadline: Deadline,
    clock: Clock,
) -> dict[int, float]:
    """Seconds a clip by size; none of a length that the stream does not take."""
    steps = max(1, round(length / modality.step_cost))
    longest = runtime.manifest.profile.longest.get(modality)
    if longest is not None and steps > longest:
        return {}
    noise = np.random.default_rng(0).normal(1.0, 0.5, (steps, *runtime.manifest.step_shape(modality)))
    costs: dict[int, float] = {}
    for size in sizes:
        expected_s = size * workers * costs[max(costs)] if costs else 0.0
        if not deadline.allows((1 + _ROUNDS) * expected_s) or (
            costs and costs[max(costs)] > _SLOWER * min(costs.values())
        ):
            break
        frames = np.broadcast_to(noise.astype(np.float32), (size, *noise.shape)).copy()
        run = partial(runtime.run_stream, modality, frames, np.full(size, steps, np.int64))
        try:
            _elapsed_s(run, workers, threads, clock)  # kernels and memory of a new shape
            elapsed_s = min(_elapsed_s(run, workers, threads, clock) for _ in range(_ROUNDS))
        except InferenceFailed as error:
            log.warning("%s: runs have fewer than %d clips of %d steps, which fail: %s", modality, size, length, error)
            break
        costs[size] = elapsed_s / (size * workers)
    return costs


def _elapsed_s(run: Callable[[], object], workers: int, threads: ThreadPoolExecutor, clock: Clock) -> float:
    started_s = clock.monotonic_s()
    for running in [threads.submit(run) for _ in range(workers)]:
        running.result()
    return clock.monotonic_s() - started_s

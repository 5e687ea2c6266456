import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.modalities import Modality
from streamer.batch_sizes import WHOLE_BATCHES, BatchSizes, best_size

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=40)


@given(LENGTHS, st.integers(1, 9), st.sampled_from([100, 600, math.inf]))
def test_every_clip_is_in_one_run_and_no_run_is_above_the_limits(
    lengths: list[int], size: int, most_steps: float
) -> None:
    runs = BatchSizes({Modality.FACIAL: {100: size}}).runs(Modality.FACIAL, lengths, most_steps)
    assert sorted(np.concatenate(runs).tolist()) == list(range(len(lengths)))
    for rows in runs:
        assert len(rows) <= size
        assert len(rows) == 1 or max(lengths[row] for row in rows) * len(rows) <= most_steps


@given(LENGTHS)
def test_runs_hold_neighbours_in_length(lengths: list[int]) -> None:
    runs = BatchSizes({Modality.FACIAL: {100: 3}}).runs(Modality.FACIAL, lengths, math.inf)
    spans = [(min(lengths[row] for row in rows), max(lengths[row] for row in rows)) for rows in runs]
    assert all(shortest >= longest for (shortest, _), (_, longest) in itertools.pairwise(spans))


def test_without_a_size_a_batch_is_one_run() -> None:
    assert [rows.tolist() for rows in WHOLE_BATCHES.runs(Modality.SCENIC, [5, 9, 7], math.inf)] == [[0, 1, 2]]
    assert WHOLE_BATCHES.largest(32) == 32


@pytest.mark.parametrize(("steps", "size"), [(1, 16), (125, 16), (170, 16), (180, 4), (400, 4), (5000, 2)])
def test_a_length_that_was_not_measured_has_the_size_of_the_nearest_by_ratio(steps: int, size: int) -> None:
    sizes = BatchSizes({Modality.SCENIC: {125: 16, 250: 4, 1250: 2}})
    assert sizes.at(Modality.SCENIC, steps) == size
    assert sizes.at(Modality.FACIAL, steps) is None


def test_no_batch_is_larger_than_any_stream_gains_from() -> None:
    sizes = BatchSizes({Modality.SCENIC: {125: 16, 250: 4}, Modality.SKELETAL: {250: 1}})
    assert (sizes.largest(32), sizes.largest(8)) == (16, 8)


@pytest.mark.parametrize(
    ("cost_s", "size"),
    [
        ({1: 1.0, 2: 1.1, 4: 1.3}, 1),
        ({1: 1.0, 2: 0.99, 4: 0.98}, 1),  # not worth waiting and padding for
        ({1: 1.0, 2: 0.6, 4: 0.5, 8: 0.49}, 4),
        ({1: 1.0, 2: 0.5, 4: 0.25}, 4),
    ],
)
def test_the_smallest_size_is_chosen_from_which_on_larger_ones_gain_nothing(
    cost_s: dict[int, float], size: int
) -> None:
    assert best_size(cost_s) == size

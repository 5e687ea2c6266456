from hypothesis import given
from hypothesis import strategies as st

from streamer.batching import Batch, LengthBatcher

MAX_CLIPS, MAX_STEPS, MAX_WAIT_S, RATIO = 4, 1000, 0.5, 1.25

Arrivals = list[tuple[int, float]]
arrivals = st.lists(st.tuples(st.integers(1, 1500), st.floats(0, 0.3)), max_size=60)


def batcher() -> LengthBatcher[object]:
    return LengthBatcher(max_clips=MAX_CLIPS, max_steps=MAX_STEPS, max_wait_s=MAX_WAIT_S, ratio=RATIO)


def run(clips: Arrivals) -> tuple[list[Batch[int]], list[tuple[float, Batch[int]]]]:
    """Add clips a while after each other, asking for what is due: all batches, and when each came that was due."""
    waiting, now_s, timed = batcher(), 0.0, []
    for number, (length, pause_s) in enumerate(clips):
        now_s += pause_s
        waiting.add(number, length, now_s)
        timed += [(now_s, batch) for batch in waiting.due(now_s)]
    return [batch for _, batch in timed] + waiting.drain(), timed


@given(arrivals)
def test_every_clip_is_in_exactly_one_batch(clips: Arrivals) -> None:
    batches, _ = run(clips)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(clips)))
    for batch in batches:
        assert batch.lengths == tuple(clips[item][0] for item in batch.items)


@given(arrivals)
def test_the_padded_cost_stays_within_the_budget_unless_a_single_clip_exceeds_it(clips: Arrivals) -> None:
    for batch in run(clips)[0]:
        assert len(batch.items) <= MAX_CLIPS
        assert batch.padded_steps == max(batch.lengths) * len(batch.items)
        assert batch.padded_steps <= MAX_STEPS or len(batch.items) == 1


@given(arrivals)
def test_lengths_of_a_batch_lie_within_the_ratio_so_padding_is_bounded(clips: Arrivals) -> None:
    for batch in run(clips)[0]:
        assert max(batch.lengths) <= min(batch.lengths) * RATIO * (1 + 1e-9)
        assert 1 - batch.steps / batch.padded_steps <= 1 - 1 / RATIO + 1e-9


@given(arrivals, st.floats(0, 2))
def test_after_the_longest_wait_a_clip_is_in_the_next_batches_that_are_due(clips: Arrivals, later_s: float) -> None:
    waiting, now_s, added = batcher(), 0.0, {}
    for number, (length, pause_s) in enumerate(clips):
        now_s += pause_s
        waiting.add(number, length, now_s)
        added[number] = now_s
    now_s += later_s
    out = {item for batch in waiting.due(now_s) for item in batch.items}
    assert {number for number, since_s in added.items() if now_s - since_s >= MAX_WAIT_S} <= out
    assert len(waiting) == len(clips) - len(out)


@given(arrivals)
def test_nothing_is_due_before_the_time_that_the_batcher_names(clips: Arrivals) -> None:
    waiting = batcher()
    for number, (length, _) in enumerate(clips):
        waiting.add(number, length, 1.0)
    waiting.due(1.0)
    due_s = waiting.next_due_s()
    assert (due_s is None) == (len(waiting) == 0)
    if due_s is not None:
        assert waiting.due(due_s - 1e-3) == []
        assert waiting.due(due_s) != []


def test_a_full_batch_does_not_wait() -> None:
    waiting = batcher()
    for number in range(MAX_CLIPS):
        waiting.add(number, 100, 0.0)
    assert [batch.items for batch in waiting.due(0.0)] == [(0, 1, 2, 3)]
    assert waiting.next_due_s() is None


def test_a_clip_above_the_budget_runs_alone_at_once() -> None:
    waiting = batcher()
    waiting.add(1, 900, 0.0)
    waiting.add(2, 1100, 0.0)
    assert [batch.items for batch in waiting.due(0.0)] == [(2,)]


def test_the_oldest_bucket_goes_first() -> None:
    waiting = batcher()
    waiting.add(1, 500, 0.2)
    waiting.add(2, 10, 0.1)
    assert [batch.items for batch in waiting.due(1.0)] == [(2,), (1,)]


def test_buckets_beyond_the_requested_number_stay_and_fill() -> None:
    waiting = batcher()
    for number, length in enumerate((10, 100, 500)):
        waiting.add(number, length, 0.1 * number)
    assert [batch.items for batch in waiting.due(1.0, most=1)] == [(0,)]
    waiting.add(3, 100, 1.0)
    assert [batch.items for batch in waiting.due(1.0, most=1)] == [(1, 3)]
    assert [batch.items for batch in waiting.drain(most=1)] == [(2,)]
    assert len(waiting) == 0


def test_a_full_batch_does_not_overtake_an_older_late_one() -> None:
    waiting = batcher()
    waiting.add("late", 10, 0.0)
    for number in range(MAX_CLIPS):
        waiting.add(number, 100, 0.1)
    assert [batch.items for batch in waiting.due(1.0)] == [("late",), (0, 1, 2, 3)]

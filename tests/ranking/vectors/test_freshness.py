"""Freshness says how fast clips become retrievable, so it counts those that were uploaded lately."""

import pytest

from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.observation import Observer
from schemas.ports import ScoredRecord
from schemas.times import DAY_MS
from tests.ranking.examples import NOW_MS, apply_entries, record, scored_clip


class Reports(Observer):
    def __init__(self) -> None:
        self.freshness_s: list[float] = []
        self.backfills = 0

    def retrievable(self, freshness_s: float) -> None:
        self.freshness_s.append(freshness_s)

    def backfilled(self) -> None:
        self.backfills += 1


@pytest.mark.parametrize(
    ("uploaded_at_ms", "freshness_s", "backfills"),
    [
        pytest.param(NOW_MS - 3 * 365 * DAY_MS, [], 1, marks=pytest.mark.tried(
            kind="first steps that fail silently", given="an upload with a time stamp of three years ago",
            outcome="counted as a backfill, not in the freshness")),
        pytest.param(NOW_MS - DAY_MS - 1, [], 1, id="a day and a bit"),
        pytest.param(NOW_MS - DAY_MS, [86_410.0], 0, id="a day"),
        pytest.param(0, [], 1, id="no time at all"),
        pytest.param(NOW_MS + 11_000, [0.0], 0, id="slightly ahead"),
    ],
)  # fmt: skip
def test_what_was_scored_a_day_after_its_upload_is_a_backfill(
    uploaded_at_ms: int, freshness_s: list[float], backfills: int
) -> None:
    reports, clock = Reports(), ManualClock(start_ms=NOW_MS)
    view = IndexView(NumpyBackend(), reports, clock)
    clock.advance(10)
    clip = scored_clip("a", uploaded_at_ms=uploaded_at_ms)
    apply_entries(view, ScoredRecord(record(clip, 0, timestamp_ms=NOW_MS), clip))
    assert (reports.freshness_s, reports.backfills) == (freshness_s, backfills)


def test_a_clip_that_was_scored_in_time_and_read_late_is_not_a_backfill() -> None:
    reports, clock = Reports(), ManualClock(start_ms=NOW_MS)
    view = IndexView(NumpyBackend(), reports, clock)
    clock.advance(3 * DAY_MS / 1000)
    clip = scored_clip("a")
    apply_entries(view, ScoredRecord(record(clip, 0, timestamp_ms=NOW_MS + 1000), clip))
    assert (reports.freshness_s, reports.backfills) == ([3 * DAY_MS / 1000], 0)

"""Implausible times are refused when they are read, and replaced where they are already stored."""

import msgspec
import pytest

from ranking.pools.service.worker import read_pool_entries
from ranking.scores.store import ScoreStore
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import read_log
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.events import EngagementObserved
from schemas.observation import Observer
from schemas.ports import Record
from schemas.times import DAY_MS
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC, logged, record, scored_clip

CLOCK = ManualClock(start_ms=NOW_MS)
MICROSECONDS = NOW_MS * 1000


@pytest.mark.tried(
    kind="legal and absurd values",
    given="a scored clip with a time in microseconds or days ahead",
    outcome="dead-lettered by both views and by the pools",
)
@pytest.mark.parametrize("field", ["uploaded_at_ms", "scored_at_ms"])
@pytest.mark.parametrize("at_ms", [MICROSECONDS, NOW_MS + 3 * DAY_MS])
def test_both_views_and_the_pools_refuse_a_scored_clip_of_an_absurd_time(field: str, at_ms: int) -> None:
    absurd, good = record(scored_clip(**{field: at_ms}), 0), record(scored_clip(), 1)
    for entries, refused in (
        read_log([absurd, good], DELETIONS, clock=CLOCK),
        read_pool_entries([absurd, good], [TOPIC], clock=CLOCK),
    ):
        assert [entry.record.offset for entry in entries] == [1]
        assert [(refusal.record.offset, refusal.error.field) for refusal in refused] == [(0, field)]


def test_a_replica_that_reads_the_log_later_validates_a_record_as_the_first_one_did() -> None:
    absurd = [record(scored_clip(uploaded_at_ms=NOW_MS + 3 * DAY_MS), 0)]
    later = ManualClock(start_ms=NOW_MS + 365 * DAY_MS)
    assert len(read_log(absurd, DELETIONS, clock=CLOCK)[1]) == len(read_log(absurd, DELETIONS, clock=later)[1]) == 1


@pytest.mark.tried(
    kind="legal and absurd values",
    given="an observation with a time in seconds, microseconds or days ahead",
    outcome="dead-lettered",
)
@pytest.mark.parametrize("at_ms", [MICROSECONDS, NOW_MS // 1000, NOW_MS + 2 * DAY_MS])
def test_an_observation_of_an_absurd_time_is_refused_and_does_not_wait_for_it(at_ms: int) -> None:
    event = EngagementObserved(clip_id="c1", observed_at_ms=at_ms, likes=1, comments=0, reposts=0)
    _, (refusal,) = read_pool_entries([Record("engagement", 0, 0, NOW_MS, None, encode(event))], [TOPIC], clock=CLOCK)
    assert (refusal.error.code, refusal.error.field) == ("malformed_event", "observed_at_ms")


@pytest.mark.tried(
    kind="legal and absurd values",
    given="a right upload of a clip that was stored with a time in microseconds",
    outcome="the right one is ranked and indexed",
)
def test_a_repeated_upload_corrects_a_clip_that_was_stored_with_an_absurd_time(any_store: ScoreStore) -> None:
    index = IndexView(NumpyBackend(), Observer(), CLOCK)
    wrong = scored_clip("c1", dancer_id="wrong", uploaded_at_ms=MICROSECONDS)
    right = scored_clip("c1", dancer_id="right")
    for start, clip in enumerate((wrong, right, msgspec.structs.replace(right, uploaded_at_ms=NOW_MS - 1))):
        any_store.apply(logged([clip], start=start), {})
        index.apply(logged([clip], start=start), {})
    held = any_store.clip("c1", "g1")
    assert (held.dancer_id, held.uploaded_at_ms) == ("right", NOW_MS)
    (space,) = index._spaces.values()
    entry = space.parts()[0].get("c1")
    assert entry is not None
    assert (entry.dancer_id, entry.uploaded_at_ms) == ("right", NOW_MS)


@pytest.mark.tried(
    kind="legal and absurd values", given="400 likes on 9 views", outcome="taken, and reported in the log"
)
@pytest.mark.parametrize(
    ("likes", "views", "reported"), [(400, 9, True), (9, 9, False), (400, None, False), (1, 0, True)]
)
def test_reactions_beyond_views_are_taken_and_reported(
    likes: int, views: int | None, reported: bool, caplog: pytest.LogCaptureFixture
) -> None:
    event = EngagementObserved(clip_id="c1", observed_at_ms=NOW_MS, likes=likes, comments=0, reposts=0, views=views)
    entries, refused = read_pool_entries(
        [Record("engagement", 0, 0, NOW_MS, None, encode(event))], [TOPIC], clock=CLOCK
    )
    assert (len(entries), refused) == (1, [])
    assert ("1 observations have more reactions than views, the first of clip c1" in caplog.text) == reported

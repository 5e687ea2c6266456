"""Observations of clips: the rows do not depend on the order of events, and no observation is lost."""

import math

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.database.tables import metadata, pool_counters
from ranking.pools.machine import SKEW_MS
from ranking.pools.service.facts import UploadedTo
from ranking.pools.service.transaction import Batch
from ranking.pools.service.worker import MOST_COUNT, read_pool_entries
from ranking.views.log_records import positions_after
from schemas.codec import encode
from schemas.events import EngagementObserved
from schemas.observation import Observer
from schemas.ports import Record
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.audit import expected_row
from tests.ranking.pools.examples import POLICY
from tests.ranking.pools.service import ENGAGEMENT, SCORED, Service, deleted, observed, scored

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def service(sqlite_database: Database) -> Service:
    return Service(sqlite_database)


def empty(service: Service) -> None:
    with service.database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is pool_counters:
                connection.execute(sa.update(table).values(value=0))
            elif table.name != "pool_policies":
                connection.execute(sa.delete(table))


MOMENTS = st.sampled_from([NOW_MS - DAY_MS, NOW_MS, NOW_MS + 1, NOW_MS + HOUR_MS, NOW_MS + HOUR_MS + 1])
"""The last one is of the future when it comes."""
EVENTS = st.lists(
    st.builds(
        lambda at_ms, likes, comments, reposts, views: observed(
            "c1", likes, views, observed_at_ms=at_ms, comments=comments, reposts=reposts
        ),
        MOMENTS,
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 3),
        st.none() | st.integers(0, 5),
    ),
    max_size=6,
)


@given(events=EVENTS, scored_at=st.integers(0, 6), twice=st.booleans(), batch=st.integers(1, 8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whichever_order_events_come_in_the_row_is_the_same(
    service: Service, events: list[EngagementObserved], scored_at: int, twice: bool, batch: int
) -> None:
    empty(service)
    now_ms = service.clock.now_ms()
    events = [
        observed(e.clip_id, e.likes, e.views, comments=e.comments, reposts=e.reposts,
                 observed_at_ms=e.observed_at_ms - NOW_MS + now_ms)
        for e in events
    ]  # fmt: skip
    upload = scored("c1", uploaded_at_ms=now_ms)
    sent = [*events[:scored_at], upload, *events[scored_at:]] + events * twice
    for start in range(0, len(sent), batch):
        service.feed(*sent[start : start + batch])
    on_time = [event for event in events if event.observed_at_ms <= now_ms + SKEW_MS]
    assert service.engagement() == expected_row(on_time, now_ms)
    assert {event.observed_at_ms for _, event in service.aside()} == {
        event.observed_at_ms for event in events if event not in on_time
    }
    service.clock.advance(60)
    service.worker.round()
    assert service.engagement() == expected_row(events, now_ms)
    assert not service.aside()


@pytest.mark.parametrize("days", [0, 0.5, 1, 3.25, 7, 40])
def test_virality_is_equation_1(service: Service, days: float) -> None:
    uploaded_at_ms = NOW_MS - round(days * DAY_MS)
    service.feed(scored("c1", uploaded_at_ms=uploaded_at_ms), observed("c1", 70, None, comments=20, reposts=9))
    row = service.engagement()
    assert row is not None
    assert row["days_online"] == days
    assert row["virality"] == pytest.approx(math.log2(100 / {0: 1, 0.5: 1, 40: 7}.get(days, days)))


def test_counts_that_fell_hold_and_late_ones_change_nothing(service: Service) -> None:
    fell = observed("c1", 3, 80, observed_at_ms=NOW_MS + 2)
    service.feed(scored("c1"), observed("c1", 5, 100, observed_at_ms=NOW_MS + 1), fell)
    row = service.engagement()
    service.feed(observed("c1", 900, 1000, observed_at_ms=NOW_MS), fell, fell)
    assert service.engagement() == row == expected_row([fell])


def test_an_observation_without_views_keeps_those_known(service: Service) -> None:
    service.feed(scored("c1"), observed("c1", 5, 100), observed("c1", 9, None, observed_at_ms=NOW_MS + DAY_MS // 48))
    row = service.engagement()
    assert row is not None
    assert (row["likes"], row["views"], row["views_observed_at_ms"]) == (9, 100, NOW_MS)


def test_what_comes_before_the_clip_is_counted_and_taken_up_with_it(service: Service) -> None:
    service.feed(observed("c1", 5, 100), observed("c2", 1, 10), observed("c1", 6, None, observed_at_ms=NOW_MS + 5))
    assert service.reports.left_out == [(ENGAGEMENT, "unknown_clip")] * 3
    assert service.engagement() is None
    service.feed(scored("c1"))
    row = service.engagement()
    assert row is not None
    assert (row["likes"], row["views"]) == (6, 100)
    assert (service.clip("c1")["reactions"], service.clip("c1")["views"]) == (6, 100)
    assert service.aside() == [("unknown_clip", observed("c2", 1, 10))]
    assert len(service.reports.left_out) == 3


def test_what_comes_before_the_clip_in_one_batch_is_taken_up(service: Service) -> None:
    early = observed("c1", 5, 100)
    service.feed(early, scored("c1"))
    assert service.engagement() == expected_row([early])
    assert not service.aside()


def test_observations_aside_of_one_moment_lose_neither_counts_nor_views(service: Service) -> None:
    service.feed(observed("c1", 5, 100), observed("c1", 9, None), observed("c1", 2, 120))
    service.feed(scored("c1"))
    row = service.engagement()
    assert row is not None
    assert (row["likes"], row["views"]) == (9, 120)


def test_what_is_of_the_future_waits_for_its_time(service: Service) -> None:
    early = observed("c1", 5, 100, observed_at_ms=NOW_MS + 2 * HOUR_MS)
    service.feed(scored("c1"), early)
    assert service.reports.left_out == [(ENGAGEMENT, "future_observation")]
    service.clock.advance(3590)
    service.worker.round()
    assert service.aside() == [("future_observation", early)]
    service.clock.advance(10)
    service.worker.round()
    assert not service.aside()
    assert service.engagement() == expected_row([early])


def test_what_is_of_the_far_future_waits_though_its_clip_was_unknown(service: Service) -> None:
    early = observed("c1", 5, 100, observed_at_ms=NOW_MS + 2 * HOUR_MS)
    service.feed(early)
    service.feed(scored("c1"))
    assert service.aside() == [("future_observation", early)]
    service.clock.advance(3600)
    service.worker.round()
    assert service.engagement() == expected_row([early])


def test_a_deleted_clip_loses_its_row_and_what_comes_later_stays_aside(service: Service) -> None:
    future = observed("c1", 7, observed_at_ms=NOW_MS + 2 * HOUR_MS)
    service.feed(scored("c1"), observed("c1", 5, 100), future)
    service.feed(deleted("c1"), observed("c1", 6, 110, observed_at_ms=NOW_MS + 1))
    service.feed(scored("c1"))
    service.clock.advance(2 * 3600)
    service.worker.round()
    assert service.engagement() is None
    aside = [("deleted_clip", observed("c1", 6, 110, observed_at_ms=NOW_MS + 1)), ("deleted_clip", future)]
    assert service.aside() == aside


def test_a_clip_deleted_before_it_comes_takes_nothing_up(service: Service) -> None:
    early = observed("c1", 5, 100)
    service.feed(early)
    service.feed(deleted("c1"))
    service.feed(scored("c1"))
    assert service.engagement() is None
    assert service.aside() == [("deleted_clip", early)]


@pytest.mark.postgresql
def test_more_clips_may_be_asked_for_at_once_than_a_statement_takes_parameters(postgresql_database: Database) -> None:
    service = Service(postgresql_database)
    service.feed(scored("c65999"), observed("c65999", 1))
    names = [f"c{n}" for n in range(66_000)]
    found: list[dict[str, UploadedTo]] = []
    service.pools.decide(POLICY, 1, Batch(NOW_MS, names), lambda _, facts: found.append(dict(facts.uploads)))
    assert found[-1] == {"c65999": ("ch", NOW_MS)}


def record(value: bytes | None, offset: int = 0) -> Record:
    return Record(ENGAGEMENT, 0, offset, NOW_MS, None, value)


@pytest.mark.parametrize("field", ["likes", "comments", "reposts", "views"])
def test_counts_that_no_clip_has_are_refused_and_the_greatest_is_kept(service: Service, field: str) -> None:
    most = observed("c1", **{field: MOST_COUNT})
    assert read_pool_entries([record(encode(most))], [SCORED])[1] == []
    _, (refusal,) = read_pool_entries([record(encode(observed("c1", **{field: MOST_COUNT + 1})))], [SCORED])
    assert refusal.error.code == "malformed_event"
    assert refusal.error.field == field
    service.feed(scored("c1"), most)
    assert service.engagement() == expected_row([most])


def test_sums_of_the_greatest_counts_fit_their_columns(any_database: Database) -> None:
    most = {"likes": MOST_COUNT, "comments": MOST_COUNT, "reposts": MOST_COUNT, "views": MOST_COUNT}
    service = Service(any_database)
    service.fill()
    clips = [f"c{n}" for n in range(10)]
    service.feed(*(scored(clip_id, 0.1, dancer_id=clip_id) for clip_id in clips))
    service.feed(*(observed(clip_id, **most) for clip_id in clips))
    assert {row["reposts"] for row in service.rows(metadata.tables["engagement"])} == {MOST_COUNT}
    assert max(row["views"] for row in service.rows(metadata.tables["pool_kinds"])) == 10 * MOST_COUNT


@pytest.mark.parametrize(
    "value", [b"", b"\x93no", b"{}", b'{"schema":"clip-uploaded/1"}', b'{"schema":"engagement-observed/9"}']
)
def test_records_that_are_no_events_are_refused(value: bytes) -> None:
    entries, (refusal,) = read_pool_entries([record(value)], [SCORED])
    assert not entries
    assert refusal.record.value == value


def test_positions_pass_deferred_observations(service: Service) -> None:
    entries = service.entries(observed("c1"), deleted("c2"))
    service.apply(entries)
    positions = positions_after(entry.record for entry in entries)
    assert service.pools.positions(positions) == positions


def test_observations_with_more_reactions_than_views_are_counted() -> None:
    class Reports(Observer):
        capped = 0

        def reactions_capped(self, observations: int) -> None:
            self.capped += observations

    reports = Reports()
    events = [
        observed("c1", likes=400, views=9),
        observed("c2", likes=9, views=9),
        observed("c3", likes=1, comments=1, views=1),
        observed("c4", likes=5),
    ]
    entries, refused = read_pool_entries([record(encode(event)) for event in events], [SCORED], observer=reports)
    assert (len(entries), refused, reports.capped) == (4, [], 2)

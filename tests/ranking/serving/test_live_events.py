"""Live events: fan-out bounded in listeners, memory and time, whatever a listener does."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_decisions
from ranking.pools.service.history import NewDecisions
from ranking.serving.live.announcing import AnnouncingView
from ranking.serving.live.broadcast import CLIP, Broadcast, Listener, LiveEvent, Taken, TooManyListeners
from ranking.serving.live.decisions import AnnouncedDecisions
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, positions_after
from schemas.clock import ManualClock
from schemas.observation import Observer
from schemas.ports import ScoredRecord
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import NOW_MS, deletion, record, scored_clip
from tests.ranking.pools.examples import POLICY, rated
from tests.ranking.pools.rows import Pools, decision_rows

KEPT = 50


class Counts(Observer):
    def __init__(self) -> None:
        self.listeners = self.skipped = 0
        self.outcomes: list[str] = []

    def event_listeners(self, listeners: int) -> None:
        self.listeners = listeners

    def events_skipped(self, events: int) -> None:
        self.skipped += events

    def decisions_polled(self, outcome: str) -> None:
        self.outcomes.append(outcome)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def broadcast(counts: Counts) -> Broadcast:
    return Broadcast(counts, most_listeners=3, kept=KEPT)


def event(number: int, challenge_id: str | None = "ch") -> LiveEvent:
    return LiveEvent(CLIP, challenge_id, str(number).encode())


def contents(taken: Taken | None) -> list[Any]:
    assert taken is not None
    return [json.loads(each.content) for _, each in taken.events]


def within(listening: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(listening())


async def all_of(listener: Listener, challenge_id: str | None = None) -> tuple[list[int], int]:
    """All that is there for a listener: contents, and how many it skipped."""
    found: list[int] = []
    skipped = 0
    while (taken := await listener.take(challenge_id, 0.01)) is not None and (taken.events or taken.skipped):
        found += contents(taken)
        skipped += taken.skipped or 0
    return found, skipped


def test_every_listener_gets_what_is_published_from_then_on_in_order(broadcast: Broadcast) -> None:
    async def listening() -> None:
        broadcast.publish([event(1)])
        first, second = broadcast.listen(), broadcast.listen()
        await asyncio.to_thread(broadcast.publish, [event(2), event(3)])
        assert await all_of(first) == await all_of(second) == ([2, 3], 0)
        assert contents(await first.take(None, 0.01)) == []

    within(listening)


def test_a_listener_that_waits_is_woken_by_another_thread(broadcast: Broadcast) -> None:
    async def listening() -> None:
        waiting = asyncio.create_task(broadcast.listen().take(None, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(broadcast.publish, [event(1)])
        assert contents(await waiting) == [1]

    within(listening)


def test_a_listener_to_one_challenge_gets_its_events_and_those_of_all(broadcast: Broadcast) -> None:
    async def listening() -> None:
        listener = broadcast.listen()
        broadcast.publish([event(1), event(2, "other"), event(3, None), event(4)])
        assert await all_of(listener, "ch") == ([1, 3, 4], 0)

    within(listening)


def test_a_stalled_listener_skips_what_is_not_kept_and_learns_how_much_while_others_get_all(
    broadcast: Broadcast, counts: Counts
) -> None:
    async def listening() -> None:
        stalled, attentive = broadcast.listen(), broadcast.listen()
        got: list[int] = []
        for start in range(0, 5_000, KEPT):
            broadcast.publish(event(number) for number in range(start, start + KEPT))
            got += (await all_of(attentive))[0]
        assert got == list(range(5_000))
        assert await all_of(stalled) == (list(range(5_000 - KEPT, 5_000)), 5_000 - KEPT)

    within(listening)
    assert counts.skipped == 5_000 - KEPT


def test_stalled_listeners_cost_no_memory(counts: Counts) -> None:
    async def listening() -> None:
        broadcast = Broadcast(counts, most_listeners=64, kept=KEPT)
        listeners = [broadcast.listen() for _ in range(64)]
        broadcast.publish(LiveEvent(CLIP, None, b"0.".ljust(1000, b"0")) for _ in range(KEPT))
        tracemalloc.start()
        for _ in range(200):
            broadcast.publish(LiveEvent(CLIP, None, b"0.".ljust(1000, b"0")) for _ in range(KEPT))
        await asyncio.sleep(0)
        held_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held_bytes < 200_000, "10,000 events of 1 kB for 64 listeners"
        assert {len(contents(await listener.take(None, 1))) for listener in listeners} == {KEPT}

    within(listening)


def test_no_more_may_listen_than_are_allowed_until_one_leaves(broadcast: Broadcast, counts: Counts) -> None:
    async def listening() -> None:
        listeners = [broadcast.listen() for _ in range(3)]
        with pytest.raises(TooManyListeners):
            broadcast.listen()
        listeners[0].close()
        listeners[0].close()
        broadcast.listen()
        assert counts.listeners == 3

    within(listening)


def test_closing_ends_every_listening_at_once_and_each_later_one(broadcast: Broadcast) -> None:
    async def listening() -> None:
        waiting = asyncio.create_task(broadcast.listen().take(None, 60))
        await asyncio.sleep(0)
        broadcast.close()
        assert await waiting is None
        assert await broadcast.listen().take(None, 60) is None

    within(listening)


def test_a_listener_continues_after_the_event_it_names(broadcast: Broadcast) -> None:
    async def listening() -> None:
        broadcast.publish(event(number) for number in range(10))
        assert await all_of(broadcast.listen(broadcast.identified(6))) == ([7, 8, 9], 0)
        broadcast.publish(event(number) for number in range(10, 100))
        assert await all_of(broadcast.listen(broadcast.identified(6))) == (list(range(50, 100)), 43)

    within(listening)


@pytest.mark.parametrize(
    "identifier", ["", "7", "-", "5f1c09ab-3", "{run}-", "{run}-99", f"{{run}}-{'9' * 40}", "{run}-x"]
)
def test_an_event_that_is_not_known_here_is_an_unknown_number_of_skipped_ones(
    broadcast: Broadcast, identifier: str
) -> None:
    async def listening() -> None:
        broadcast.publish([event(1)])
        listener = broadcast.listen(identifier.format(run=broadcast.run))
        assert await listener.take(None, 1) == Taken([], None)
        broadcast.publish([event(2)])
        assert contents(await listener.take(None, 1)) == [2]

    within(listening)


def announced(view: AnnouncingView, broadcast: Broadcast, *entries: LogEntry) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def listening() -> None:
        listener = broadcast.listen()
        view.apply(entries, positions_after(entry.record for entry in entries))
        taken = await listener.take(None, 0.01)
        assert taken is not None
        found.extend(json.loads(each.content) | {"of": each.challenge_id} for _, each in taken.events)
        listener.close()

    within(listening)
    return found


def logged(clip_id: str, offset: int, *, at_ms: int = NOW_MS, **changes: Any) -> ScoredRecord:
    clip = scored_clip(clip_id, **changes)
    return ScoredRecord(record(clip, offset, timestamp_ms=at_ms), clip)


def test_clips_are_announced_once_they_can_be_found_and_only_those_scored_since_the_start(broadcast: Broadcast) -> None:
    index = IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS))
    view = AnnouncingView(index, broadcast, ManualClock(start_ms=NOW_MS))
    index.retire(["g0"])
    found = announced(
        view,
        broadcast,
        logged("old", 0, at_ms=NOW_MS - 1),
        logged("new", 1, fused_score=0.75, training_distance=1.5),
        logged("retired", 2, generation="g0"),
        logged("gone", 3),
        deletion("gone"),
    )
    assert found == [
        {
            "clip_id": "new", "challenge_id": "ch", "dancer_id": "dancer-of-new", "generation": "g1", "score": 0.75,
            "outside_training": True, "scored_at_ms": NOW_MS + 1000, "of": "ch",
        }
    ]  # fmt: skip
    assert index.generations() == {"g1": 2}


def test_decisions_are_announced_while_somebody_listens(any_database: Database, broadcast: Broadcast) -> None:
    pools = Pools(any_database, POLICY)
    polls = Counts()
    live = AnnouncedDecisions(NewDecisions(any_database), broadcast, polls)

    async def listening() -> None:
        pools.handle(rated("before"))
        pools.write()
        live.look()
        listener = broadcast.listen()
        live.look()
        pools.handle(rated("c1", challenge_id="ch"), rated("c2"))
        pools.write()
        live.look()
        live.look()
        taken = await listener.take("ch", 0.01)
        assert taken is not None
        (found,) = [json.loads(each.content) for _, each in taken.events]
        assert (found["decision"]["clip_id"], found["challenge_id"], found["decision"]["rule"]) == (
            "c1",
            "ch",
            "nominated",
        )
        assert found["decision"]["sentence"].startswith("nominated into t1")

    within(listening)
    assert polls.outcomes == ["read"] * 3


def test_a_decision_whose_number_is_committed_late_is_found_once(any_database: Database) -> None:
    pools = Pools(any_database, POLICY)
    pools.handle(*(rated(f"c{number}") for number in range(1, 6)))
    rows = decision_rows(pools.decisions)
    new = NewDecisions(any_database)

    def looked(*positions: int) -> list[int]:
        with any_database.writing() as connection:
            connection.execute(sa.insert(pool_decisions), [rows[position] for position in positions])
        return [decision.sequence for decision in new.look()[0]]

    assert looked(0) == []
    assert looked(2, 4) == [3, 5]
    assert looked(1) == [2]
    assert looked(3) == [4]
    assert new.look() == ([], 0)


def test_of_very_many_decisions_the_latest_are_listed_and_the_others_counted(sqlite_database: Database) -> None:
    pools = Pools(sqlite_database, POLICY)
    new = NewDecisions(sqlite_database)
    assert new.look() == ([], 0)
    pools.handle(*(rated(f"c{number}") for number in range(700)))
    pools.write()
    found, others = new.look()
    assert ([decision.sequence for decision in found], others) == (list(range(201, 701)), 200)


def test_an_unreachable_database_is_one_warning(broadcast: Broadcast, caplog: pytest.LogCaptureFixture) -> None:
    polls = Counts()
    live = AnnouncedDecisions(NewDecisions(Database(UNREACHABLE)), broadcast, polls)

    async def listening() -> None:
        live.look()  # nobody listens
        broadcast.listen()
        live.look()
        live.look()

    within(listening)
    assert len(caplog.records) == 1
    assert polls.outcomes == ["failed", "failed"]

"""What happens while the page is open appears on it, and a stream that ends is opened again."""

import json
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from ranking.serving.live.broadcast import CLIP, KEPT, Broadcast, LiveEvent
from tests.page.systems import SmallSystem
from tests.page.visits import Visit
from tests.waiting import wait_until

Visits = Callable[..., Visit]
Serve = Callable[[FastAPI], str]


@pytest.fixture
def events() -> Broadcast:
    return Broadcast()


@pytest.fixture
def url(serve: Serve, small: SmallSystem, events: Broadcast) -> str:
    return serve(small.app(events=events))


def clip(number: int, challenge_id: str = "challenge-1") -> LiveEvent:
    content = {
        "clip_id": f"new-{number}",
        "challenge_id": challenge_id,
        "dancer_id": "dancer-\N{MAN DANCING}",
        "score": 0.5,
    }
    return LiveEvent(CLIP, challenge_id, json.dumps(content).encode())


def heard(events: Broadcast, seen: Visit) -> None:
    """Waits until the page listens."""
    wait_until(lambda: events.is_heard, lambda: seen.page.wait_for_timeout(20), what="the page does not listen")


def test_new_clips_are_counted_until_they_are_shown(visit: Visits, url: str, events: Broadcast) -> None:
    seen = visit(url, "#/challenges")
    seen.heading("Challenges")
    heard(events, seen)
    events.publish([clip(1)])
    seen.shows("1 new clip")
    events.publish([clip(2), clip(3)])
    seen.shows("3 new clips")
    assert seen.violations() == []
    seen.page.get_by_role("button", name="Show").click()
    seen.page.get_by_role("button", name="Show").wait_for(state="detached")


def test_a_page_that_was_too_slow_says_at_least_how_many(visit: Visits, url: str, events: Broadcast) -> None:
    seen = visit(url, "#/challenges")
    heard(events, seen)
    events.publish(clip(number) for number in range(3 * KEPT))
    seen.shows("At least")


def test_a_stream_that_ended_is_continued_where_it_ended(visit: Visits, url: str, events: Broadcast) -> None:
    seen = visit(url, "#/challenges")
    heard(events, seen)
    events.publish([clip(1)])
    seen.shows("1 new clip")
    for listener in list(events._listeners):
        listener.wake()
        listener.is_closed = True
    wait_until(lambda: not events.is_heard, lambda: seen.page.wait_for_timeout(20))
    events.publish([clip(2)])
    seen.shows("2 new clips")


def test_a_page_that_is_left_stops_listening(visit: Visits, url: str, events: Broadcast) -> None:
    seen = visit(url, "#/challenges")
    heard(events, seen)
    seen.open("#/nothing")
    seen.heading("There is no such page")
    wait_until(lambda: not events.is_heard, lambda: seen.page.wait_for_timeout(20), what="the page still listens")

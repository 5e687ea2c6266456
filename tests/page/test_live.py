"""What happens while the page is open appears on it, and a stream that ends is opened again."""

import json
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from ranking.serving.live.broadcast import CLIP, DECISION, KEPT, Broadcast, LiveEvent
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


def test_what_happens_to_a_clip_is_said_on_its_page(visit: Visits, url: str, events: Broadcast) -> None:
    seen = visit(url, "#/clips/clip-000")
    seen.heading("clip-000")
    heard(events, seen)
    decision = {"clip_id": "clip-001", "sentence": "kept"}
    content = {"sequence": 1, "challenge_id": "challenge-1", "decision": decision}
    about_another = json.dumps(content).encode()
    about_it = json.dumps(
        content | {"decision": decision | {"clip_id": "clip-000", "sentence": "promoted to <b>"}}
    ).encode()
    events.publish([LiveEvent(DECISION, "challenge-1", each) for each in (about_another, about_it)])
    seen.shows("The traffic pools decided about this clip: promoted to <b>.")
    seen.page.get_by_role("button", name="Show", exact=True).click()
    seen.page.get_by_text("The traffic pools decided about this clip").wait_for(state="detached")
    seen.open("#/challenges")
    seen.heading("Challenges")
    for status in ("404", "501", "503"):
        seen.take(status)  # nothing else is known of the clip here

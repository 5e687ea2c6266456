"""The frame of the page: navigation, focus, theme, keys, and errors in the browser."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key
from ranking.serving.api.page_routes import ROOT
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService
from tests.page.systems import SmallSystem
from tests.page.visits import Visit
from tests.ranking.databases import UNREACHABLE

Visits = Callable[..., Visit]
Serve = Callable[[FastAPI], str]


def test_every_module_of_the_page_can_be_loaded(visit: Visits, small_url: str) -> None:
    seen = visit(small_url)
    seen.heading("Challenges")
    for module in sorted((ROOT / "app").rglob("*.js")):
        path = f"page/{module.relative_to(ROOT).as_posix()}"
        assert seen.page.evaluate("path => import(new URL(path, document.baseURI)).then(() => true)", path), path


def test_numbers_and_times_of_charts_are_those_of_the_rest_of_the_page(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, timezone_id="Europe/Berlin")
    seen.heading("Challenges")
    written = seen.page.evaluate(
        """async () => {
          const { bytes, fixed, number, tickTime } = await import(new URL("page/app/format.js", document.baseURI));
          const hours = [20, 22, 24, 26].map((hour) => Date.UTC(2026, 10, 27, hour));
          const days = [23, 47, 71].map((hour) => Date.UTC(2026, 10, 27, hour));
          const ticks = (all) => all.map((each, i) => tickTime(new Date(each), i, all));
          const times = [ticks(hours), ticks(days), number(-0.0425), number(0.000352), number(-1e-9)];
          return [...times, fixed(-0.0001), fixed(1), bytes(268435456)];
        }"""
    )
    assert written == [
        ["21:00\n27 Nov", "23:00", "01:00\n28 Nov", "03:00"],
        ["28 Nov", "29 Nov", "30 Nov"],
        "−0.0425",
        "0.000352",
        "−1.00e-9",
        "0.000",
        "1.000",
        "268 MB",
    ]


def test_a_navigation_moves_the_focus_to_the_heading_and_names_the_tab(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, "#/nothing")
    seen.heading("There is no such page")
    seen.page.get_by_role("link", name="the challenges").click()
    seen.heading("Challenges")
    assert seen.page.evaluate("document.activeElement.textContent") == "Challenges"
    assert seen.page.title() == "Challenges · dancerank"
    assert seen.page.get_by_role("link", name="Challenges", exact=True).get_attribute("aria-current") == "page"


def test_the_keyboard_reaches_the_content_past_the_navigation(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, "#/challenges")
    seen.heading("Challenges")
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"
    assert seen.page.url.endswith("#/challenges")


def test_the_chosen_theme_stays_and_the_systems_counts_without_a_choice(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, theme="dark")
    seen.heading("Challenges")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = seen.page.evaluate(background)
    seen.page.get_by_label("Theme").select_option("light")
    light = seen.page.evaluate(background)
    assert light != dark
    seen.page.reload()
    assert seen.page.evaluate(background) == light
    seen.page.get_by_label("Theme").select_option("system")
    assert seen.page.evaluate(background) == dark
    seen.page.emulate_media(color_scheme="light")
    expect(seen.page.locator("body")).to_have_css("background-color", light)


def test_a_key_is_asked_for_once_kept_for_the_tab_and_refused_in_a_sentence(
    visit: Visits, serve: Serve, small: SmallSystem, tmp_path: Path
) -> None:
    key = create_key(tmp_path / "keys", "app", created=datetime(2026, 3, 1, tzinfo=UTC))
    seen = visit(serve(small.app(Access(keys=KeyRing(tmp_path / "keys")))))
    dialog = seen.page.get_by_role("dialog")
    dialog.wait_for()
    assert seen.violations() == []
    dialog.get_by_label("API key").fill("no key\N{SNOWMAN}")
    dialog.get_by_role("button", name="Use the key").click()
    seen.shows("An API key has only printable ASCII characters")
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_role("button", name="Use the key").click()
    seen.shows("this API key is not active")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use the key").click()
    seen.shows("challenge-1")
    seen.page.reload()
    seen.shows("challenge-1")
    assert not dialog.is_visible()
    assert key not in seen.page.url
    assert len(seen.take("401")) == 2


@pytest.mark.tried(
    kind="HTTP edges",
    given="the page without an API key where one is asked for",
    outcome="it asks for one, and says what is missing",
)
def test_without_a_key_the_page_says_what_is_missing_and_asks_again_when_wanted(
    visit: Visits, serve: Serve, small: SmallSystem, tmp_path: Path
) -> None:
    key = create_key(tmp_path / "keys", "app", created=datetime(2026, 3, 1, tzinfo=UTC))
    seen = visit(serve(small.app(Access(keys=KeyRing(tmp_path / "keys")))))
    seen.page.get_by_role("dialog").wait_for()
    seen.page.keyboard.press("Escape")
    seen.shows("send an API key")
    seen.page.get_by_role("button", name="Enter an API key").click()
    seen.page.get_by_role("dialog").get_by_label("API key").fill(key)
    seen.page.keyboard.press("Enter")
    seen.shows("challenge-1")
    assert len(seen.take("401")) == 1


@pytest.mark.tried(
    kind="HTTP edges", given="the page with a key beyond its limit", outcome="it says so, with the time to wait"
)
def test_a_key_beyond_its_limit_is_said_with_the_time_to_wait(
    visit: Visits, serve: Serve, small: SmallSystem, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    key = create_key(keys, "slow", created=datetime(2026, 3, 1, tzinfo=UTC), requests_per_minute=1, burst=1)
    seen = visit(serve(small.app(Access(keys=KeyRing(keys)))))
    seen.page.get_by_role("dialog").get_by_label("API key").fill(key)
    seen.page.keyboard.press("Enter")
    seen.shows("challenge-1")
    seen.page.reload()
    seen.shows("too many requests with this API key")
    seen.shows("rate_limited")
    assert seen.violations() == []
    assert seen.take("401")
    assert seen.take("429")


@pytest.mark.tried(kind="HTTP edges", given="the page while the database is down", outcome="it says so and asks again")
def test_a_database_that_does_not_answer_is_said_and_asked_again(visit: Visits, serve: Serve) -> None:
    service = RankingService(ScoreStore(Database(UNREACHABLE)))
    seen = visit(serve(create_app(service, lambda: ("text/plain", b""), events=Broadcast())))
    seen.shows("The challenges cannot be shown")
    seen.page.get_by_role("button", name="Try again").wait_for()
    assert seen.violations() == []
    assert seen.take("503")


@pytest.mark.tried(
    kind="HTTP edges", given="the page of an empty database", outcome="it says that no clip has been scored"
)
def test_an_empty_database_is_said(visit: Visits, serve: Serve) -> None:
    with SmallSystem(clips=[]) as empty:
        seen = visit(serve(empty.app()))
        seen.shows("No clip has been scored yet")
        assert seen.violations() == []

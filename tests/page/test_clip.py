"""The page of a clip: its scores, its movement, what became of it; each part by itself, whatever ids are like."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from playwright.sync_api import Locator, expect
from pydantic import TypeAdapter

from ranking.serving.api import Access, KeyRing, create_key
from schemas.modalities import Dimension
from schemas.questions.feedback import ClipGuidance, ClipSkeleton
from tests.page.dances import answered, guidance, skeleton
from tests.page.lived import ODD, OUTSIDE, SHOWN, live, lived_system
from tests.page.systems import SmallSystem, serving, some_clips
from tests.page.visits import LOOKS, Visit
from tests.ranking.examples import routine
from tests.waiting import wait_until

Visits = Callable[..., Visit]
DRAWN: Final = "document.querySelector('.stage').toDataURL()"
MOVING: Final = "import(new URL('page/app/skeletons/loop.js', document.baseURI)).then(loop => loop.movingNow())"


@pytest.fixture(scope="module")
def lived() -> Iterator[SmallSystem]:
    with lived_system() as system:
        live(system)
        yield system


@pytest.fixture(scope="module")
def url(lived: SmallSystem) -> Iterator[str]:
    with serving(lived.app()) as address:
        yield address


@pytest.fixture
def dancing(visit: Visits, url: str) -> Callable[..., Visit]:
    """A visitor for whom the clips dance; opens no page of a clip yet."""

    def start(*, without: Collection[str] = (), **options: object) -> Visit:
        seen = visit(url, "#/none", **options)
        answered(seen.page, without=without)
        return seen

    return start


def opened(seen: Visit, clip_id: str = SHOWN) -> Visit:
    seen.open(f"#/clips/{quote(clip_id, safe='')}")
    seen.heading(clip_id)
    return seen


def part(seen: Visit, title: str) -> Locator:
    return seen.page.get_by_role("region", name=title, exact=True)


def eventually(seen: Visit, expression: str, holds: Callable[[Any], bool]) -> Any:
    """The value of a script once it holds, frame after frame of the screen."""
    value = seen.page.evaluate(expression)
    wait_until(
        lambda: holds(seen.page.evaluate(expression)),
        lambda: seen.page.evaluate("new Promise(requestAnimationFrame)"),
        what=expression,
        progress=lambda: value,
        standstill_s=30,
    )
    return seen.page.evaluate(expression)


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    dancing: Callable[..., Visit], theme: str, size: tuple[int, int]
) -> None:
    seen = opened(dancing(theme=theme, size=size))
    assert seen.violations() == []
    assert not seen.is_wider_than_the_window()


def test_each_part_shows_what_the_service_answers(dancing: Callable[..., Visit], lived: SmallSystem) -> None:
    seen, expected = opened(dancing()), lived.service.clip(SHOWN)
    fused = expected.places[Dimension.FUSED]
    rows = part(seen, "Scores").locator("tbody tr")
    assert rows.count() == len(expected.scores) + len(expected.missing)
    ranked = lived.service.ranking("challenge-1", k=1).clips
    assert f"{fused.rank} of {ranked}" in rows.first.inner_text()
    assert f"{fused.percentile:.1f}" in rows.first.inner_text()

    assert "dance style waltz (80 %)" in seen.page.locator(".lead").inner_text()

    history = lived.service.pooled_clip(SHOWN).history
    entries = part(seen, "Traffic pools").get_by_role("list").get_by_role("listitem")
    assert entries.count() == len(history) > 1
    for entry, decision in zip(entries.all(), history, strict=True):
        assert decision.sentence in entry.inner_text()
        assert decision.rule in entry.inner_text()

    observed, text = lived.service.observed(SHOWN), part(seen, "Predicted against observed").inner_text()
    assert f"{observed.rank} of {observed.clips}" in text
    assert f"{observed.percentile:.1f}" in text
    assert f"{fused.percentile:.1f}" in text
    assert "received worse than predicted" in text

    around = part(seen, "Around it in the ranking")
    around.get_by_text("Scenic", exact=True).click()
    found = lived.service.neighbours(SHOWN, Dimension.SCENIC, k=4)
    ids = [each.clip_id for each in (*reversed(found.above), found.clip, *found.below)]
    expect(around.locator("tbody th")).to_have_text([re.compile(re.escape(each)) for each in ids])


def test_the_player_is_operated_by_keyboard_and_says_what_it_shows(dancing: Callable[..., Visit]) -> None:
    seen = opened(dancing())
    player = seen.page.get_by_role("group", name=f"Moving skeleton: {SHOWN}")
    play, position = player.get_by_role("button", name="Play"), player.get_by_label("Position")
    expect(play).to_be_visible()  # who prefers less motion starts it
    picture = seen.page.get_by_role("img", name=f"Skeleton of {SHOWN}")
    words = re.compile("frame 1 of 50, not seen: right wrist; .* at the left wrist, pointing up")
    expect(picture).to_have_attribute("aria-label", words)
    play.focus()
    for key, frame in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 50), ("Home", 1)):
        seen.page.keyboard.press(key)
        expect(position).to_have_attribute("aria-valuetext", re.compile(f"frame {frame} of 50"))
    seen.page.keyboard.press("Space")
    pause = player.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    expect(position).not_to_have_attribute("aria-valuetext", re.compile("frame 1 of 50"))
    player.get_by_label("Speed").select_option("¼ speed")
    player.locator("canvas").click()
    expect(play).to_be_visible()

    moments = seen.page.get_by_role("list", name="Critical moments").get_by_role("button")
    assert moments.count() == 3
    moments.nth(1).click()
    expect(position).to_have_attribute("aria-valuetext", "0.60 seconds, frame 16 of 50")
    seen.page.get_by_role("spinbutton", name="Moments").fill("2")
    expect(moments).to_have_count(2)
    with seen.page.expect_request(re.compile("of=fused")):
        seen.page.get_by_text("Fused score", exact=True).click()

    pictures = [seen.page.evaluate(DRAWN)]
    for change in (
        lambda: seen.page.get_by_label("Arrows").fill("0"),
        lambda: position.fill("30"),
        lambda: seen.page.get_by_label("Theme").select_option("dark"),
    ):
        change()
        pictures.append(eventually(seen, DRAWN, lambda drawn: drawn not in pictures))


def test_a_skeleton_moves_by_itself_where_motion_is_wanted_and_somebody_sees_it(dancing: Callable[..., Visit]) -> None:
    seen = dancing(size=(1280, 500))
    seen.page.emulate_media(reduced_motion="no-preference")
    opened(seen)
    expect(seen.page.get_by_role("button", name="Pause")).to_be_attached()
    seen.page.get_by_role("button", name="Pause").scroll_into_view_if_needed()
    eventually(seen, MOVING, lambda count: count == 1)
    seen.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    eventually(seen, MOVING, lambda count: count == 0)


@pytest.mark.tried(kind="HTTP edges", given="a clip without a skeleton, on the page", outcome="a sentence, others stay")
def test_a_part_that_fails_says_why_and_leaves_the_others(dancing: Callable[..., Visit]) -> None:
    seen = dancing(without=[SHOWN])
    error = {"error": {"code": "store_unavailable", "message": "not available now; try again", "parameter": None}}
    failing = re.compile("/v1/clips/[^/]+/neighbours")
    seen.page.route(failing, lambda route: route.fulfill(status=503, json=error, headers={"Retry-After": "60"}))
    opened(seen)
    without = part(seen, "Movement").get_by_role("alert").inner_text()
    assert "not kept" in without
    assert "Check the spelling" not in without
    around = part(seen, "Around it in the ranking")
    assert "not available now" in around.get_by_role("alert").inner_text()
    assert part(seen, "Scores").locator("tbody tr").count() > 1
    assert part(seen, "Traffic pools").get_by_role("listitem").count() > 1
    seen.page.unroute(failing)
    around.get_by_role("button", name="Try again").click()
    expect(around.locator("tbody tr").first).to_be_visible()
    assert seen.take("Failed to load resource")


def test_without_guidance_the_skeleton_still_moves(dancing: Callable[..., Visit]) -> None:
    seen = dancing()
    error = {"error": {"code": "not_offered", "message": "no gradient graphs here", "parameter": None}}
    seen.page.route(re.compile("/v1/clips/.*/guidance"), lambda route: route.fulfill(status=501, json=error))
    opened(seen)
    assert "no gradient graphs here" in part(seen, "Movement").get_by_role("alert").inner_text()
    seen.page.get_by_role("button", name="Play").click()
    expect(seen.page.get_by_role("button", name="Pause")).to_be_visible()
    assert seen.take("501")


def test_a_key_is_asked_for_once_for_all_parts(
    visit: Visits, lived: SmallSystem, tmp_path: Path, serve: Callable[[FastAPI], str]
) -> None:
    key = create_key(tmp_path / "keys", "app", created=datetime(2026, 3, 1, tzinfo=UTC))
    seen = visit(serve(lived.app(Access(keys=KeyRing(tmp_path / "keys")))), "#/none")
    answered(seen.page)
    seen.open(f"#/clips/{SHOWN}")
    seen.page.get_by_role("dialog").get_by_label("API key").fill(key)
    seen.page.get_by_role("button", name="Use the key").click()
    seen.heading(SHOWN)
    expect(part(seen, "Traffic pools").get_by_role("listitem").first).to_be_visible()
    expect(part(seen, "Around it in the ranking").locator("tbody tr").first).to_be_visible()
    assert seen.page.get_by_role("dialog").count() == 0
    assert seen.page.get_by_role("alert").count() == 0
    assert seen.take("401")


def test_clips_that_are_not_known_or_not_trusted_say_so_in_plain_sight(dancing: Callable[..., Visit]) -> None:
    seen = opened(dancing(), "nobody")
    assert "is not known" in seen.page.get_by_role("alert").first.inner_text()
    assert seen.page.get_by_role("link", name="All challenges").count() == 1
    assert seen.violations() == []
    opened(seen, OUTSIDE)
    warning = seen.page.get_by_role("note").inner_text()
    assert "not to be trusted" in warning
    assert "3.5 times" in warning
    assert part(seen, "Around it in the ranking").count() == 0
    seen.take("404")


@pytest.mark.tried(
    kind="HTTP edges", given="ids with quotes, <script>, emoji, right-to-left", outcome="shown as they are"
)
def test_odd_ids_are_text(dancing: Callable[..., Visit]) -> None:
    seen = dancing()
    for name in ODD:
        opened(seen, f"clip-{name}")
        assert seen.page.title() == f"clip-{name} · dancerank"
        assert seen.page.get_by_role("group", name=f"Moving skeleton: clip-{name}", exact=True).count() == 1
        seen.page.get_by_role("link", name="Who dances like this?").last.click()
        expect(seen.page.get_by_label("Id", exact=True)).to_have_value(f"clip-{name}")
        seen.settled()
    seen.take("404")


def test_what_is_made_up_for_these_tests_has_the_form_of_the_services_answers() -> None:
    TypeAdapter(ClipSkeleton).validate_python(skeleton(SHOWN))
    TypeAdapter(ClipGuidance).validate_python(guidance(SHOWN))
    assert set(skeleton(SHOWN)) == {each.name for each in fields(ClipSkeleton)}
    assert set(guidance(SHOWN)) == {each.name for each in fields(ClipGuidance)}


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_the_page_of_a_routine_shows_its_attention_over_time(
    visit: Visits, routines_url: str, routines: SmallSystem, theme: str, size: tuple[int, int]
) -> None:
    seen = visit(routines_url, "#/clips/routine-1", theme=theme, size=size)
    seen.heading("routine-1")
    seconds = part(seen, "The seconds that made the score")
    expect(seconds.locator("svg.chart")).to_be_visible()
    expected = routines.service.moments("routine-1").moments
    listed = seconds.get_by_role("list", name="The heaviest moments").get_by_role("listitem")
    expect(listed).to_have_text(
        [re.compile(f"{each.start_s:.1f}–{each.end_s:.1f} s: .* of {each.part} attention") for each in expected]
    )
    assert "No skeleton is kept of it" in seconds.inner_text()
    assert part(seen, "Movement").count() == 0
    assert "Routine" in part(seen, "Scores").inner_text()
    seconds.get_by_text("Numbers").click()
    first = routines.service.moments("routine-1").weights["dynamic"][0]
    assert f"{100 * first:.2f} %" in seconds.locator("tbody tr").first.inner_text()
    assert seen.violations() == []
    assert not seen.is_wider_than_the_window()
    seen.take("503")  # no pools are there


def test_a_routine_finds_routines_and_has_a_weight_and_a_ranking_of_its_own(visit: Visits, routines_url: str) -> None:
    seen = visit(routines_url, "#/similar?clip=routine-1")
    expect(seen.page.get_by_role("slider")).to_have_count(5)
    hits = seen.page.locator(".likeness")
    expect(hits).to_have_count(3)
    seen.open("#/similar?clip=clip-000")
    expect(seen.page.get_by_role("slider")).to_have_count(4)
    seen.open("#/challenges/challenge-1")
    expect(part(seen, "Routine").get_by_role("listitem")).to_have_count(4)
    seen.open("#/challenges/challenge-2")
    expect(part(seen, "Scenic").get_by_role("listitem").first).to_be_visible()
    assert part(seen, "Routine").count() == 0
    seen.take("404")  # no skeletons are kept
    seen.take("503")


@pytest.fixture(scope="module")
def routines() -> Iterator[SmallSystem]:
    """Short clips, and four routines in the first challenge."""
    clips = some_clips(9)
    clips += [
        routine(
            f"routine-{n}", seed=n, challenge_id="challenge-1", score=n / 10, embedding=(n, 1.0), dancer_id=f"d-{n}"
        )
        for n in range(4)
    ]
    with SmallSystem(clips) as system:
        yield system


@pytest.fixture(scope="module")
def routines_url(routines: SmallSystem) -> Iterator[str]:
    with serving(routines.app()) as address:
        yield address

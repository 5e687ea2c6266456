"""The pages of challenges: what they show is what the service answers, page after page, whatever ids are like."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, expect

from schemas.modalities import DIMENSIONS, Dimension
from schemas.questions.retrieval import Order, Window
from tests.page.lived import lived_system
from tests.page.systems import SmallSystem, serving
from tests.page.visits import PHONE, Visit
from tests.ranking.examples import scored_clip

Visits = Callable[..., Visit]
ODD = [
    '"><script>document.title="taken"',
    "';alert(1);//".replace("/", "\\"),
    "<img\\src=x\\onerror=alert(1)>",
    "\N{DANCER}\N{EMOJI MODIFIER FITZPATRICK TYPE-5}",
    "\N{HEBREW LETTER RESH}\N{HEBREW LETTER QOF}\N{HEBREW LETTER DALET}",
    "100%25&k=0#",
    "..a?b",
]
"""Ids that would break a page that does not escape them."""


@pytest.fixture(scope="module")
def odd_url() -> Iterator[str]:
    """A system with many challenges of one clip each, challenges, clips and dancers with odd ids, and a challenge whose
    clips lie outside what the model was trained on.
    """
    clips = [scored_clip(f"clip-{n}", challenge_id=f"dance-{n:03}") for n in range(120)]
    clips += [scored_clip(f"clip-{name}", dancer_id=name, challenge_id=name) for name in ODD]
    clips += [scored_clip(f"far-{n:02}", challenge_id="far", training_distance=2.5) for n in range(12)]
    with SmallSystem(clips) as system, serving(system.app()) as url:
        yield url


def entries(card: Locator) -> list[str]:
    return [row.inner_text().split("\n")[0] for row in card.locator("li .who").all()]


def ranking(seen: Visit, dimension: Dimension) -> Locator:
    return seen.page.get_by_role("region", name=dimension.capitalize(), exact=True)


def test_rankings_by_each_modality_stand_side_by_side(visit: Visits, small: SmallSystem, small_url: str) -> None:
    seen = visit(small_url, "#/challenges/challenge-1")
    seen.heading("challenge-1")
    shown = [dimension for dimension in DIMENSIONS if dimension is not Dimension.ROUTINE]  # no clip here is so long
    cards = [ranking(seen, dimension) for dimension in shown]
    tops = {round(box["y"]) for card in cards if (box := card.bounding_box()) is not None}
    assert len(tops) == 1
    for dimension, card in zip(shown, cards, strict=True):
        expected = small.service.ranking("challenge-1", dimension, k=10)
        assert entries(card) == [entry.clip_id for entry in expected.entries]
        assert f"1–{len(expected.entries)} of {expected.clips}" in card.inner_text()


def test_a_ranking_is_paged_to_its_end_and_back_from_both_ends(
    visit: Visits, small: SmallSystem, small_url: str
) -> None:
    seen = visit(small_url, "#/challenges/challenge-1")
    seen.heading("challenge-1")
    card = ranking(seen, Dimension.FUSED)
    ends: dict[Order, str] = {"bottom": "Last first", "top": "Best first"}
    for order, label in ends.items():
        seen.page.get_by_text(label).click()
        whole = [each.clip_id for each in small.service.ranking("challenge-1", order=order, k=100).entries]
        card.get_by_role("listitem").first.get_by_text(whole[0]).wait_for()
        assert entries(card) == whole[:10]
        card.get_by_role("button", name="Next").click()
        card.get_by_text("11–12 of 12").wait_for()
        assert entries(card) == whole[10:]
        assert card.get_by_role("button", name="Next").is_disabled()
        card.get_by_role("button", name="Previous").click()
        card.get_by_text("1–10 of 12").wait_for()
        assert entries(card) == whole[:10]


def test_a_window_of_time_counts_for_rankings_and_distribution(
    visit: Visits, small: SmallSystem, small_url: str
) -> None:
    windows: dict[Window, str] = {"24h": "last 24 hours", "1h": "last hour"}
    seen = visit(small_url, "#/challenges/challenge-2")
    seen.heading("challenge-2")
    for window, label in windows.items():
        expected = small.service.ranking("challenge-2", window=window, k=10)
        seen.page.get_by_text(label, exact=True).click()
        seen.shows(f"{expected.clips} clip{'s' * (expected.clips != 1)} of the {label}")
        expect(seen.page.locator("[aria-busy]")).to_have_count(0)
        assert entries(ranking(seen, Dimension.FUSED)) == [entry.clip_id for entry in expected.entries]
        assert f"window={window}" in seen.page.url
    seen.page.reload()
    seen.settled()
    assert seen.page.get_by_role("radio", name="last hour", exact=True).is_checked()


def test_rankings_and_tips_of_a_dance_style_are_of_its_clips_alone(
    visit: Visits, small: SmallSystem, small_url: str
) -> None:
    with lived_system() as styled, serving(styled.app()) as url:
        seen = visit(url, "#/challenges/challenge-1")
        seen.heading("challenge-1")
        counts = styled.service.styles("challenge-1").styles
        choice = seen.page.get_by_label("Dance style")
        assert choice.locator("option").all_inner_texts() == [
            "any, or none", *(f"{each.style} ({each.clips})" for each in counts)
        ]  # fmt: skip
        choice.select_option("waltz")
        expected = styled.service.ranking("challenge-1", style="waltz", k=10)
        card = ranking(seen, Dimension.FUSED)
        card.get_by_text(f"of {expected.clips}").wait_for()
        assert entries(card) == [entry.clip_id for entry in expected.entries]
        seen.page.get_by_role("img", name=f"Distribution of the fused scores of {expected.clips} clips").wait_for()
        seen.shows(f"the mean of {styled.service.challenge_tips('challenge-1', style='waltz').clips} clips")
        assert seen.page.evaluate("location.hash") == "#/challenges/challenge-1?style=waltz"
        assert seen.violations() == []
        seen.page.close()  # before the server stops, which would wait for it
    seen = visit(small_url, "#/challenges/challenge-1")
    seen.heading("challenge-1")
    assert seen.page.get_by_label("Dance style").count() == 0


def test_charts_have_their_numbers_as_tables(visit: Visits, small: SmallSystem, small_url: str) -> None:
    seen = visit(small_url, "#/challenges/challenge-1")
    seen.heading("challenge-1")
    card = seen.page.get_by_role("region", name="Distribution of scores")
    card.get_by_label("By").select_option("skeletal")
    card.get_by_role("img", name=re.compile("Distribution of the skeletal scores of 12 clips")).wait_for()
    card.get_by_text("Numbers").click()
    shown = [int(cell) for cell in card.get_by_role("table").locator("tbody td:last-child").all_inner_texts()]
    assert shown == small.service.challenge_distribution("challenge-1", Dimension.SKELETAL, bins=24).counts
    growth = seen.page.get_by_role("region", name="Growth")
    growth.get_by_text("Days", exact=True).click()
    growth.get_by_text("12 clips in the last eight days, 0 before").wait_for()


def test_tips_are_drawn_where_there_is_guidance_and_their_absence_said(
    visit: Visits, small: SmallSystem, small_url: str
) -> None:
    seen = visit(small_url, "#/challenges/challenge-1")
    seen.heading("challenge-1")
    tips = seen.page.get_by_role("region", name="Where to pay attention")
    expected = small.service.challenge_tips("challenge-1")
    heat = tips.get_by_role("img", name=re.compile("Attention by joint and time"))
    assert heat.locator("rect").count() == len(expected.joints) * len(expected.temporal)
    seen.open("#/challenges/challenge-3")
    seen.heading("challenge-3")
    tips.get_by_text("No clip of this challenge has guidance").wait_for()


def test_tips_of_all_challenges_are_drawn_once_somebody_wants_to_see_them(
    visit: Visits, small: SmallSystem, small_url: str
) -> None:
    seen = visit(small_url, "#/challenges")
    seen.page.get_by_text("Where to pay attention, by challenge").click()
    heat = seen.page.get_by_role("img", name=re.compile("Overall attention by challenge and joint"))
    heat.locator("rect").first.wait_for()
    tips = small.service.tips()
    assert heat.locator("rect").count() == len(tips.challenges) * len(tips.joints)
    assert seen.violations() == []


def test_many_challenges_are_searched_and_paged(visit: Visits, odd_url: str) -> None:
    seen = visit(odd_url, "#/challenges?order=name")
    seen.shows(f"{121 + len(ODD)} challenges")
    table = seen.page.get_by_role("table")
    assert table.locator("tbody tr").count() == 50
    seen.page.get_by_role("button", name="Next").click()
    seen.page.get_by_text(f"51–100 of {121 + len(ODD)}").wait_for()
    seen.page.get_by_label("Search").fill("ANCE-01")
    seen.shows(f"10 of {121 + len(ODD)} challenges")
    assert table.locator("tbody th").all_inner_texts() == [f"dance-{n:03}" for n in range(10, 20)]
    assert "search=ANCE-01" in seen.page.url
    table.get_by_role("link", name="dance-011").click()
    seen.heading("dance-011")
    seen.page.go_back()
    seen.shows(f"10 of {121 + len(ODD)} challenges")
    seen.take("404")


@pytest.mark.tried(
    kind="untrusted text in output",
    given="challenges, dancers and clips named as markup, emoji, right-to-left",
    outcome="the page shows the names and runs nothing",
)
def test_odd_ids_are_shown_as_they_are_and_run_nothing(visit: Visits, odd_url: str) -> None:
    seen = visit(odd_url, "#/challenges")
    for name in ODD:
        seen.page.get_by_label("Search").fill(name)
        seen.page.get_by_role("link", name=name, exact=True).click()
        seen.heading(name)
        assert seen.page.title() == f"{name} · dancerank"
        assert entries(ranking(seen, Dimension.FUSED)) == [f"clip-{name}"]
        seen.page.go_back()
    seen.open(f"#/challenges/{quote('<b>none', safe='')}")
    seen.shows("challenge <b>none has no clips")
    assert seen.take("404")


@pytest.mark.tried(
    kind="HTTP edges",
    given="a challenge of clips that are all outside the training distribution",
    outcome="the page says so and lists them",
)
def test_clips_outside_what_the_model_was_trained_on_are_listed_beside_the_rankings(
    visit: Visits, odd_url: str
) -> None:
    seen = visit(odd_url, "#/challenges/far")
    seen.heading("far")
    for dimension in (Dimension.FUSED, Dimension.SCENIC):
        expect(ranking(seen, dimension)).to_contain_text("outside what the model was trained on, so none is ranked")
    for part in ("Distribution of scores", "Which aspect matters", "Where to pay attention"):
        expect(seen.page.get_by_role("region", name=part)).to_contain_text("outside what the model was trained on")
    card = seen.page.get_by_role("region", name="In no ranking", exact=True)
    assert card.locator("tbody th").all_inner_texts() == [f"far-{n:02}" for n in range(10)]
    card.get_by_role("button", name="Next").click()
    card.get_by_role("link", name="far-11").wait_for()
    assert card.locator("tbody th").all_inner_texts() == ["far-10", "far-11"]
    assert seen.violations() == []


@pytest.mark.tried(
    kind="HTTP edges",
    given="an address of the page with broken percent-encoding",
    outcome="it stands for itself; the page says what is not there",
)
def test_an_address_that_is_damaged_names_what_it_can(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, "#/challenges/%E0%A4%A?window=century&order=")
    seen.shows("has no clips under generation g1")
    assert seen.take("404")


def test_on_a_phone_nothing_but_the_rankings_moves_sideways(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, "#/challenges/challenge-1", size=PHONE)
    seen.heading("challenge-1")
    rankings = seen.page.get_by_role("region", name="Rankings")
    assert rankings.evaluate("each => each.scrollWidth > each.clientWidth")
    assert not seen.is_wider_than_the_window()

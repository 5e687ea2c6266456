"""The page of the traffic pools: how full, what is decided, and what would be."""

import json
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from dancerank.policies import shipped_policy
from ranking.serving.live.broadcast import DECISION, LiveEvent
from schemas.errors import QueryError
from schemas.questions.pool_comparisons import (
    AllocationMeasures,
    ComparisonAnswer,
    ComparisonQuestion,
    NamedPolicy,
    PolicyOutcome,
    TierMeasures,
)
from tests.page.operated import POLICY, decide
from tests.page.systems import SmallSystem, serving
from tests.page.visits import LOOKS, Visit
from tests.waiting import wait_until

Visits = Callable[..., Visit]
TEXT = shipped_policy().read_text()


class Simulator:
    """Answers with figures that are made up; ``asked`` are the questions."""

    def __init__(self) -> None:
        self.asked: list[ComparisonQuestion] = []

    def examples(self) -> list[NamedPolicy]:
        return [NamedPolicy(name="four-tiers", version="four-tiers-2", toml=TEXT)]

    def compare(self, question: ComparisonQuestion) -> ComparisonAnswer:
        self.asked.append(question)
        if "broken" in question.policies[-1]:
            raise QueryError("policies.1, line 3: tiers[0].gate: 8 is refused", field="policies.1")
        outcomes = [outcome(f"policy-{number}") for number, _ in enumerate(question.policies)]
        return ComparisonAnswer(clips=480, before=120, days=7.0, seeds=[1], policies=outcomes)


def outcome(version: str) -> PolicyOutcome:
    days = [number / 4 for number in range(40)]
    allocations = [
        AllocationMeasures(
            allocation=name,
            top_1=0.11,
            top_1_lift=6.6,
            top_10=0.65,
            top_10_lift=6.5,
            regret=regret,
            gini=0.7,
            discovered=None,
            lifts=[None, *(20 * (number / 20) ** 4 for number in range(1, 20))],
            reactions=[(1 - regret) * day / 10 for day in days],
        )
        for name, regret in {"policy": 0.02, "popularity only": 0.1, "uniform": 0.7, "oracle": 0.0}.items()
    ]
    by_quarter_day = [100.0 * (number % 7) for number in range(40)]
    tiers = [
        TierMeasures(tier=name, entries=50, granted=5000, capacity=9000, by_quarter_day=by_quarter_day)
        for name in ("trial", "rising", "popular", "featured")
    ]
    return PolicyOutcome(
        version=version, granted=1_900_000, allocations=allocations, tiers=tiers, rules={"nominated": 170.0}, days=days
    )


@pytest.fixture(scope="module")
def pooled() -> Iterator[SmallSystem]:
    with SmallSystem() as system:
        decide(system.database)
        yield system


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture(scope="module")
def url(pooled: SmallSystem, simulator: Simulator) -> Iterator[str]:
    with serving(pooled.app(comparisons=simulator)) as address:
        yield address


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_axe_finds_nothing_on_the_page_as_it_opens_and_with_its_answers(
    visit: Visits, url: str, theme: str, size: tuple[int, int]
) -> None:
    seen = visit(url, "#/pools", theme=theme, size=size)
    seen.heading("Pools")
    assert seen.violations() == []
    seen.page.get_by_role("button", name="Try", exact=True).click()
    seen.shows("What would be decided")
    seen.page.get_by_role("button", name="Compare").click()
    seen.heading("policy-0")
    assert seen.violations() == []
    assert not seen.is_wider_than_the_window()


def test_tiers_and_past_windows_are_those_of_the_service(visit: Visits, pooled: SmallSystem, url: str) -> None:
    seen = visit(url, "#/pools")
    seen.heading("Pools")
    assert seen.shows(POLICY.version)
    for tier in pooled.service.pools().tiers:
        header = seen.page.get_by_role("rowheader", name=tier.tier, exact=True)
        row = seen.page.get_by_role("row").filter(has=header).first
        assert f"{tier.exposures:,}" in row.inner_text()
        seen.shows(f"{tier.used:,} of {tier.capacity:,} impressions")


def test_tiers_are_asked_for_again_but_not_while_the_tab_is_in_the_background(visit: Visits, url: str) -> None:
    seen = visit(url, "#/model")
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/v1/pools") else None)
    seen.page.clock.install()
    seen.open("#/pools")
    seen.heading("Pools")
    before = len(asked)
    hide = "isHidden => Object.defineProperty(document, 'hidden', {value: isHidden, configurable: true})"
    seen.page.evaluate(hide, True)
    seen.page.clock.run_for(25_000)
    assert len(asked) == before
    seen.page.evaluate(hide, False)
    with seen.page.expect_request(f"{url}/v1/pools"):
        seen.page.clock.run_for(11_000)


def test_decisions_appear_as_they_are_made_wait_while_paused_and_are_paged(
    visit: Visits, pooled: SmallSystem, url: str
) -> None:
    seen = visit(url, "#/pools")
    seen.heading("Pools")
    log = seen.page.get_by_role("log")
    newest = pooled.service.pool_decisions(k=20).decisions
    assert log.get_by_role("listitem").count() == 20
    assert newest[0].decision.sentence in log.get_by_role("listitem").first.inner_text()
    wait_until(lambda: pooled.events.is_heard, lambda: seen.page.wait_for_timeout(20))

    def announce(number: int) -> None:
        content = {
            "sequence": newest[0].sequence + number,
            "challenge_id": "<b>",
            "decision": {"clip_id": f"live-{number}", "sentence": "nominated <i>now</i>", "decided_at_ms": 1},
        }
        pooled.events.publish([LiveEvent(DECISION, None, json.dumps(content).encode())])

    announce(1)
    seen.shows("live-1")
    seen.shows("nominated <i>now</i>")
    seen.page.get_by_role("button", name="Pause").click()
    announce(2)
    seen.shows("1 new decision meanwhile")
    assert log.get_by_text("live-2").count() == 0
    seen.page.get_by_role("button", name="Pause").click()
    assert log.get_by_role("listitem").first.inner_text().startswith("live-2")
    seen.page.get_by_role("button", name="Older decisions").click()
    oldest = pooled.service.pool_decisions(after=newest[-1].sequence, k=20).decisions[-1]
    log.get_by_text(oldest.decision.clip_id).last.wait_for()
    assert log.get_by_role("listitem").count() > 40


def test_a_made_up_clip_is_tried_and_what_is_wrong_with_it_is_said(visit: Visits, url: str) -> None:
    seen = visit(url, "#/pools")
    seen.heading("Pools")
    seen.page.get_by_label("Clips in the challenge").fill("40")
    seen.page.get_by_label("Fused", exact=True).fill("95")
    seen.page.get_by_label("Reactions").fill("30")
    seen.page.get_by_label("Impressions", exact=True).fill("200")
    seen.page.get_by_role("button", name="Try", exact=True).click()
    seen.shows("nominated into trial by its fused score")
    seen.shows("After these reactions")
    seen.page.get_by_label("Fused", exact=True).fill("")
    seen.page.get_by_role("button", name="Try", exact=True).click()
    seen.shows("give percentiles or scores of at least one dimension")
    expect(seen.page.get_by_label("Fused", exact=True)).to_have_value("")
    assert seen.take("422")


def test_two_policies_are_compared_and_a_broken_one_is_named(visit: Visits, url: str, simulator: Simulator) -> None:
    seen = visit(url, "#/pools")
    seen.heading("Pools")
    second = seen.page.get_by_label("Second policy, as TOML")
    seen.page.get_by_label("Second policy: begin with").select_option("four-tiers")
    second.fill(f"{TEXT}# broken")
    seen.page.get_by_role("button", name="Compare").click()
    seen.shows("policies.1, line 3: tiers[0].gate: 8 is refused")
    assert seen.violations() == []
    assert seen.take("422")
    second.fill(f"{TEXT}# better")
    seen.page.get_by_label("Uploads").fill("300")
    seen.page.get_by_role("button", name="Compare").click()
    seen.heading("policy-1")
    seen.shows("480 clips uploaded in 7 days, 120 before them; seed 1.")
    asked = simulator.asked[-1]
    assert (asked.clips, asked.days, asked.seeds) == (300, 7.0, (1,))
    expect(seen.page.get_by_label("Uploads")).to_have_value("300")  # what was asked for stays, to be changed
    assert asked.policies[1].endswith("# better")
    assert POLICY.version.replace('"', '\\"') in asked.policies[0]


def test_without_pools_the_page_says_what_to_run(visit: Visits, serve: Callable[[FastAPI], str]) -> None:
    with SmallSystem() as system:
        seen = visit(serve(system.app()), "#/pools")
        seen.shows("the traffic pools have no policy yet; dancerank pools run adopts one")
        seen.heading("Compare policies")
        assert seen.violations() == []
    assert seen.take("503")

"""The demonstration's viewers: who is shown, how they react, and what is printed about the decisions."""

import io
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from dancerank.demo.pool_rounds import show_pools, show_to_followers
from schemas.codec import decode
from schemas.events import EngagementObserved, PoolDecision
from schemas.modalities import Dimension
from schemas.ports import OutgoingRecord

CLIPS = 200
VIRALITY = {f"clip-{number}": number / (CLIPS - 1) for number in range(CLIPS)}
TOPIC = "engagement"


def decision(clip: int, rule: str, number: int = 0, decided_by: Dimension | None = None) -> PoolDecision:
    return PoolDecision(
        clip_id=f"clip-{clip}",
        number=number,
        tier="seed",
        previous_tier=None,
        rule=rule,
        decided_by=decided_by,
        policy_version="policy-1",
        decided_at_ms=1,
    )


class System:
    """Remembers in which order it was asked for what."""

    def __init__(self, first: list[PoolDecision], later: list[PoolDecision]) -> None:
        self.settings = SimpleNamespace(
            pools=SimpleNamespace(engagement_topic=TOPIC), streamer=SimpleNamespace(flush_timeout_s=1.0)
        )
        self.uploads = SimpleNamespace(send=self.send, flush=lambda _: self.steps.append("flush"))
        self.service = SimpleNamespace(pooled_clip=self.pooled_clip)
        self.answers = [first, first + later]
        self.sent: list[OutgoingRecord] = []
        self.steps: list[object] = []

    def send(self, record: OutgoingRecord) -> None:
        self.sent.append(record)

    def await_decisions(self, clips: int) -> list[PoolDecision]:
        self.steps.append(("decisions", clips))
        return self.answers.pop(0)

    def await_observed(self, clips: int) -> None:
        self.steps.append(("observed", clips))

    def pooled_clip(self, clip_id: str) -> object:
        return SimpleNamespace(history=[SimpleNamespace(number=0, sentence=f"{clip_id} was let in")])


def shown(system: System, virality: Mapping[str, float] = VIRALITY, seed: int = 3) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_pools(console, system, virality, seed)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


@pytest.fixture
def first() -> list[PoolDecision]:
    """Every second clip is let in, by either way; the others wait or are turned down."""
    rules = ("nominated", "not-nominated", "explored", "queued")
    return [decision(number, rules[number % 4], decided_by=Dimension.FUSED) for number in range(CLIPS)]


@pytest.fixture
def later() -> list[PoolDecision]:
    return [decision(198, "promoted", 1), decision(150, "promoted", 1), decision(100, "promoted", 1)]


@pytest.fixture
def system(first: list[PoolDecision], later: list[PoolDecision]) -> System:
    return System(first, later)


def test_just_those_clips_are_shown_that_were_let_in_and_all_is_waited_for_in_order(system: System) -> None:
    shown(system)
    assert [record.key for record in system.sent] == [b"clip-%d" % number for number in range(0, CLIPS, 2)]
    assert {record.topic for record in system.sent} == {TOPIC}
    assert system.steps == [("decisions", CLIPS), "flush", ("observed", CLIPS // 2), ("decisions", CLIPS)]


def test_followers_see_the_other_clips_so_that_each_prediction_has_something_to_be_compared_with(
    system: System,
) -> None:
    admitted = [f"clip-{number}" for number in range(0, CLIPS, 2)]
    show_to_followers(system, VIRALITY, admitted, 3)  # type: ignore[arg-type]
    assert [record.key for record in system.sent] == [b"clip-%d" % number for number in range(1, CLIPS, 2)]
    assert {decode(record.value, EngagementObserved).views for record in system.sent} == {60}
    assert system.steps == ["flush", ("observed", CLIPS)]


def test_as_many_clips_are_waited_for_though_some_were_decided_about_twice_by_then(
    first: list[PoolDecision], later: list[PoolDecision]
) -> None:
    system = System([*first, decision(3, "explored", 1), decision(7, "expired", 1)], later)
    shown(system)
    assert [step for step in system.steps if step[0] == "decisions"] == [("decisions", CLIPS)] * 2  # type: ignore[index]


def test_viewers_react_as_planted_from_one_to_sixteen_in_a_hundred(system: System) -> None:
    shown(system)
    seen: list[Any] = [decode(record.value, EngagementObserved) for record in system.sent]
    assert {(one.views, one.comments, one.reposts) for one in seen} == {(150, 0, 0)}
    rates = [one.likes / one.views for one in seen]
    share = len(rates) // 10
    lowest, median, highest = rates[:share], rates[len(rates) // 2 - share // 2 :][:share], rates[-share:]
    for part, rate in ((lowest, 0.011), (median, 0.04), (highest, 0.14)):
        assert sum(part) / len(part) == pytest.approx(rate, rel=0.35)


def test_the_same_seed_shows_the_same_and_another_does_not(
    first: list[PoolDecision], later: list[PoolDecision]
) -> None:
    def likes(seed: int) -> list[int]:
        system = System(first, later)
        shown(system, seed=seed)
        return [decode(record.value, EngagementObserved).likes for record in system.sent]

    assert likes(3) == likes(3)
    assert likes(3) != likes(4)


def test_what_went_on_is_counted_and_the_most_viral_of_it_explained(system: System) -> None:
    said = shown(system)
    assert "100 of 200 clips were shown 150 times each" in said
    assert "3 went on to the next tier, 2 of them of the planted best quarter" in said
    assert "Why clip-198 is where it is: 1. clip-198 was let in" in said
    assert "nominated │ 50 │ 49% │ fused 50" in said
    assert "not-nominated │ 50 │ 50% │ –" in said
    assert "promoted │ 3 │ 75% │ –" in said


def test_no_clip_is_explained_if_none_was_promoted(first: list[PoolDecision]) -> None:
    said = shown(System(first, []))
    assert "0 went on to the next tier, 0 of them" in said
    assert "Why" not in said

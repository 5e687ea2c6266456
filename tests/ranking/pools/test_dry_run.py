"""A dry run reports what would be decided, and changes nothing."""

from dataclasses import asdict
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.pools.policy import Caps, Exploration
from ranking.pools.service.dry_run import HYPOTHETICAL
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from schemas.clock import ManualClock
from schemas.errors import QueryError
from schemas.modalities import Dimension, Modality
from schemas.questions.pools import ExplainedDecision, HypotheticalClip, PoolTryAnswer
from tests.ranking.examples import apply, with_scores
from tests.ranking.pools.examples import POLICY, WINDOW_MS, engaged, policy, rated, removed, tiers
from tests.ranking.pools.rows import Pools

FUSED, SKELETAL = Dimension.FUSED, Dimension.SKELETAL


@pytest.fixture
def pools(any_database: Database) -> Pools:
    return Pools(any_database, POLICY)


@pytest.fixture
def reader(any_database: Database) -> PoolReader:
    return PoolReader(any_database, ManualClock(start_ms=0))


def record(answer: ExplainedDecision) -> dict[str, Any]:
    """The decision without its sentence."""
    return {name: value for name, value in asdict(answer).items() if name != "sentence"}


PERCENTILES = st.dictionaries(st.sampled_from(Dimension), st.floats(0, 100), min_size=1)
COUNTS = st.none() | st.tuples(st.integers(0, 600), st.none() | st.integers(0, 600))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rate", "rate", "rate", "engage", "round", "remove"]),
        st.integers(0, 14),
        st.sampled_from("de"),
        st.sampled_from("xy"),
        PERCENTILES,
        st.integers(0, 30),
    ),
    max_size=30,
)


def _play(pools: Pools, steps: list[Any]) -> None:
    """A window's worth of events; every budget is met."""
    for n, (kind, clip, dancer, challenge, percentiles, reactions) in enumerate(steps):
        at_ms, clip_id = n * WINDOW_MS // 40, f"c{clip}"
        if kind == "rate":
            pools.handle(rated(clip_id, dancer_id=dancer, challenge_id=challenge, percentiles=percentiles, at_ms=at_ms))
        elif kind == "engage":
            pools.handle(engaged(clip_id, reactions, 100, at_ms=at_ms))
        elif kind == "remove":
            pools.handle(removed(clip_id, at_ms=at_ms))
        else:
            pools.round(at_ms)


@pytest.fixture
def scarce(sqlite_database: Database) -> Pools:
    return Pools(sqlite_database, POLICY)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=STEPS,
    dancer=st.sampled_from(["d", "e", None]),
    challenge=st.sampled_from("xyz"),
    percentiles=PERCENTILES,
    clips=st.sampled_from([5, 20, 50]),
    counts=COUNTS,
    later_ms=st.integers(0, 2 * WINDOW_MS),
)
def test_a_dry_run_gives_exactly_what_would_be_decided_and_writes_nothing(
    scarce: Pools,
    sqlite_database: Database,
    steps: list[Any],
    dancer: str | None,
    challenge: str,
    percentiles: dict[Dimension, float],
    clips: int,
    counts: tuple[int, int | None] | None,
    later_ms: int,
) -> None:
    tight = tiers(t1={"capacity": 500}, t2={"capacity": 900}, t3={"capacity": 2100})
    scarce.start(policy(tiers=tight, exploration=Exploration(share=0.3), caps=Caps(dancer=0.5, challenge=0.7)))
    _play(scarce, steps)
    scarce.write()
    at_ms = WINDOW_MS + later_ms if later_ms > WINDOW_MS else WINDOW_MS - 1
    reader = PoolReader(sqlite_database, ManualClock(start_ms=at_ms))
    before = _contents(scarce)
    reactions, views = counts or (None, None)
    asked = HypotheticalClip(
        challenge_id=challenge, dancer_id=dancer, percentiles=percentiles, challenge_clips=clips,
        reactions=reactions, views=views,
    )  # fmt: skip
    answer = reader.try_clip(asked, None)
    assert _contents(scarce) == before
    left = {budget: scarce.ledger.used(budget) for budget in scarce.ledger.budgets()}
    (made,) = scarce.ledger.handle(
        rated(
            HYPOTHETICAL, dancer_id=dancer or "", challenge_id=challenge, percentiles=percentiles,
            challenge_clips=clips, at_ms=at_ms,
        )
    )  # fmt: skip
    assert record(answer.decision) == msgspec.structs.asdict(made)
    spent = {b: used - left.get(b, 0) for b, used in scarce.ledger.budgets().items() if used != left.get(b, 0)}
    assert {(b.scope, b.spends) for b in answer.budgets if b.spends} == {(b.scope, views) for b, views in spent.items()}
    for room in answer.budgets:
        assert room.left == max(room.capacity - room.used, 0)
        assert room.spends <= room.left
    _check_afterwards(scarce, answer, counts, at_ms)


def _check_afterwards(pools: Pools, answer: PoolTryAnswer, counts: tuple[int, int | None] | None, at_ms: int) -> None:
    if counts is None:
        assert answer.afterwards is None
        return
    then = pools.ledger.handle(engaged(HYPOTHETICAL, *counts, at_ms=at_ms))
    assert answer.afterwards is not None
    assert answer.afterwards.sentence
    if then:
        assert answer.afterwards.decision is not None
        assert record(answer.afterwards.decision) == msgspec.structs.asdict(then[0])
        assert answer.afterwards.sentence == answer.afterwards.decision.sentence
        rate = answer.afterwards.rate
        assert (rate.reactions, rate.views) == (then[0].reactions, then[0].views)
        assert then[0].bound == (rate.high if then[0].rule == "demoted" else rate.low)
    else:
        assert answer.afterwards.decision is None
    assert bool(answer.afterwards.budgets) == bool(then and then[0].rule in ("promoted", "held"))


def _contents(pools: Pools) -> list[Any]:
    with pools.database.reading() as connection:
        return [
            connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
            for table in ("pool_clips", "pool_budgets", "pool_decisions", "pool_workers", "pool_policies")
        ]


def test_scores_are_compared_as_those_of_a_real_clip_would_be(
    any_store: ScoreStore, pools: Pools, reader: PoolReader
) -> None:
    pools.write()
    own = {Modality.SKELETAL: 0.3, Modality.FACIAL: 0.5}
    there = [with_scores(f"s{n}", {Modality.SKELETAL: n / 10}, (n % 4) / 4) for n in range(9)]
    apply(any_store, there)
    scores = {Dimension(modality): score for modality, score in own.items()} | {FUSED: 0.5}
    answer = reader.try_clip(HypotheticalClip(challenge_id="ch", scores=scores), "g1")
    apply(any_store, [with_scores("new", own, 0.5)], start=100)
    places = any_store.clip("new", "g1").places
    assert answer.percentiles == {dimension: place.percentile for dimension, place in places.items()}
    assert (answer.challenge_clips, answer.fewest_clips) == (10, 20)
    assert answer.decision.rule == "not-nominated"
    elsewhere = reader.try_clip(HypotheticalClip(challenge_id="new", scores=scores), None)
    assert (elsewhere.challenge_clips, elsewhere.percentiles[FUSED]) == (1, 50.0)


def test_a_dry_run_is_of_a_clip_that_no_other_can_be(pools: Pools, reader: PoolReader) -> None:
    pools.handle(rated("c1"))
    pools.write()
    answer = reader.try_clip(HypotheticalClip(challenge_id="x", percentiles={FUSED: 90}, challenge_clips=50), None)
    assert (answer.decision.clip_id, answer.decision.rule, answer.afterwards) == (HYPOTHETICAL, "nominated", None)
    assert [(b.scope, b.holder, b.capacity, b.used, b.left, b.spends) for b in answer.budgets] == [
        ("nominated", None, 700, 100, 600, 100),
        ("tier", None, 1000, 100, 900, 100),
        ("challenge", "x", 900, 0, 900, 100),
        ("dancer", None, 700, 0, 700, 100),
    ]


def test_a_dry_run_without_a_fused_percentile_does_not_blame_the_size_of_the_challenge(
    pools: Pools, reader: PoolReader
) -> None:
    pools.write()
    for clips, expected in ((50, "no percentile reaches its threshold"), (5, "its challenge has too few clips")):
        asked = HypotheticalClip(challenge_id="x", percentiles={SKELETAL: 10}, challenge_clips=clips)
        assert expected in reader.try_clip(asked, None).decision.sentence


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({}, "percentiles"),
    ({"percentiles": {}}, "percentiles"),
    ({"percentiles": {FUSED: 1}, "scores": {FUSED: 1}}, "percentiles"),
    ({"percentiles": {FUSED: 100.1}}, "percentiles.fused"),
    ({"percentiles": {FUSED: 1, SKELETAL: float("nan")}}, "percentiles.skeletal"),
    ({"scores": {FUSED: float("inf")}}, "scores.fused"),
    ({"scores": {FUSED: 1}, "challenge_clips": 3}, "challenge_clips"),
    ({"percentiles": {FUSED: 1}, "challenge_clips": 0}, "challenge_clips"),
    ({"percentiles": {FUSED: 1}, "reactions": -1}, "reactions"),
    ({"percentiles": {FUSED: 1}, "views": 1}, "reactions"),
    ({"percentiles": {FUSED: 1}, "reactions": 1, "views": 1 << 53}, "views"),
]


@pytest.mark.parametrize(("fields", "named"), IMPOSSIBLE)
def test_a_clip_that_cannot_be_is_refused_naming_the_parameter(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(QueryError) as raised:
        HypotheticalClip(challenge_id="x", **fields)
    assert raised.value.field == named

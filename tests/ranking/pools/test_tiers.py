"""Clips in a tier, as a condition of other questions."""

import pytest

import ranking.pools.service.tiers
from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from schemas.clock import ManualClock
from schemas.errors import NotFound, NotReady
from tests.ranking.pools.examples import POLICY, plain, rated
from tests.ranking.pools.rows import Pools


@pytest.fixture
def pools(any_database: Database) -> Pools:
    made = Pools(any_database, POLICY)
    made.handle(*(rated(f"r{number}") for number in range(3)), plain("p"))
    made.write()
    return made


def test_clips_in_a_tier_are_those_that_the_ledger_has_there(pools: Pools, any_database: Database) -> None:
    tier = POLICY.tiers[0].name
    expected = {clip.clip_id for clip in pools.ledger.clips() if clip.tier == tier and not clip.gone}
    assert expected
    found = PoolReader(any_database, ManualClock()).in_tier(tier)
    listed = found.listed()
    assert listed is not None
    assert set(listed) == expected
    asked = ["unknown", *(clip.clip_id for clip in pools.ledger.clips())]
    assert set(found.satisfied(asked)) == expected
    last = PoolReader(any_database, ManualClock()).in_tier(POLICY.tiers[-1].name)
    assert (list(last.listed() or ()), list(last.satisfied(asked))) == ([], [])


def test_a_tier_of_more_clips_than_are_listed_is_asked_clip_by_clip(
    monkeypatch: pytest.MonkeyPatch, pools: Pools, any_database: Database
) -> None:
    monkeypatch.setattr(ranking.pools.service.tiers, "_MOST_LISTED", 1)
    found = PoolReader(any_database, ManualClock()).in_tier(POLICY.tiers[0].name)
    assert found.listed() is None
    assert len(found.satisfied([clip.clip_id for clip in pools.ledger.clips()])) > 1


def test_an_unknown_tier_is_named_with_those_that_are(pools: Pools, any_database: Database) -> None:
    with pytest.raises(NotFound, match=POLICY.tiers[0].name) as raised:
        PoolReader(any_database, ManualClock()).in_tier("nowhere")
    assert raised.value.field == "tier"


def test_without_a_policy_tiers_are_not_ready(any_database: Database) -> None:
    with pytest.raises(NotReady):
        PoolReader(any_database, ManualClock()).in_tier(POLICY.tiers[0].name)

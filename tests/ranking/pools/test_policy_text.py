"""A policy that is written as TOML is read as the same policy."""

import pytest

from dancerank.policies import read_policy, shipped_policy
from ranking.pools.policy import Exploration, Nomination, Policy
from ranking.pools.policy_file import parse_policy
from ranking.pools.policy_text import policy_text
from schemas.modalities import Dimension
from tests.ranking.pools.examples import POLICY, policy, tiers


@pytest.mark.parametrize(
    "written",
    [
        POLICY,
        read_policy(shipped_policy()),
        policy(version='a"b\\c\N{SNOWMAN}', tiers=tiers()[:1] + tiers()[1:]),
        policy(nomination=Nomination(thresholds={}), exploration=Exploration(share=1.0, prior_views=1e-9)),
    ],
    ids=["small", "shipped", "quoted", "explored"],
)
def test_the_text_of_a_policy_is_that_policy(written: Policy) -> None:
    assert parse_policy(policy_text(written), "written") == written


def test_a_gate_that_is_absent_stays_absent() -> None:
    assert policy_text(policy(nomination=Nomination(thresholds={Dimension.FUSED: 80}))).count("gate =") == 2

"""What the shipped policy and bundle reach in a simulated world that neither was chosen on (docs/results.md)."""

import pytest

from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import shipped_bundle
from dancerank.simulation.audience import Reactions
from dancerank.simulation.comparison import POLICY, outcome
from dancerank.simulation.measures import Measures
from dancerank.simulation.synthetic import SyntheticWorlds
from schemas.bundle import read_bundle

pytestmark = pytest.mark.slow

WORLD = 31
"""The first of those that ``docs/results.md`` quotes."""
LEAST_LIFT = 2.0


@pytest.fixture(scope="module")
def measured() -> dict[str, Measures]:
    """Of each allocation, as ``dancerank pools simulate --seeds 31`` compares them."""
    world = SyntheticWorlds(read_bundle(shipped_bundle()), clips=2400, days=7.0).world(WORLD)
    allocations = outcome(world, read_policy(shipped_policy()), Reactions(world)).allocations
    return {name: allocation.measures for name, allocation in allocations.items()}


def test_the_best_decile_gets_at_least_twice_what_uniform_allocation_gives_it(measured: dict[str, Measures]) -> None:
    assert measured[POLICY].top_10_lift >= LEAST_LIFT
    assert measured["uniform"].top_10_lift == pytest.approx(1.0, abs=0.05)


def test_more_newcomers_are_discovered_than_by_popularity_alone(measured: dict[str, Measures]) -> None:
    assert measured[POLICY].discovered > measured["popularity only"].discovered
    assert measured[POLICY].granted == measured["popularity only"].granted

"""Long runs of the pools under every kind of event, each step checked by an independent model (``reference_pools``).

``DANCERANK_FUZZ_EXAMPLES`` sets their number.
"""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Caps, Exploration
from ranking.pools.rounds import round_events
from ranking.pools.state import PoolEvent
from schemas.modalities import Dimension
from tests.fuzz.outcomes import fuzzed
from tests.ranking.pools.examples import STAY_S, WINDOW_MS, engaged, explored, policy, rated, removed, reviewed, tiers
from tests.ranking.pools.reference_pools import ReferencePools

SCARCE = policy(
    tiers=tiers(t1={"capacity": 700}, t2={"capacity": 900}, t3={"capacity": 2100}),
    exploration=Exploration(share=0.3),
    caps=Caps(dancer=0.5, challenge=0.7),
)
"""Every budget is met within a window."""
CURIOUS = policy(version="p2", tiers=SCARCE.tiers, exploration=Exploration(share=0.6), caps=SCARCE.caps)

CLIPS = st.integers(0, 11).map("c{}".format)


class Pools(RuleBasedStateMachine):
    """Few clips, so that events meet; time goes on by itself now and then."""

    @initialize(share=st.sampled_from([0.2, 0.3, 0.6]))
    def start(self, share: float) -> None:
        self.pools = ReferencePools(policy(tiers=SCARCE.tiers, caps=SCARCE.caps, exploration=Exploration(share=share)))
        self.now_ms = 0

    @rule(clip_id=CLIPS, dancer=st.sampled_from("de"), challenge=st.sampled_from("xyz"), data=st.data())
    def rate(self, clip_id: str, dancer: str, challenge: str, data: st.DataObject) -> None:
        percentiles = data.draw(st.dictionaries(st.sampled_from(Dimension), st.sampled_from([50.0, 85.0, 97.0])))
        clips = data.draw(st.sampled_from([5, 50]))
        self.pools.handle(
            rated(clip_id, dancer_id=dancer, challenge_id=challenge, percentiles=percentiles, challenge_clips=clips,
                  at_ms=self.now_ms)
        )  # fmt: skip

    @rule(clip_id=CLIPS, views=st.none() | st.integers(0, 2000), share=st.floats(0, 1), ago_ms=st.integers(0, 3000))
    def engage(self, clip_id: str, views: int | None, share: float, ago_ms: int) -> None:
        reactions = int(share * (1500 if views is None else views))
        observed_at_ms = max(self.now_ms - ago_ms, 0)
        self.pools.handle(engaged(clip_id, reactions, views, at_ms=self.now_ms, observed_at_ms=observed_at_ms))

    @rule(clip_id=CLIPS)
    def review(self, clip_id: str) -> None:
        self.pools.handle(reviewed(clip_id, at_ms=self.now_ms))

    @rule(clip_id=CLIPS)
    def explore(self, clip_id: str) -> None:
        self.pools.handle(explored(clip_id, at_ms=self.now_ms))

    @rule(clip_id=CLIPS)
    def remove(self, clip_id: str) -> None:
        self.pools.handle(removed(clip_id, at_ms=self.now_ms))

    @rule(ms=st.sampled_from([1, WINDOW_MS // 4, WINDOW_MS, STAY_S * 1000]))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @rule(ms=st.sampled_from([1, WINDOW_MS]))
    def be_handled_by_a_clock_that_is_behind(self, ms: int) -> None:
        self.now_ms = max(self.now_ms - ms, 0)

    @rule()
    def round(self) -> None:
        for event in round_events(self.pools.policy, self.pools.ledger, self.now_ms):
            self.pools.handle(event)

    @rule()
    def repeat_the_last_event(self) -> None:
        if self.pools.journal:
            self.pools.handle(self.pools.journal[-1])

    @invariant()
    def grants_are_those_of_the_decisions(self) -> None:
        granted = sum(account.granted for account in self.pools.accounts.values())
        assert granted == sum(decision.exposures for decision in self.pools.decisions)
        totals = (views for budget, views in self.pools.ledger.budgets().items() if budget.scope == "tier")
        assert granted == sum(totals)


Pools.TestCase.settings = settings(fuzzed(), stateful_step_count=200)
test_no_order_of_events_breaks_the_pools = Pools.TestCase


def walk(seed: int, steps: int, *, change_policy: bool) -> ReferencePools:
    """A platform of 150 clips at a time, whose events come late, twice, or for unknown clips; and whose
    operator changes the policy in the middle of windows.
    """
    random, pools, now_ms, youngest = Random(seed), ReferencePools(SCARCE), 0, 0
    rates: dict[str, float] = {}
    while len(pools.journal) < steps:
        now_ms += int(random.expovariate(1 / 150))
        clip_id = f"c{random.randrange(max(youngest - 150, 0), youngest + 3)}"
        chance = random.random()
        if change_policy and random.random() < 0.001:
            pools.adopt(CURIOUS if pools.policy is SCARCE else SCARCE)
        if chance < 0.12:
            pools.handle(_upload(random, f"c{youngest}", now_ms))
            youngest += 1
        elif chance < 0.8:
            rate = rates.setdefault(clip_id, random.betavariate(1.2, 6))
            views = int(random.expovariate(1 / 900))
            reactions = sum(random.random() < rate for _ in range(min(views, 20))) * max(views // 20, 1)
            unknown = random.random() < 0.1
            observed_at_ms = max(now_ms - int(random.expovariate(1 / 2000)), 0)
            event: PoolEvent = engaged(
                clip_id, reactions, None if unknown else views, at_ms=now_ms, observed_at_ms=observed_at_ms
            )
            pools.handle(event)
        elif chance < 0.84:
            pools.handle(explored(clip_id, at_ms=now_ms))
        elif chance < 0.86:
            pools.handle(removed(clip_id, at_ms=now_ms))
        elif chance < 0.9:
            pools.handle(reviewed(clip_id, at_ms=now_ms))
        elif chance < 0.98 and pools.journal:
            pools.handle(random.choice(pools.journal[-500:]))
        else:
            for event in round_events(pools.policy, pools.ledger, now_ms):
                pools.handle(event)
    return pools


def _upload(random: Random, clip_id: str, at_ms: int) -> PoolEvent:
    percentiles = {dimension: random.uniform(0, 100) for dimension in Dimension if random.random() < 0.9}
    return rated(
        clip_id,
        dancer_id=f"d{random.randrange(40)}",
        challenge_id=f"x{random.randrange(4)}",
        percentiles=percentiles,
        challenge_clips=random.choice([10, 20, 500]),
        at_ms=at_ms,
    )


def test_a_hundred_thousand_steps_break_no_budget() -> None:
    pools = walk(seed=1, steps=100_000, change_policy=True)
    every_rule = {
        "nominated", "queued", "not-nominated", "explored", "promoted", "held", "kept", "demoted", "expired", "deleted",
    }  # fmt: skip
    assert set(pools.rules) == every_rule
    assert min(pools.rules.values()) > 20, pools.rules
    granted = sum(account.granted for account in pools.accounts.values())
    assert granted == sum(decision.exposures for decision in pools.decisions)
    assert granted == sum(views for budget, views in pools.ledger.budgets().items() if budget.scope == "tier")
    assert set(pools.ledger.deferred) == {"unknown_clip", "deleted_clip"}


def test_the_same_journal_gives_the_same_decisions_and_state() -> None:
    pools = walk(seed=2, steps=5000, change_policy=False)
    again = PoolLedger(SCARCE)
    assert [decision for event in pools.journal for decision in again.handle(event)] == pools.decisions
    assert list(again.clips()) == list(pools.ledger.clips())
    assert again.budgets() == pools.ledger.budgets()
    assert again.deferred == pools.ledger.deferred
    cohorts = {clip.cohort for clip in again.clips()}
    assert all(again.counts(cohort) == pools.ledger.counts(cohort) for cohort in cohorts)

"""The state in SQL equals the ledger in memory at every step, also before the transaction ends."""

from collections.abc import Callable
from random import Random

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.database.tables import metadata, pool_budgets, pool_clips, pool_counters, pool_kinds, pool_leases
from ranking.pools.ledger import PoolLedger
from ranking.pools.machine import leaves_at_ms
from ranking.pools.policy import Caps, Exploration, Policy
from ranking.pools.service.facts import Facts
from ranking.pools.service.rounds import hold_round
from ranking.pools.service.sql_state import clip_of
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PoolTransaction
from ranking.pools.state import Budget, Cohort, Counts, PooledClip, PoolEvent
from schemas.errors import StoreRefused
from schemas.events import PoolDecision
from schemas.modalities import Dimension
from schemas.pools import Limit
from tests.ranking.pools.audit import Owner, audit_database
from tests.ranking.pools.examples import STAY_S, WINDOW_MS, engaged, explored, policy, rated, removed, reviewed, tiers

SCARCE = policy(
    tiers=tiers(t1={"capacity": 700}, t2={"capacity": 900}, t3={"capacity": 2100}),
    exploration=Exploration(share=0.3),
    caps=Caps(dancer=0.5, challenge=0.7),
)
UNIFORM = policy(
    version="p2",
    tiers=(SCARCE.tiers[0], *tiers(t2={"name": "t9", "capacity": 900, "gate": None})[1:2]),
    exploration=Exploration(share=0.6, method="uniform"),
    caps=SCARCE.caps,
)
"""Without the second tier and the third, whose clips have to leave."""
POLICIES = {made.version: made for made in (SCARCE, UNIFORM)}

Step = Callable[[int], list[PoolEvent] | None]
"""What is done at a moment: events, or a round where there are none."""


class TwoStates:
    """One ledger, one database; every batch of steps is one transaction of the database."""

    def __init__(self, database: Database) -> None:
        self.store, self.database = PoolStore(database), database
        self.start()

    def start(self) -> None:
        """Empty the database and the ledger."""
        with self.database.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                if table is pool_counters:
                    connection.execute(sa.update(table).values(value=0))
                else:
                    connection.execute(sa.delete(table))
        self.policy = SCARCE
        self.ledger = PoolLedger(SCARCE)
        self.adoption = self.store.adopt(SCARCE, 0)
        self.owners: dict[str, Owner] = {}
        self.decisions: list[PoolDecision] = []

    def adopt(self, other: Policy, at_ms: int) -> None:
        self.policy = other
        self.ledger.adopt(other)
        self.adoption = self.store.adopt(other, at_ms)
        self.compare()

    def batch(self, steps: list[Step], at_ms: int, *, load: list[str]) -> None:
        """Do ``steps`` in both states; ``load`` names clips, dancers and challenges that are read ahead."""
        events: list[PoolEvent] = []
        for step in steps:
            made = step(at_ms)
            if made is None:
                self._transact(events, at_ms, load)
                events = []
                expected = self.ledger.round(at_ms)
                parts = hold_round(self.store, self.policy, self.adoption, lambda: at_ms)
                assert [decision for part in parts for decision in part] == expected
                self.decisions += expected
            else:
                events += made
        self._transact(events, at_ms, load)
        self.compare()

    def _transact(self, events: list[PoolEvent], at_ms: int, load: list[str]) -> None:
        """In one transaction of each clip that there is."""

        def handle(transaction: PoolTransaction, _: Facts) -> None:
            transaction.state.load(load)
            transaction.state.load_budgets(at_ms, load)
            for event in events:
                transaction.state.handle(event)

        made = self.store.decide(self.policy, self.adoption, Batch(at_ms), handle)
        expected = [decision for event in events for decision in self.ledger.handle(event)]
        assert made == expected
        self.decisions += expected

    def compare(self) -> None:
        with self.database.reading() as connection:
            clips = {row.clip_id: (clip_of(row), row.leaves_at_ms) for row in connection.execute(sa.select(pool_clips))}
            budgets = {
                Budget(row.tier, row.window_start_ms, row.scope, row.holder): row.used
                for row in connection.execute(sa.select(pool_budgets))
            }
            for row in connection.execute(sa.select(pool_leases).where(pool_leases.c.used > 0)):
                for scope in (row.lane, Limit.TIER):
                    budget = Budget(row.tier, row.window_start_ms, scope)
                    budgets[budget] = budgets.get(budget, 0) + row.used
            cohorts = {
                Cohort(row.challenge_id, row.tenth): Counts(row.reactions, row.views)
                for row in connection.execute(sa.select(pool_kinds))
            }
        assert clips == {clip.clip_id: (clip, self._leaves(clip)) for clip in self.ledger.clips()}
        assert budgets == self.ledger.budgets()
        assert all(self.ledger.counts(cohort) == counts for cohort, counts in cohorts.items())
        assert all(clip.cohort in cohorts for clip in self.ledger.clips() if clip.seen != (0, 0))

    def _leaves(self, clip: PooledClip) -> int | None:
        return None if clip.gone else leaves_at_ms(self.policy, clip)

    def audit(self) -> None:
        """Independently, and by the journal."""
        found = audit_database(self.database, POLICIES, self.owners)
        assert sum(found.rules.values()) == len(self.decisions)
        replayed = self.store.replay()
        assert replayed.difference is None
        assert replayed.decisions == len(self.decisions)

    def upload(self, clip_id: str, dancer: str, challenge: str, percentiles: dict[Dimension, float], n: int) -> Step:
        self.owners.setdefault(clip_id, Owner(dancer, challenge))

        def made(at_ms: int) -> list[PoolEvent]:
            named = {"dancer_id": dancer, "challenge_id": challenge, "percentiles": percentiles, "challenge_clips": n}
            return [rated(clip_id, at_ms=at_ms, **named)]

        return made


@pytest.fixture
def two_states(any_database: Database) -> TwoStates:
    return TwoStates(any_database)


@pytest.fixture
def two_sqlite_states(sqlite_database: Database) -> TwoStates:
    return TwoStates(sqlite_database)


CLIPS = st.integers(0, 7).map("c{}".format)
UPLOADS = st.tuples(
    st.just("upload"),
    CLIPS,
    st.sampled_from(["x", "y", "d"]),
    st.sampled_from(["x", "y"]),
    st.dictionaries(st.sampled_from(Dimension), st.sampled_from([50.0, 85.0, 97.0]), max_size=2),
    st.sampled_from([5, 50]),
)
"""A dancer may be called as a challenge is."""
OBSERVATIONS = st.tuples(
    st.just("engage"), CLIPS, st.none() | st.integers(0, 2000), st.floats(0, 1), st.integers(-4_000_000, 3000)
)
OTHERS = st.tuples(st.sampled_from(["review", "explore", "remove"]), CLIPS)
ROUND = st.tuples(st.just("round"))
STEPS = st.lists(st.one_of(UPLOADS, UPLOADS, OBSERVATIONS, OBSERVATIONS, OTHERS, ROUND), min_size=1, max_size=12)
WAITS = st.sampled_from([1, WINDOW_MS // 4, WINDOW_MS, STAY_S * 1000])
BATCHES = st.lists(st.tuples(WAITS, STEPS, st.booleans(), st.lists(CLIPS | st.sampled_from("xyd"), max_size=3)),
                   min_size=1, max_size=8)  # fmt: skip


def step_of(states: TwoStates, described: tuple) -> Step:  # type: ignore[type-arg]
    kind, *rest = described
    match kind:
        case "upload":
            return states.upload(*rest)
        case "engage":
            clip_id, views, share, ago_ms = rest
            reactions = int(share * (1500 if views is None else views))
            return lambda at_ms: [
                engaged(clip_id, reactions, views, at_ms=at_ms, observed_at_ms=max(at_ms - ago_ms, 0))
            ]
        case "round":
            return lambda at_ms: None
    maker = {"review": reviewed, "explore": explored, "remove": removed}[kind]
    return lambda at_ms: [maker(rest[0], at_ms=at_ms)]


@given(batches=BATCHES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_states_decide_alike_in_whichever_transactions(
    two_sqlite_states: TwoStates, batches: list[tuple[int, list, bool, list[str]]]
) -> None:
    states, now_ms = two_sqlite_states, 0
    states.start()
    for wait_ms, described, changes_policy, load in batches:
        now_ms += wait_ms
        if changes_policy:
            states.adopt(UNIFORM if states.policy is SCARCE else SCARCE, now_ms)
        states.batch([step_of(states, each) for each in described], now_ms, load=load)
    states.audit()


def test_both_states_decide_alike_on_a_busy_platform(two_states: TwoStates) -> None:
    random, states, now_ms, youngest = Random(5), two_states, 0, 0
    for number in range(90):
        now_ms += int(random.expovariate(1 / 6000))
        steps: list[Step] = []
        for _ in range(random.choice([1, 10, 30])):
            clip_id, chance = f"c{random.randrange(max(youngest - 40, 0), youngest + 2)}", random.random()
            if chance < 0.2:
                percentiles = {dimension: random.uniform(0, 100) for dimension in Dimension if random.random() < 0.8}
                owner = (f"d{random.randrange(8)}", f"x{random.randrange(3)}")
                steps.append(states.upload(f"c{youngest}", *owner, percentiles, random.choice([10, 500])))
                youngest += 1
            elif chance < 0.9:
                views = random.choice([None, int(random.expovariate(1 / 900))])
                described = ("engage", clip_id, views, random.betavariate(1.2, 6), int(random.expovariate(1 / 2000)))
                steps.append(step_of(states, described))
            else:
                steps.append(step_of(states, (random.choice(["review", "explore", "remove"]), clip_id)))
        steps += [step_of(states, ("round",))] * (random.random() < 0.5)
        if number % 30 == 29:
            states.adopt(UNIFORM if states.policy is SCARCE else SCARCE, now_ms)
        states.batch(steps, now_ms, load=[f"c{youngest - 1}", "d1", "x1"] * (random.random() < 0.5))
    states.audit()
    rules = {decision.rule for decision in states.decisions}
    assert {"nominated", "queued", "explored", "promoted", "held", "demoted", "expired", "deleted", "retired"} <= rules


def test_a_transaction_that_fails_leaves_nothing(two_states: TwoStates) -> None:
    upload = two_states.upload("c1", "d", "x", {Dimension.FUSED: 97.0}, 50)

    def fails(transaction: PoolTransaction, _: Facts) -> None:
        for event in upload(5) or []:
            transaction.state.handle(event)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        two_states.store.decide(SCARCE, two_states.adoption, Batch(5), fails)
    two_states.compare()
    two_states.batch([upload], 6, load=[])
    assert [decision.rule for decision in two_states.decisions[-1:]] == ["nominated"]


@pytest.mark.parametrize(
    ("table", "column", "named"),
    [
        (pool_clips, "nominated_by", "table pool_clips: clip .* was nominated by dimension 'audio'"),
        (pool_budgets, "scope", "table pool_budgets: tier .* has a budget of scope 'audio'"),
    ],
)
def test_what_another_release_stored_is_refused_by_name(
    sqlite_database: Database, table: sa.Table, column: str, named: str
) -> None:
    states = TwoStates(sqlite_database)
    states.batch([lambda _: [rated("c1")], lambda _: None], 0, load=["c1"])
    with sqlite_database.writing() as connection:
        least = sa.select(sa.func.min(table.c[column])).scalar_subquery()
        connection.execute(sa.update(table).where(table.c[column] == least).values({column: "audio"}))

    def read() -> None:
        states.store.decide(SCARCE, states.adoption, Batch(0, ["c1"]), lambda *_: None)

    with pytest.raises(StoreRefused, match=named):
        read()

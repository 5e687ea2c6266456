"""The pools and clips outside the training distribution: no lane lets them in, and the reason is recorded."""

import msgspec
import pytest

from ranking.database.connection import Database
from ranking.pools.ledger import PoolLedger
from ranking.pools.service.sentences import sentence
from ranking.pools.state import Explored, Rated
from ranking.scores.generations import Generations
from schemas.events import ClipScored
from schemas.modalities import Dimension
from schemas.pools import Rule
from tests.ranking.examples import NOW_MS
from tests.ranking.pools.examples import POLICY, rated
from tests.ranking.pools.service import Service, scored


@pytest.fixture
def service(sqlite_database: Database) -> Service:
    made = Service(sqlite_database, rankings_timeout_s=-1.0)
    made.fill()
    return made


def outside(clip_id: str = "garbage", score: float = 0.99, **changes: object) -> ClipScored:
    return scored(clip_id, score, training_distance=3.0, **changes)


@pytest.mark.tried(
    kind="trust in features",
    given="a clip outside the training distribution that scores above all others",
    outcome="never nominated, never explored; the decision says why",
)
def test_the_best_score_outside_the_training_distribution_is_not_nominated(service: Service) -> None:
    service.feed(outside(), scored("real", 0.98, training_distance=0.4))
    assert service.rules("garbage") == [Rule.OUTSIDE_TRAINING]
    assert service.rules("real") == [Rule.NOMINATED]
    (decision,) = [each for each in service.published() if each.clip_id == "garbage"]
    assert (decision.tier, decision.exposures, decision.percentile) == (None, 0, None)
    assert "unlike all that the model was trained on" in sentence(decision)


def test_it_lowers_the_percentile_of_no_other_clip(service: Service) -> None:
    service.feed(*(outside(f"garbage-{n}") for n in range(30)))
    service.feed(scored("real", 0.98))
    (decision,) = [each for each in service.published() if each.clip_id == "real"]
    assert decision.percentile == pytest.approx(100 * 20.5 / 21)


def test_exploration_never_draws_it(service: Service) -> None:
    service.feed(outside())
    for _ in range(20):
        service.clock.advance(POLICY.window_s / 4)
        service.worker.round()
    assert service.rules("garbage") == [Rule.OUTSIDE_TRAINING]
    assert service.clip("garbage")["granted"] == 0


def test_the_mark_of_the_active_generation_counts(service: Service) -> None:
    service.feed(outside("c1", generation="g2"))
    service.feed(scored("c1", 0.9))
    assert service.rules("c1") == [Rule.NOMINATED]
    service.feed(outside("c2"))
    Generations(service.database).activate("g2", NOW_MS)
    service.feed(outside("c3", generation="g2"))
    assert (service.rules("c2"), service.rules("c3")) == ([Rule.OUTSIDE_TRAINING], [Rule.OUTSIDE_TRAINING])


def test_an_upload_that_follows_with_garbage_before_the_first_was_rated_is_not_nominated(service: Service) -> None:
    entries = service.entries(scored("c1", 0.9), outside("c1", uploaded_at_ms=NOW_MS + 5))
    service.rank(entries)
    service.apply(entries[:1])
    assert service.rules("c1") == [Rule.OUTSIDE_TRAINING]


def test_the_machine_lets_no_lane_take_it() -> None:
    ledger = PoolLedger(POLICY)
    (made,) = ledger.handle(rated(percentiles={Dimension.FUSED: 99.9}, outside_training=True))
    assert made.rule == Rule.OUTSIDE_TRAINING
    assert list(ledger.handle(Explored(clip_id="c1", at_ms=1))) == []


def test_a_journal_of_an_earlier_release_is_read() -> None:
    event = rated()
    fields = msgspec.to_builtins(event)
    del fields["outside_training"]
    assert msgspec.convert(fields, Rated) == event

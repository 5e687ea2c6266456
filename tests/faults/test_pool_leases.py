"""A worker of the traffic pools that is killed at each moment at which it holds something loses nothing and overspends
nothing: with a lease taken and not used, within its transaction, and between the commit and the topic.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import pool_leases, pool_outbox
from ranking.pools.policy import Caps, Exploration
from ranking.pools.service.publishing import DecisionPublisher
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import PoolTransaction
from schemas.codec import decode
from schemas.events import PoolDecision
from schemas.ports import OutgoingRecord, TopicPartition
from tests.ranking.databases import migrated
from tests.ranking.pools.audit import Owner, audit_database, stored_decisions
from tests.ranking.pools.examples import policy, tiers
from tests.ranking.pools.service import ENGAGEMENT, SCORED, Service, observed, scored
from tests.waiting import STANDSTILL_S
from tests.warm_starts import warm
from transport.memory import MemorySink

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

SCARCE: Final = policy(
    tiers=tiers(t1={"capacity": 1500}, t2={"capacity": 4000}, t3={"capacity": 9000}),
    exploration=Exploration(share=0.2),
    caps=Caps(dancer=0.6, challenge=0.9),
)
NAMES: Final = [f"c{number}" for number in range(24)]
PART: Final = 6
MOMENTS: Final = (
    "lease taken",
    "within the transaction",
    "before the commit",
    "after the commit",
    "on the topic",
    None,
)
"""At which a worker is killed, one after the other; the last one is not."""


def dancer_of(clip_id: str) -> str:
    return f"dancer{int(clip_id[1:]) % 5}"


class FileSink(MemorySink):
    """Appends to a file what was sent, which outlives the process."""

    def __init__(self, service: Service, path: Path) -> None:
        super().__init__(service.broker)
        self._path = path

    def send(self, record: OutgoingRecord) -> None:
        assert record.value is not None
        with self._path.open("ab") as file:
            file.write(record.value.hex().encode() + b"\n")


def dies(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after(method: Any) -> Any:
    def called(*arguments: Any, **named: Any) -> None:
        method(*arguments, **named)
        dies()

    return called


def work(url: str, topic: Path, moment: str | None) -> None:
    """Handles everything from where the database says, and dies at ``moment``."""
    with closing(Database(url)) as database, pytest.MonkeyPatch.context() as patch:
        service = Service(database, SCARCE)
        entries = service.entries(
            *(scored(name, 0.9, dancer_id=dancer_of(name)) for name in NAMES),
            *(observed(name, 40, 100) for name in NAMES),
        )
        done = service.worker.positions([TopicPartition(SCORED, 0), TopicPartition(ENGAGEMENT, 0)])
        left = [entry for entry in entries if entry.record.offset >= done.get(entry.record.topic_partition, 0)]
        match moment:
            case "lease taken":
                patch.setattr(PoolStore, "_lease", after(PoolStore._lease))
            case "within the transaction":
                patch.setattr(PoolTransaction, "finish", dies)
            case "before the commit":
                patch.setattr(PoolTransaction, "finish", after(PoolTransaction.finish))
            case "after the commit":
                patch.setattr(DecisionPublisher, "publish", dies)
            case "on the topic":
                patch.setattr(DecisionPublisher, "_deliver", after(DecisionPublisher._deliver))
        worker = service.another(SCARCE, store=PoolStore(database), sink=FileSink(service, topic))
        for start in range(0, len(left), PART):
            service.apply(left[start : start + PART], worker)
        service.publisher(sink=FileSink(service, topic)).publish()


def published(topic: Path) -> list[PoolDecision]:
    return [decode(bytes.fromhex(line), PoolDecision) for line in topic.read_text().split()]


def in_order(decisions: Sequence[PoolDecision]) -> bool:
    """Whether the first appearances of each clip's are in their order."""
    seen: dict[str, int] = {}
    for decision in decisions:
        if decision.number > seen.get(decision.clip_id, -1) + 1:
            return False
        seen[decision.clip_id] = max(decision.number, seen.get(decision.clip_id, -1))
    return True


def test_a_worker_killed_at_any_moment_loses_nothing_and_overspends_nothing(
    postgresql_url: str, tmp_path: Path
) -> None:
    topic = tmp_path / "decisions"
    topic.touch()
    with migrated(postgresql_url) as database:
        service = Service(database, SCARCE)
        service.fill(clips=200)
        service.rank(service.entries(*(scored(name, 0.9, dancer_id=dancer_of(name)) for name in NAMES)))
        owners = {name: Owner(dancer_of(name), "ch") for name in NAMES}
        for moment in MOMENTS:
            process = warm().Process(target=work, args=(postgresql_url, topic, moment))
            process.start()
            process.join(STANDSTILL_S)
            assert process.exitcode == (0 if moment is None else -signal.SIGKILL), moment
            audit_database(database, {SCARCE.version: SCARCE}, owners)
            assert service.pools.replay().difference is None, moment
        made = stored_decisions(database)
        assert {decision.clip_id for decision in made} == set(NAMES)
        assert service.rows(pool_outbox) == []
        sent = published(topic)
        assert {(d.clip_id, d.number): d for d in sent} == {(d.clip_id, d.number): d for d in made}
        assert in_order(sent)
        assert len(sent) > len(made), "what was on the topic and not noted was sent again"
        service.clock.advance(60)
        service.pools.tidy_leases(SCARCE, service.clock.now_ms())
        assert service.rows(pool_leases) == []
        audit_database(database, {SCARCE.version: SCARCE}, owners)
        with database.reading() as connection:
            assert connection.execute(sa.select(pool_outbox)).all() == []

"""The traffic pools as they run: two workers that are killed again and again, a real Kafka, a real PostgreSQL."""

import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from dancerank.policies import read_policy
from dancerank.settings import Settings, load_settings
from dancerank.topics import create_topics
from ranking.database.connection import Database
from ranking.database.tables import engagement, engagement_aside, pool_clips, pool_outbox, pool_workers
from ranking.pools.service.store import PoolStore
from schemas.codec import decode, encode
from schemas.events import ClipDeleted, ClipScored, EngagementObserved, PoolDecision
from schemas.ports import OutgoingRecord, Record, TopicPartition
from tests.integration.pool_world import HOUR_MS, World
from tests.ranking.databases import migrated
from tests.ranking.pools.audit import Audit, Owner, audit_database, expected_row, stored_decisions
from tests.waiting import STANDSTILL_S, wait_until, watching
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]

CLIPS = 1000
OBSERVATIONS = 3000
FEED_S = 15.0
KILLS = 3

POLICY = """\
version = "scarce-1"
window_s = 3
[[tiers]]
name = "trial"
exposures = 100
capacity = 2000
least_views = 100
gate = 0.1
floor = 0.02
stay_s = 6
[[tiers]]
name = "rising"
exposures = 400
capacity = 3600
least_views = 400
gate = 0.2
floor = 0.1
stay_s = 6
[[tiers]]
name = "featured"
exposures = 1000
capacity = 4000
least_views = 1200
floor = 0.15
stay_s = 6
[nomination]
fewest_clips = 20
[nomination.thresholds]
fused = 80
skeletal = 95
[exploration]
share = 0.2
[caps]
dancer = 0.25
challenge = 0.4
"""


class Topics:
    """Sends what the settings' topics are for."""

    def __init__(self, sink: KafkaSink, settings: Settings) -> None:
        self._sink, self._settings = sink, settings

    def scored(self, clip: ClipScored) -> None:
        topic = self._settings.streamer.scored_topic
        self._sink.send(OutgoingRecord(topic, clip.clip_id.encode(), encode(clip), partition_by=clip.challenge_id))

    def observed(self, event: EngagementObserved) -> None:
        self._sink.send(OutgoingRecord(self._settings.pools.engagement_topic, event.clip_id.encode(), encode(event)))

    def deleted(self, clip_id: str) -> None:
        event = ClipDeleted(clip_id=clip_id, reason="a test")
        self._sink.send(OutgoingRecord(self._settings.ranking.deletions_topic, clip_id.encode(), encode(event)))


class Processes:
    """Runs commands, and kills them."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "dancerank", *arguments, "--config", str(self._config)]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        assert process.poll() is None, self.log(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """SIGTERM must end all of them with 0."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self._running.items():
            assert process.wait(STANDSTILL_S) == 0, self.log(name)

    def check(self) -> None:
        for name, process in self._running.items():
            assert process.poll() is None, self.log(name)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


@pytest.fixture
def config(
    tmp_path: Path, postgresql_url: str, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> Path:
    (tmp_path / "policy.toml").write_text(POLICY)
    path = tmp_path / "dancerank.toml"
    path.write_text(f"""
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        ranking_group = "{fresh_name("ranking")}"
        pools_group = "{fresh_name("pools")}"
        partitions = 4
        session_timeout_s = 2
        [streamer]
        uploads_topic = "{fresh_name("uploads")}"
        scored_topic = "{fresh_name("scored")}"
        [ranking]
        database_url = "{postgresql_url}"
        deletions_topic = "{fresh_name("deleted")}"
        [pools]
        policy = "{tmp_path / "policy.toml"}"
        engagement_topic = "{fresh_name("engagement")}"
        decisions_topic = "{fresh_name("decisions")}"
        batch_records = 50
        round_interval_s = 0.5
        [server]
        rank_metrics_port = 0
        pools_metrics_port = 0
    """)
    return path


@contextmanager
def sending(settings: Settings, connection: KafkaConnection) -> Iterator[Topics]:
    with closing(KafkaSink(connection)) as sink:
        yield Topics(sink, settings)
        sink.flush(STANDSTILL_S)


class Killer:
    """Kills the workers in turn and starts them again, each time at some moment after records were handled again."""

    def __init__(self, processes: Processes, database: Database, random: Random) -> None:
        self._processes, self._database, self._random = processes, database, random
        self._look_at_s = 0.0
        self._kill_at_s: float | None = None
        self._handled = 0
        self.kills = 0

    def act(self) -> None:
        """To be called often."""
        now_s = time.monotonic()
        if self._kill_at_s is not None and now_s >= self._kill_at_s:
            name = ("one", "two")[self.kills % 2]
            self._processes.kill(name)
            self._processes.start(name, "pools", "run")
            self.kills += 1
            self._kill_at_s, self._look_at_s, self._handled = None, now_s + 3.0, -1
        elif self._kill_at_s is None and now_s >= self._look_at_s:
            handled = handled_batches(self._database)
            if handled > self._handled >= 0:
                self._kill_at_s = now_s + self._random.random()
            self._handled, self._look_at_s = handled, now_s + 0.3


def handled_batches(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.coalesce(sa.func.sum(pool_workers.c.batches), 0))).scalar_one()


def feed(world: World, topics: Topics, act: Callable[[], None]) -> None:
    """Send everything, evenly over ``FEED_S``, and call ``act`` after each."""
    random, started_s = world.random, time.monotonic()
    clips, total = 0, CLIPS + OBSERVATIONS
    kinds = ["scored"] * CLIPS + ["observed"] * OBSERVATIONS
    random.shuffle(kinds)
    for sent, kind in enumerate(kinds, start=1):
        if kind == "scored":
            clip = world.scored(clips)
            clips += 1
            topics.scored(clip)
            if random.random() < 0.05:
                topics.scored(clip)
        else:
            event = world.observation(clips)
            for _ in range(1 + (random.random() < 0.1)):
                topics.observed(event)
            if random.random() < 0.1:
                topics.observed(random.choice(world.observed[event.clip_id]))
        if random.random() < 0.01:
            clip_id = f"c{random.randrange(clips + 5)}"
            topics.deleted(clip_id)
            world.deleted.add(clip_id)
        act()
        time.sleep(max(0.0, started_s + FEED_S * sent / total - time.monotonic()))


def read_all(connection: KafkaConnection, topic: str) -> list[Record]:
    count, records = sum(ends_of(connection, [topic]).values()), list[Record]()
    with closing(KafkaSource(connection, [topic], group=None)) as source:
        while len(records) < count:
            records += source.poll(max_records=2000, timeout_s=1.0)
    return records


def ends_of(connection: KafkaConnection, topics: Sequence[str]) -> dict[TopicPartition, int]:
    with closing(KafkaSource(connection, topics, group=None)) as source:
        source.poll(max_records=1, timeout_s=0.0)
        return dict(source.end_offsets())


def test_two_workers_that_are_killed_overspend_nothing_and_lose_nothing(
    config: Path, tmp_path: Path, postgresql_url: str, kafka_connection: KafkaConnection
) -> None:
    settings, policy = load_settings(config), read_policy(tmp_path / "policy.toml")
    create_topics(settings, kafka_connection)
    world = World(Random(8), int(time.time() * 1000))
    with ExitStack() as stack:
        database = stack.enter_context(migrated(postgresql_url))
        pools = PoolStore(database)
        processes = stack.enter_context(Processes(config, tmp_path))
        processes.start("rank", "rank")
        for name in ("one", "two"):
            processes.start(name, "pools", "run")
        killer = Killer(processes, database, world.random)
        with sending(settings, kafka_connection) as topics:
            feed(world, topics, killer.act)
            while killer.kills < KILLS:
                topics.observed(world.observation(CLIPS))
                killer.act()
                time.sleep(0.02)
        ends = ends_of(
            kafka_connection,
            [settings.streamer.scored_topic, settings.pools.engagement_topic, settings.ranking.deletions_topic],
        )
        wait_until(lambda: reached(pools, ends), watching(processes.check), what="records wait")
        with sending(settings, kafka_connection) as topics:  # those before may all have come before their clips
            for clip_id in world.random.sample(sorted(world.clips), 30):
                topics.deleted(clip_id)
                world.deleted.add(clip_id)
        ends = ends_of(kafka_connection, list({at.topic for at in ends}))
        wait_until(lambda: reached(pools, ends), watching(processes.check), what="deletions wait")
        due_ms = int(time.time() * 1000) + 4000
        wait_until(lambda: not futures(database, due_ms), watching(processes.check), what="future events wait")
        wait_until(lambda: everybody_left(database), watching(processes.check), what="clips have not expired")
        wait_until(lambda: not pools.has_unpublished(), watching(processes.check), what="decisions are not published")
        processes.stop()
        replayed = pools.replay()
        owners = {clip_id: Owner(clip.dancer_id, clip.challenge_id) for clip_id, clip in world.clips.items()}
        found = audit_database(database, {policy.version: policy}, owners)
        decided = stored_decisions(database)
        check_clips(database, world)
        check_engagement(database, world)

    check_that_budgets_were_met(found)
    check_published(kafka_connection, settings.pools.decisions_topic, decided)
    assert replayed.difference is None
    assert replayed.decisions == sum(found.rules.values())
    assert replayed.events >= CLIPS + OBSERVATIONS


def reached(pools: PoolStore, ends: dict[TopicPartition, int]) -> bool:
    positions = pools.positions(ends)
    return all(positions.get(at, 0) >= end for at, end in ends.items())


def futures(database: Database, until_ms: int) -> int:
    """Observations aside as of the future that have to be taken up by ``until_ms``."""
    table = engagement_aside.c
    due = sa.and_(table.reason == "future_observation", table.observed_at_ms <= until_ms + HOUR_MS)
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(engagement_aside).where(due)).scalar_one()


def everybody_left(database: Database) -> bool:
    with database.reading() as connection:
        return connection.execute(sa.select(pool_clips.c.clip_id).where(~pool_clips.c.gone).limit(1)).first() is None


def check_that_budgets_were_met(found: Audit) -> None:
    assert len(found.windows) >= 3
    every_rule = {"nominated", "not-nominated", "queued", "explored", "promoted", "held", "expired", "deleted"}
    assert every_rule <= set(found.rules), found.rules
    assert {"nominated", "challenge"} <= set(found.refused_for), found.refused_for


def check_published(connection: KafkaConnection, topic: str, made: list[PoolDecision]) -> None:
    """Each decision at least once, repetitions as the same bytes, and first appearances of a clip's in order."""
    expected = {(decision.clip_id, decision.number): encode(decision) for decision in made}
    records = read_all(connection, topic)
    got: defaultdict[tuple[str, int], set[bytes]] = defaultdict(set)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        decision = decode(record.value, PoolDecision)
        assert record.key == decision.clip_id.encode()
        assert record.value is not None
        got[(decision.clip_id, decision.number)].add(record.value)
        numbers[decision.clip_id].append(decision.number)
    assert got == {key: {value} for key, value in expected.items()}
    for seen in numbers.values():
        first = list(dict.fromkeys(seen))
        assert first == sorted(first)


def check_clips(database: Database, world: World) -> None:
    with database.reading() as connection:
        rows = {row.clip_id: row for row in connection.execute(sa.select(pool_clips))}
        unpublished = connection.execute(sa.select(pool_outbox)).all()
    assert rows.keys() == world.clips.keys() | world.deleted
    assert {clip_id for clip_id, row in rows.items() if row.deleted} == world.deleted
    assert all(not row.dancer_id for row in rows.values() if row.deleted)
    assert unpublished == []


def check_engagement(database: Database, world: World) -> None:
    """Of living clips the latest counts; whatever else was observed stands aside."""
    with database.reading() as connection:
        rows = {row.clip_id: dict(row._mapping) for row in connection.execute(sa.select(engagement))}
        aside = {
            (row.clip_id, row.observed_at_ms): row.reason for row in connection.execute(sa.select(engagement_aside))
        }
    assert not rows.keys() & world.deleted
    expected: dict[str, object] = {}
    for clip_id, events in world.observed.items():
        if clip_id in world.deleted:
            continue
        waiting = {e.observed_at_ms for e in events if aside.get((clip_id, e.observed_at_ms)) == "future_observation"}
        if clip_id not in world.clips:
            assert all(aside[(clip_id, event.observed_at_ms)] == "unknown_clip" for event in events)
            continue
        far = {e.observed_at_ms for e in events if e.observed_at_ms > world.started_ms + 1.5 * HOUR_MS}
        assert waiting == far
        clip = world.clips[clip_id]
        in_time = [event for event in events if event.observed_at_ms not in waiting]
        expected[clip_id] = expected_row(in_time, clip.uploaded_at_ms, clip.challenge_id)
    assert rows == {clip_id: row for clip_id, row in expected.items() if row is not None}
    reasons = Counter(aside.values())
    assert set(reasons) == {"unknown_clip", "deleted_clip", "future_observation"}
    assert {clip_id for (clip_id, _), reason in aside.items() if reason == "deleted_clip"} <= world.deleted

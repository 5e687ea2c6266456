"""Poison never blocks: each record that cannot be processed is dead-lettered exactly once, all others are processed,
and repaired ones are replayed by the command.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.dead_letters import DeadLetters
from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import Settings, load_settings
from schemas.bundle import Bundle
from schemas.clock import SystemClock
from schemas.codec import decode, encode, encode_json
from schemas.errors import DancerankError
from schemas.events import ClipScored, ClipUploaded, EngagementObserved, FeatureFile
from schemas.features import encode_features
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord
from tests.clips import random_features, upload
from tests.integration.test_bad_uploads import (
    CASES,
    DURATION_S,
    MAX_FEATURE_BYTES,
    MODALITIES,
    Place,
    bad_upload,
)
from tests.small_bundle import small_bundle
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.dead_letter_records import DeadLetter
from transport.group_offsets import committed_offsets, partition_ends
from transport.kafka_source import KafkaSource
from transport.reading import read_to_end

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

GOOD, CHALLENGES, PARTITIONS = 120, 7, 5
CORRUPT, CORRUPT_FILES, FILES_TO_COME, MISTYPED = 40, 15, 6, 4
GARBAGE = 12
"""Records of garbage on the log and on the topic of engagement, each."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    modalities = tuple(sorted(MODALITIES, key=list(Modality).index))
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=modalities)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    return Place(tmp_path / "root", tmp_path / "outside")


@pytest.fixture
def config(
    tmp_path: Path, place: Place, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> Iterator[Path]:
    path = tmp_path / "dancerank.toml"
    path.write_text(f"""
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        streamer_group = "{fresh_name("streamer")}"
        ranking_group = "{fresh_name("ranking")}"
        pools_group = "{fresh_name("pools")}"
        partitions = {PARTITIONS}
        [streamer]
        feature_roots = ["{place.root.as_uri()}"]
        uploads_topic = "{fresh_name("uploads")}"
        scored_topic = "{fresh_name("scored")}"
        max_feature_bytes = {MAX_FEATURE_BYTES}
        inference_threads = 1
        tuning_s = 0
        [ranking]
        database_url = "sqlite:///{tmp_path / "view.db"}"
        index_folder = "{tmp_path / "index"}"
        deletions_topic = "{fresh_name("deleted")}"
        [pools]
        engagement_topic = "{fresh_name("engagement")}"
        round_interval_s = 1
    """)
    return path


@dataclass
class Mixture:
    """Good and bad records in any order; what is good and what is bad is known from how each was made."""

    place: Place
    random: Random
    settings: Settings
    good: list[ClipUploaded] = field(default_factory=list)
    bad: int = 0
    to_come: dict[Path, bytes] = field(default_factory=dict)
    mistyped: list[str] = field(default_factory=list)
    records: list[OutgoingRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.contents = [
            encode_features(random_features(DURATION_S, modalities=MODALITIES, seed=n)) for n in range(GOOD // 10)
        ]
        self.files = [self.place.file(content) for content in self.contents]

    def clip(self, clip_id: str, features: FeatureFile) -> ClipUploaded:
        challenge = f"challenge-{self.random.randrange(CHALLENGES)}"
        return msgspec.structs.replace(upload(clip_id, features), challenge_id=challenge)

    def add(self, clip_id: str, value: bytes | None, challenge: str | None = None) -> None:
        by = challenge or f"challenge-{self.random.randrange(CHALLENGES)}"
        topic = self.settings.streamer.uploads_topic
        self.records.append(OutgoingRecord(topic, clip_id.encode(), value, (("trace", b"\x01"),), partition_by=by))

    def add_good(self) -> None:
        for number in range(GOOD):
            clip = self.clip(f"good-{number}", self.random.choice(self.files))
            self.good.append(clip)
            self.add(clip.clip_id, encode(clip), clip.challenge_id)

    def add_cases(self) -> None:
        for case in CASES.values():
            event = bad_upload(case, self.place)
            self.add("bad", event if isinstance(event, bytes) else encode(event))
            self.bad += 1

    def add_corrupt_records(self) -> None:
        """Noise, and events cut anywhere: no beginning of a MessagePack map is one."""
        for number in range(CORRUPT):
            whole = encode(self.clip(f"cut-{number}", self.files[0]))
            noise = b"\xc1" + self.random.randbytes(self.random.randrange(300))
            cut = whole[: self.random.randrange(1, len(whole))]
            self.add(f"corrupt-{number}", self.random.choice([noise, cut, None, b""]))
            self.bad += 1

    def add_corrupt_files(self) -> None:
        """Truncated files, and files with one flipped bit that their checksum reveals."""
        for number in range(CORRUPT_FILES):
            content = bytearray(self.random.choice(self.contents))
            sha256 = hashlib.sha256(content).hexdigest()
            if self.random.random() < 0.5:
                del content[self.random.randrange(len(content)) :]
                file = self.place.file(bytes(content))
            else:
                content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
                file = msgspec.structs.replace(self.place.file(bytes(content)), sha256=sha256)
            clip = self.clip(f"corrupt-file-{number}", file)
            self.add(clip.clip_id, encode(clip), clip.challenge_id)
            self.bad += 1

    def add_repairable(self) -> None:
        for number in range(FILES_TO_COME):
            path = self.place.root / f"to-come-{number}.safetensors"
            self.to_come[path] = self.contents[number]
            clip = self.clip(f"to-come-{number}", FeatureFile(path.as_uri()))
            self.add(clip.clip_id, encode(clip), clip.challenge_id)
        for number in range(MISTYPED):
            clip = self.clip(f"mistyped-{number}", self.files[0])
            self.mistyped.append(clip.clip_id)
            event = json.loads(encode_json(clip)) | {"duration_s": "ten"}
            self.add(clip.clip_id, msgspec.msgpack.encode(event), clip.challenge_id)
        self.bad += FILES_TO_COME + MISTYPED

    def add_garbage(self, topic: str) -> None:
        for _ in range(GARBAGE):
            noise = self.random.choice([b"\xc1", b"{", b"\x85"]) + self.random.randbytes(self.random.randrange(50))
            self.records.append(OutgoingRecord(topic, self.random.randbytes(5), noise + b"\xc1"))

    def add_engagement(self) -> None:
        topic = self.settings.pools.engagement_topic
        for clip in self.good:
            event = EngagementObserved(clip_id=clip.clip_id, observed_at_ms=clip.uploaded_at_ms, likes=1, comments=0,
                                       reposts=0, views=9)  # fmt: skip
            self.records.append(OutgoingRecord(topic, clip.clip_id.encode(), encode(event)))
        self.add_garbage(topic)


def dead_letters_of(settings: Settings, topic: str) -> list[DeadLetter]:
    dead_letters = DeadLetters(settings)
    return [dead_record for dead_record, _ in dead_letters.read(dead_letters.topics(topic))]


def scored_ids(connection: KafkaConnection, topic: str) -> Counter[str]:
    """How often each clip is in the log, garbage aside."""
    with closing(KafkaSource(connection, [topic], group=None)) as source:
        records = list(read_to_end(source, SystemClock(), patience_s=5.0, progress=lambda *_: None))
    clips, garbage = [], 0
    for record in records:
        try:
            clips.append(decode(record.value, ClipScored))
        except DancerankError:
            garbage += 1
    assert garbage == GARBAGE
    return Counter(clip.clip_id for clip in clips)


def run(config: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["dead-letters", *arguments, "--config", str(config)])
    assert result.exit_code == 0, result.output
    return result.output


def all_is_read(settings: Settings, connection: KafkaConnection) -> bool:
    """Whether the streamer has committed, with results and dead letters, all that is on its topic."""
    ends = partition_ends(connection, [settings.streamer.uploads_topic])
    done = committed_offsets(connection, settings.kafka.streamer_group)
    return all(done.get(at, 0) >= place.end for at, place in ends.items())


def test_poison_is_dead_lettered_exactly_once_and_repaired_records_are_processed(
    bundle: Bundle, place: Place, config: Path, kafka_connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    settings = load_settings(config)
    uploads, scored = settings.streamer.uploads_topic, settings.streamer.scored_topic
    mixture = Mixture(place, Random(5), settings)
    for add in (mixture.add_good, mixture.add_cases, mixture.add_corrupt_records, mixture.add_corrupt_files):
        add()
    mixture.add_repairable()
    mixture.add_engagement()
    mixture.add_garbage(scored)
    mixture.random.shuffle(mixture.records)

    with run_embedded(
        Processes(settings, connection=kafka_connection, bundle=bundle, observer=Observer()), with_pools=True
    ) as system:
        system.await_ready()
        send(system, mixture.records)
        system.await_clips(GOOD)
        system.await_observed(GOOD)
        wait_until(lambda: all_is_read(settings, kafka_connection))
        wait_until(lambda: len(dead_letters_of(settings, settings.pools.engagement_topic)) >= GARBAGE)
        assert system.replica.index.clips() == GOOD

        dead_letters = dead_letters_of(settings, uploads)
        assert (
            len(dead_letters)
            == mixture.bad
            == len({(dead_record.source, dead_record.source_offset) for dead_record in dead_letters})
        )
        assert counted(run(config, "list", "--topic", uploads)) == mixture.bad

        for path, content in mixture.to_come.items():
            path.write_bytes(content)
        output = run(config, "replay", "--topic", uploads, "--reason", "feature_file_missing", "--yes")
        assert f"{FILES_TO_COME + 1} dead letters put back" in output  # one of the catalogue stays absent
        for dead_record in dead_letters:
            if dead_record.clip_id in mixture.mistyped:
                repair(config, dead_record, config.parent / "repaired.json")
        repaired = GOOD + FILES_TO_COME + MISTYPED
        system.await_clips(repaired)
        wait_until(lambda: all_is_read(settings, kafka_connection))

    repaired_ids = [f"to-come-{number}" for number in range(FILES_TO_COME)] + mixture.mistyped
    assert scored_ids(kafka_connection, scored) == Counter([clip.clip_id for clip in mixture.good] + repaired_ids)

    dead_letters = dead_letters_of(settings, uploads)
    failed_again = [dead_record for dead_record in dead_letters if dead_record.attempts]
    assert [(dead_record.code, dead_record.attempts, dead_record.original) for dead_record in failed_again] == [
        ("feature_file_missing", 1, (("trace", b"\x01"),))
    ]
    assert len(dead_letters) == mixture.bad + 1
    counts = Counter(
        (dead_record.source, dead_record.source_offset) for dead_record in dead_letters_of(settings, scored)
    )
    assert list(counts.values()) == [2] * GARBAGE  # by the rankings, and by the pools
    assert len(dead_letters_of(settings, settings.pools.engagement_topic)) == GARBAGE
    assert counted(run(config, "list", "--topic", scored)) == GARBAGE  # several dead letters of one record count once


def counted(output: str) -> int:
    """The sum under the counts by reason."""
    return int(re.search(r"│ all +│ +│ +(\d+) │", output)[1])  # type: ignore[index]


def repair(config: Path, dead_record: DeadLetter, file: Path) -> None:
    """As a person would: save, correct, put back."""
    run(config, "show", str(dead_record.id), "--save", str(file))
    file.write_text(file.read_text().replace('"ten"', "4.0"))
    assert "1 dead letter put back" in run(config, "replay", str(dead_record.id), "--value", str(file), "--yes")


def send(system: EmbeddedSystem, records: list[OutgoingRecord]) -> None:
    for record in records:
        system.uploads.send(record)
    system.uploads.flush(30.0)

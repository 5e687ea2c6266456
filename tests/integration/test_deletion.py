"""A deleted clip, asked for on every surface: HTTP, commands, tables, vectors, snapshots, data sets and the log."""

import math
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import load_settings
from dancerank.synthetic import synthesize
from dancerank.topics import create_topics
from dancerank.uploads import send_upload
from ranking.database.tables import metadata
from ranking.serving.api import create_app
from ranking.views.log_records import DELETED_CLIP
from schemas.codec import decode, encode
from schemas.events import ClipDeleted, ClipScored, ClipScoredV3, ClipUploaded, EngagementObserved, embedding_array
from schemas.modalities import DIMENSIONS
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record
from schemas.questions.retrieval import SimilarQuery, uniform_weights
from tests.ranking.serving.test_api import Client
from tests.waiting import wait_until, watching
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, describe_topics, ensure_topics
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import read_uploads

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]

CLIPS = 24
PARTITIONS = 3
QUICK_COMPACTION = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "100",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "100",
}


@pytest.fixture
def config(
    tmp_path: Path, postgresql_url: str, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]
) -> Path:
    path = tmp_path / "dancerank.toml"
    path.write_text(f"""
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        streamer_group = "{fresh_name("streamer")}"
        ranking_group = "{fresh_name("ranking")}"
        pools_group = "{fresh_name("pools")}"
        partitions = {PARTITIONS}
        [streamer]
        uploads_topic = "{fresh_name("uploads")}"
        scored_topic = "{fresh_name("scored")}"
        feature_roots = ["{(tmp_path / "clips").resolve().as_uri()}"]
        guidance_share = 1.0
        tuning_s = 0
        [ranking]
        database_url = "{postgresql_url}"
        deletions_topic = "{fresh_name("deleted")}"
        index_folder = "{tmp_path / "index"}"
        snapshot_interval_s = 3600
        [pools]
        engagement_topic = "{fresh_name("engagement")}"
        decisions_topic = "{fresh_name("decisions")}"
    """)
    return path


@pytest.fixture
def uploads(tmp_path: Path) -> list[ClipUploaded]:
    """Each of a dancer of its own."""
    folder = tmp_path / "clips"
    write_data_set(folder, (clip.labelled() for clip in synthesize(CLIPS, seed=5)))
    now_ms = int(time.time() * 1000)
    return [
        msgspec.structs.replace(upload, dancer_id=f"dancer-of-{upload.clip_id}", uploaded_at_ms=now_ms - 2 * 86_400_000)
        for upload in read_uploads(open_data_set(folder), now_ms=now_ms)
    ]


class Reports(Observer):
    """How many records of deleted clips came to the views."""

    late = 0

    def skipped(self, topic: str, reason: str) -> None:
        self.late += reason == DELETED_CLIP


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def system(config: Path, kafka_connection: KafkaConnection, reports: Reports) -> Iterator[EmbeddedSystem]:
    settings = load_settings(config)
    topic = TopicSpec(name=settings.streamer.scored_topic, partitions=PARTITIONS, config=QUICK_COMPACTION)
    ensure_topics(kafka_connection, [topic])
    bundle = Processes(settings).bundle
    with run_embedded(
        Processes(settings, connection=kafka_connection, bundle=bundle, observer=reports), with_pools=True
    ) as running:
        yield running


class Surfaces:
    """Looks for a clip wherever it could be found. What is left of a deleted one is its id, and nothing else."""

    def __init__(self, system: EmbeddedSystem, config: Path, clip: ClipScored, others: list[ClipUploaded]) -> None:
        self._system, self._config, self._clip = system, config, clip
        self._others = others
        self._http = Client(create_app(system.service, lambda: ("text/plain", b"")))
        self._exports = 0

    def found(self) -> set[str]:
        """Names of the surfaces that know the clip."""
        looks: dict[str, Callable[[], bool]] = {
            "its pages": self._has_pages,
            "answers about others": self._is_in_answers,
            "its pool": self._pool_knows_it,
            "command rankings": lambda: self._says("rankings", self._clip.challenge_id, "-k", "100"),
            "command similar": lambda: self._says("similar", "--clip", self._other_of_challenge(), "-k", "100"),
            "command pools clip": lambda: self._says("pools", "clip", self._clip.clip_id),
            "labels export": self._is_exported,
            "tables": self._is_in_tables,
            "vectors": self._is_among_the_vectors,
            "snapshots": self._is_in_snapshots,
            "log": lambda: bool(records_of(self._system, self._clip.clip_id)),
        }
        return {name for name, look in looks.items() if look()}

    def _other_of_challenge(self) -> str:
        return next(o.clip_id for o in self._others if o.challenge_id == self._clip.challenge_id)

    def _has_pages(self) -> bool:
        clip_id, dancer_id = self._clip.clip_id, self._clip.dancer_id
        paths = [f"clips/{clip_id}", f"clips/{clip_id}/similar", f"dancers/{dancer_id}/similar"]
        statuses = {self._http.get(f"/v1/{path}").status_code for path in paths}
        assert statuses in ({200}, {404})
        return statuses == {200}

    def _is_in_answers(self) -> bool:
        paths = [
            f"/v1/challenges/{self._clip.challenge_id}/rankings?by={dimension}&order={order}&k=100"
            for dimension in DIMENSIONS
            for order in ("top", "bottom")
        ]
        paths += [f"/v1/clips/{other.clip_id}/similar?k=100&include_own=true&group_by=clip" for other in self._others]
        answers = [self._http.get(path) for path in paths]
        assert {answer.status_code for answer in answers} == {200}
        in_text = [self._clip.clip_id in answer.text for answer in answers]
        challenge, attention = (
            self._http.get(f"/v1/challenges{rest}").json() for rest in ("", f"/{self._clip.challenge_id}/attention")
        )
        counted = {each["challenge_id"]: each["clips"] for each in challenge}[self._clip.challenge_id]
        tips = self._http.get(f"/v1/challenges/{self._clip.challenge_id}/tips").json()
        assert counted == attention["clips"] == tips["clips"]
        rivals = sum(other.challenge_id == self._clip.challenge_id for other in self._others)
        assert (counted > rivals) == any(in_text)
        return any(in_text)

    def _pool_knows_it(self) -> bool:
        answer = self._http.get(f"/v1/clips/{self._clip.clip_id}/pool").json()
        assert (answer["state"] == "deleted") == (answer["dancer_id"] is None)
        return bool(answer["state"] != "deleted")

    def _says(self, *arguments: str) -> bool:
        result = CliRunner(env={"COLUMNS": "250"}).invoke(app, [*arguments, "--config", str(self._config)])
        assert result.exit_code == 0, result.output
        return self._clip.dancer_id in result.output

    def _is_exported(self) -> bool:
        self._exports += 1
        target = self._config.parent / f"export{self._exports}"
        arguments = ["labels", "export", str(target), "--fewest-clips", "2", "--least-days", "0"]
        result = CliRunner().invoke(app, [*arguments, "--config", str(self._config)])
        assert result.exit_code == 0, result.output
        return self._clip.clip_id in (target / "clips.csv").read_text()

    def _is_in_tables(self) -> bool:
        """Every value of every table. The samples of scores that tell drift name no clip."""
        numbers = [*self._clip.scores().values(), self._clip.duration_s, float(self._clip.uploaded_at_ms + 1)]
        texts = [self._clip.dancer_id.encode(), *(struct.pack(">d", number) for number in self._clip.scores().values())]
        assert isinstance(self._clip, ClipScoredV3)
        assert self._clip.guidance is not None
        assert self._clip.features is not None
        texts += [self._clip.guidance.magnitudes, self._clip.features.uri.encode()]
        with self._system.replica.database.reading() as connection:
            for table in metadata.sorted_tables:
                for row in connection.execute(sa.select(table)):
                    if any(_shows(value, numbers, texts) for value in row):
                        return True
        return False

    def _is_among_the_vectors(self) -> bool:
        embeddings = {m: embedding_array(one).tolist() for m, one in self._clip.modalities.items()}
        query = SimilarQuery(embeddings=embeddings, weights=uniform_weights(), k=1)
        return math.isclose(self._system.replica.index.similar(query).hits[0].similarity, 1.0, abs_tol=1e-4)

    def _is_in_snapshots(self) -> bool:
        self._system.replica.index.save(self._system.settings.ranking.index_folder)
        files = [path for path in self._system.settings.ranking.index_folder.rglob("*") if path.is_file()]
        content = b"".join(path.read_bytes() for path in files)
        vectors = [_unit(embedding_array(one)) for one in self._clip.modalities.values()]
        return any(sought in content for sought in (self._clip.dancer_id.encode(), *vectors))


def _shows(value: Any, numbers: list[float], texts: list[bytes]) -> bool:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes | memoryview):
        return any(text in bytes(value) for text in texts)
    return isinstance(value, float) and value in numbers


def _unit(embedding: np.ndarray) -> bytes:
    wide = embedding.astype(np.float64)
    return bytes((wide / np.linalg.norm(wide)).astype(np.float32).tobytes()[:16])


def records_of(system: EmbeddedSystem, clip_id: str) -> list[Record]:
    """What the log still holds under a clip's key, tombstones left out."""
    return [r for r in read_topic(system) if r.key == clip_id.encode() and r.value is not None]


def read_topic(system: EmbeddedSystem) -> list[Record]:
    records: list[Record] = []
    with closing(KafkaSource(system.connection, [system.settings.streamer.scored_topic], group=None)) as source:
        quiet_at_s = time.monotonic() + 1.0
        while time.monotonic() < quiet_at_s:
            if polled := source.poll(max_records=1000, timeout_s=0.2):
                records += polled
                quiet_at_s = time.monotonic() + 1.0
    return records


class Traffic:
    """Uploads go on: a partition is compacted up to its newest segment, and a new one begins with a record."""

    def __init__(self, system: EmbeddedSystem, uploads: list[ClipUploaded], challenge_id: str) -> None:
        self._system, self._uploads = system, uploads
        self._model = next(upload for upload in uploads if upload.challenge_id == challenge_id)

    def go_on(self) -> None:
        """One more into the partition of the challenge."""
        name = f"later{len(self._uploads)}"
        upload = msgspec.structs.replace(self._model, clip_id=name, dancer_id=f"dancer-of-{name}")
        self._uploads.append(upload)
        self._system.send([upload])


def test_a_deleted_clip_is_on_no_surface_and_a_late_upload_does_not_bring_it_back(
    system: EmbeddedSystem, uploads: list[ClipUploaded], config: Path, reports: Reports
) -> None:
    settings, sink = system.settings, system.uploads
    system.send(uploads)
    system.await_clips(CLIPS)
    for number, upload in enumerate(uploads):
        seen = EngagementObserved(clip_id=upload.clip_id, observed_at_ms=upload.uploaded_at_ms + 86_400_000,
                                  likes=number, comments=1, reposts=0, views=100)  # fmt: skip
        sink.send(OutgoingRecord(settings.pools.engagement_topic, upload.clip_id.encode(), encode(seen)))
    sink.flush(10.0)
    system.await_observed(CLIPS)

    victim, others = uploads[0], uploads[1:]
    system.replica.index.save(settings.ranking.index_folder)
    (written,) = records_of(system, victim.clip_id)
    surfaces = Surfaces(system, config, decode(written.value, ClipScored), others)
    assert surfaces.found() == {
        "its pages", "answers about others", "its pool", "command rankings", "command similar", "command pools clip",
        "labels export", "tables", "vectors", "snapshots", "log",
    }  # fmt: skip

    removal = ClipDeleted(clip_id=victim.clip_id, reason="asked for")
    sink.send(OutgoingRecord(settings.ranking.deletions_topic, victim.clip_id.encode(), encode(removal)))
    sink.flush(10.0)
    wait_until(lambda: system.replica.index.clips() == CLIPS - 1, watching(system.raise_failures))
    wait_until(lambda: system.service.pooled_clip(victim.clip_id).state == "deleted", watching(system.raise_failures))
    wait_until(lambda: sum(system.replica.store.generations().values()) == CLIPS - 1, watching(system.raise_failures))

    traffic = Traffic(system, others, victim.challenge_id)

    def assert_gone() -> None:
        wait_until(lambda: not records_of(system, victim.clip_id), traffic.go_on)
        system.await_clips(len(others))
        for _ in range(2):  # of two snapshots that are kept
            system.replica.index.save(settings.ranking.index_folder)
        assert surfaces.found() == set()

    assert_gone()
    assert reports.late == 0
    send_upload(sink, settings.streamer.uploads_topic, victim)
    traffic.go_on()
    wait_until(lambda: reports.late >= 2, watching(system.raise_failures))  # both views have come to it
    assert_gone()


def test_the_log_is_compacted_in_time_and_deletions_are_kept_for_ever(
    config: Path, kafka_connection: KafkaConnection
) -> None:
    settings = load_settings(config)
    create_topics(settings, kafka_connection)
    scored, deletions = settings.streamer.scored_topic, settings.ranking.deletions_topic
    topics = describe_topics(kafka_connection, [scored, deletions])
    assert topics[scored].config["cleanup.policy"] == "compact"
    assert topics[scored].config["max.compaction.lag.ms"] == str(7 * 86_400_000)
    assert topics[deletions].config["cleanup.policy"] == "delete"
    assert topics[deletions].config["retention.ms"] == topics[deletions].config["retention.bytes"] == "-1"

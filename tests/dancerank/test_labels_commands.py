"""``dancerank labels``: data sets from observed reactions."""

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.commands.options import parse_moment
from dancerank.processes import Processes
from dancerank.uploads import send_clips
from ranking.scores.observations import ObservedClip
from schemas.errors import ConfigurationError
from schemas.events import ClipUploaded, FeatureFile
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import OutgoingRecord
from tests.clips import random_features, upload
from tests.ranking.databases import migrated
from tests.ranking.scores.observed_rows import UPLOADED_AT_MS, observed, write_observed
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from vdv.checking import check_data_set
from vdv.folder import open_data_set
from vdv.targets import targets

DAY_MS = 86_400_000


class Platform:
    """An uploads topic, a database and a folder of feature files, as the settings in ``config`` name them."""

    def __init__(self, folder: Path, connection: KafkaConnection, topic: str) -> None:
        self.files = folder / "features"
        self.files.mkdir()
        self.database = folder / "dancerank.db"
        self.target = folder / "training"
        self.config = folder / "dancerank.toml"
        self.config.write_text(
            f'[streamer]\nuploads_topic = "{topic}"\nfeature_roots = ["{self.files.as_uri()}"]\n'
            f'[ranking]\ndatabase_url = "sqlite:///{self.database}"\n'
        )
        self._connection, self._topic = connection, topic

    def send(self, uploads: Iterable[ClipUploaded]) -> None:
        with closing(KafkaSink(self._connection)) as sink:
            send_clips(sink, self._topic, uploads, 10.0)

    def send_raw(self, value: bytes) -> None:
        with closing(KafkaSink(self._connection)) as sink:
            sink.send(OutgoingRecord(self._topic, b"key", value))
            sink.flush(10.0)

    def observe(self, rows: Iterable[ObservedClip]) -> None:
        with migrated(f"sqlite:///{self.database}") as database:
            write_observed(database, rows)

    def stored(self, clip_id: str, features: ClipFeatures, *, checksum: bool = True) -> FeatureFile:
        content = encode_features(features)
        path = self.files / f"{clip_id}.safetensors"
        path.write_bytes(content)
        return FeatureFile(path.as_uri(), hashlib.sha256(content).hexdigest() if checksum else None)

    def export(self, *options: str) -> tuple[int, str]:
        return run("labels", "export", str(self.target), "--config", str(self.config), *options)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def platform(
    tmp_path: Path,
    embedded_broker: KafkaConnection,
    fresh_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Platform:
    monkeypatch.setattr(Processes, "connection", embedded_broker)
    return Platform(tmp_path, embedded_broker, fresh_name("uploads"))


def features_of(seed: int, **choices: Any) -> ClipFeatures:
    return random_features(3.0, **({"seed": seed, "modalities": (Modality.SKELETAL, Modality.SCENIC)} | choices))


def observed_clips(count: int = 12, *, challenges: int = 2, **changes: Any) -> list[ObservedClip]:
    """Clips of some challenges and four dancers whose counts and ages differ."""
    return [
        observed(
            f"clip-{i:02d}",
            f"challenge-{i % challenges}",
            dancer_id=f"dancer-{i % 4}",
            duration_s=3.0 + i / 8,
            uploaded_at_ms=UPLOADED_AT_MS + i * DAY_MS,
            **({"likes": 3**i % 1000, "reposts": i, "days_online": 1.0 + i * 0.83, "views": 100 * i} | changes),
        )
        for i in range(count)
    ]


def upload_of(row: ObservedClip, features: ClipFeatures | FeatureFile) -> ClipUploaded:
    assert row.upload is not None
    return msgspec.structs.replace(upload(row.clip_id, features), **row.upload._asdict())


def test_help_explains_every_option() -> None:
    code, output = run("labels", "export", "--help")
    assert code == 0
    options = re.findall(r"^│[ *]+(?:\S+ +)?(--[a-z-]+)(.*)│$", output, flags=re.MULTILINE)
    assert len(options) >= 7
    for option, text in options:
        assert len(re.findall(r"[a-z]{2,}", text)) >= 3, f"{option} is not explained"


def test_what_was_observed_becomes_a_data_set_that_passes_the_check_and_can_be_divided(platform: Platform) -> None:
    rows = observed_clips()
    features = {
        row.clip_id: features_of(
            i,
            modalities=FUSED_MODALITIES[: 1 + i % 4] if i < 4 else (Modality.SKELETAL,),
            dtype=(np.float16, np.float32)[i % 2],
        )
        for i, row in enumerate(rows)
    }
    sources = {
        row.clip_id: platform.stored(row.clip_id, features[row.clip_id]) if i % 3 else features[row.clip_id]
        for i, row in enumerate(rows)
    }
    platform.observe(rows)
    platform.send(upload_of(row, sources[row.clip_id]) for row in rows)
    code, output = platform.export()
    assert (code, "training: 12 clips in 2 challenges" in output) == (0, True), output
    assert "left out" not in output

    data = open_data_set(platform.target)
    assert not check_data_set(data).findings
    by_id = {annotation.clip_id: annotation for annotation in data.annotations}
    assert sorted(by_id) == [row.clip_id for row in rows]
    scores: dict[str, float] = {}
    for row in rows:
        annotation, made = by_id[row.clip_id], features[row.clip_id]
        assert row.upload is not None
        known = ("dancer_id", "challenge_id", "uploaded_at_ms", "duration_s")
        assert tuple(getattr(annotation, name) for name in known) == row.upload
        counted = ("likes", "comments", "reposts", "days_online", "views")
        assert [getattr(annotation, name) for name in counted] == [getattr(row, name) for name in counted]
        assert (annotation.split, annotation.fold, annotation.score) == (None, None, None)
        written = data.features(annotation)
        assert (written.joint_layout, written.modalities) == (made.joint_layout, made.modalities)
        for modality, frames in made.frames.items():
            assert written.frames[modality].dtype == frames.dtype
            assert written.frames[modality].tobytes() == frames.tobytes()
        reactions = row.likes + row.comments + row.reposts
        scores[row.clip_id] = math.log((reactions + 1) / min(max(row.days_online, 1.0), 7.0), 2)

    found = targets(data.annotations)
    for annotation, raw, normalised in zip(data.annotations, *found, strict=True):
        rivals = [scores[row.clip_id] for row in rows if row.upload and row.upload[1] == annotation.challenge_id]
        own = scores[annotation.clip_id]
        assert raw == pytest.approx(own, abs=1e-12)
        assert normalised == pytest.approx((own - min(rivals)) / (max(rivals) - min(rivals)), abs=1e-12)

    assert run("data", "split", str(platform.target))[0] == 0
    assert run("data", "check", str(platform.target))[0] == 0


def test_deleted_clips_are_not_exported_though_their_upload_is_in_the_topic(platform: Platform) -> None:
    rows = observed_clips(7, challenges=1)
    platform.observe(rows[:6])
    platform.send(upload_of(row, features_of(i)) for i, row in enumerate(rows))
    assert platform.export()[0] == 0
    assert not list(platform.target.glob("**/*clip-06*"))
    assert "clip-06" not in (platform.target / "clips.csv").read_text()


def test_what_cannot_be_exported_is_counted_by_reason_and_named(platform: Platform) -> None:
    rows = [row._replace(days_online=0.25 if i in (0, 1) else 2.0) for i, row in enumerate(observed_clips(16))]
    files = {row.clip_id: platform.stored(row.clip_id, features_of(i)) for i, row in enumerate(rows)}
    platform.observe([*rows, observed("stranger", upload=None)])
    (platform.files / "clip-02.safetensors").unlink()
    (platform.files / "clip-03.safetensors").write_bytes(encode_features(features_of(99)))
    (platform.files / "clip-04.safetensors").write_bytes(b"no safetensors")
    files["clip-04"] = FeatureFile(files["clip-04"].uri)
    files["clip-05"] = FeatureFile("file:///etc/hostname")
    platform.send(upload_of(row, files[row.clip_id]) for row in rows if row.clip_id != "clip-15")
    platform.send_raw(b'{"schema": "clip-uploaded/1"}')
    code, output = platform.export("--fewest-clips", "2")
    assert code == 0, output
    assert "training: 9 clips in 2 challenges" in output
    assert "left out: 8 clips" in output
    assert re.search(r"2  reactions counted too early.*\n +clip-00: at 0.25 days\n +clip-01: at 0.25 days", output)
    assert re.search(r"1  not in the ranking.*\n +stranger", output)
    assert re.search(r"1  upload no longer in the topic\n +clip-15", output)
    assert re.search(r"4  features cannot be read\n +clip-02: .*No such file", output)
    assert re.search(r"clip-04: .*(truncated|unreadable)", output)
    assert "1 record of the uploads topic could not be read" in output
    assert "Traceback" not in output
    assert not check_data_set(open_data_set(platform.target)).findings


def test_a_changed_file_is_distinguished_from_a_good_one_by_its_checksum(platform: Platform) -> None:
    rows = observed_clips(5, challenges=1)
    files = [platform.stored(row.clip_id, features_of(i)) for i, row in enumerate(rows)]
    platform.observe(rows)
    changed = bytearray((platform.files / "clip-03.safetensors").read_bytes())
    changed[-1] ^= 1
    (platform.files / "clip-03.safetensors").write_bytes(changed)
    decode_features(bytes(changed))
    platform.send(upload_of(row, file) for row, file in zip(rows, files, strict=True))
    code, output = platform.export("--fewest-clips", "4")
    assert (code, "training: 4 clips" in output) == (0, True)
    assert re.search(r"1  features cannot be read\n +clip-03: .*checksum", output)


def test_the_newest_upload_of_a_clip_is_the_one_that_the_ranking_holds(platform: Platform) -> None:
    rows = observed_clips(5, challenges=1)
    platform.observe(rows)
    for earlier_ms in (20, 10):
        earlier = [upload_of(row, features_of(earlier_ms + i)) for i, row in enumerate(rows)]
        platform.send(msgspec.structs.replace(e, uploaded_at_ms=e.uploaded_at_ms - earlier_ms) for e in earlier)
    platform.send(upload_of(row, features_of(i)) for i, row in enumerate(rows))
    assert platform.export()[0] == 0
    data = open_data_set(platform.target)
    for i, annotation in enumerate(sorted(data.annotations, key=lambda a: a.clip_id)):
        np.testing.assert_array_equal(
            data.features(annotation).frames[Modality.SKELETAL], features_of(i).frames[Modality.SKELETAL]
        )


def test_challenges_time_and_age_narrow_what_is_exported(platform: Platform, tmp_path: Path) -> None:
    rows = observed_clips(12)
    platform.observe(rows)
    platform.send(upload_of(row, features_of(i)) for i, row in enumerate(rows))
    code, output = platform.export("--challenge", "challenge-1")
    assert (code, "6 clips in 1 challenge\n" in output) == (0, True), output

    platform.target = tmp_path / "both"
    both = ("--challenge", "challenge-1", "--challenge", "challenge-0", "--fewest-clips", "2")
    code, output = platform.export(*both, "--since", "2023-11-18T22:13:20", "--least-days", "6")
    assert (code, "both: 5 clips in 2 challenges" in output) == (0, True), output
    assert {a.clip_id for a in open_data_set(platform.target).annotations} == {f"clip-{i:02d}" for i in range(7, 12)}

    platform.target = tmp_path / "none"
    code, output = platform.export("--challenge", "challenge-1", "--challenge", "chalenge-0")
    assert (code, "'chalenge-0'; of those with counts: challenge-0, challenge-1" in output) == (1, True)
    assert not platform.target.exists()


def test_dates_are_utc_unless_they_say() -> None:
    assert parse_moment("2023-11-14T22:13:20", "since") == UPLOADED_AT_MS
    assert parse_moment("2023-11-14T23:13:20+01:00", "since") == UPLOADED_AT_MS
    assert parse_moment("2023-11-14", "since") == UPLOADED_AT_MS - (22 * 3600 + 13 * 60 + 20) * 1000
    with pytest.raises(ConfigurationError, match="--since 'yesterday'"):
        parse_moment("yesterday", "since")


def test_a_folder_that_holds_a_data_set_is_left_alone(platform: Platform) -> None:
    platform.observe(observed_clips())
    platform.target.mkdir()
    (platform.target / "clips.csv").write_text("mine")
    code, output = platform.export()
    assert (code, "is there already" in output) == (1, True)
    assert (platform.target / "clips.csv").read_text() == "mine"


def test_a_target_that_is_a_file_is_answered_with_a_sentence(platform: Platform) -> None:
    rows = observed_clips()
    platform.observe(rows)
    platform.send(upload_of(row, features_of(i)) for i, row in enumerate(rows))
    platform.target.write_text("not a folder")
    code, output = platform.export()
    assert (code, "training cannot be made" in output, "Traceback" in output) == (1, True, False)


def test_nothing_left_is_an_error_that_says_why_and_nothing_is_written(platform: Platform) -> None:
    platform.observe(observed_clips(6, days_online=0.5))
    code, output = platform.export()
    assert (code, "error (data_set)" in output, "Traceback" in output) == (1, True, False)
    assert re.search(r"nothing was written; left out:\n +6  reactions counted too early", output)
    platform.send([upload_of(observed("somebody-else"), features_of(1))])
    code, output = platform.export("--least-days", "0")
    assert (code, "6  upload no longer in the topic" in output) == (1, True), output
    assert not platform.target.exists()


def test_a_database_without_counts_is_an_error_that_says_who_writes_them(platform: Platform) -> None:
    code, output = platform.export()
    assert (code, "no observations in sqlite:///" in output) == (1, True)
    assert not platform.database.exists()
    platform.database.touch()
    code, output = platform.export()
    assert (code, "is empty; dancerank rank and dancerank pools run fill it" in output) == (1, True)
    platform.observe([])
    code, output = platform.export()
    assert (code, "nothing was observed" in output, "dancerank pools run" in output) == (1, True, True)
    assert not platform.target.exists()


def test_an_absent_topic_is_named_and_not_created(
    platform: Platform, embedded_broker: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = msgspec.structs.replace(embedded_broker, topics_on_demand=False)
    monkeypatch.setattr(Processes, "connection", closed)
    platform.observe(observed_clips())
    code, output = platform.export()
    assert (code, bool(re.search(r"error \(transport\): no topic uploads-\w+", output))) == (1, True), output
    assert not platform.target.exists()


def test_wrong_options_are_answered_with_a_sentence(platform: Platform) -> None:
    platform.observe(observed_clips())
    for options, named in (
        (("--joint-layout", "stick-figure"), "no joint layout is called 'stick-figure'"),
        (("--since", "lately"), "--since 'lately' is not a date"),
        (("--least-days", "nan"), "least_days is nan"),
        (("--fewest-clips", "0"), "fewest_clips is 0"),
    ):
        code, output = platform.export(*options)
        assert (code, named in output, "Traceback" in output) == (1, True, False), output

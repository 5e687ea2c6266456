"""Uploads that cannot be processed are dead-lettered with a reason to act on; others are not affected."""

import hashlib
import json
import struct
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from schemas.bundle import Bundle
from schemas.codec import decode, encode
from schemas.events import ClipScored, ClipUploaded, ClipUploadedV3, FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import PAPER_MODALITIES, Modality
from schemas.ports import OutgoingRecord, Record
from streamer.assembly import open_streamer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.settings import StreamerSettings
from tests.clips import random_features, upload
from tests.small_bundle import small_bundle
from tests.streaming import DEAD, UPLOADS, Log, process, quick_settings, running
from tests.waiting import wait_until
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic, reason
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

S, H, F, B = PAPER_MODALITIES
BAD = "bad-clip"
MAX_FEATURE_BYTES = 2_000_000
DURATION_S = 3.0
MODALITIES = (S, B, H)
"""What the bundle of these tests scores: no facial stream, so that a clip with a face alone is not usable."""

GOOD = random_features(DURATION_S, modalities=MODALITIES, seed=1)
METADATA = {
    "schema": "clip-features/1",
    "joint_layout": "mpii-16",
    **{f"frame_rate_hz.{m}": f"{rate:g}" for m, rate in ((S, 25), (H, 25), (F, 3), (B, 4))},
}


@dataclass
class Place:
    """Where feature files may lie, and a folder beside it where they may not."""

    root: Path
    outside: Path

    def file(self, content: bytes) -> FeatureFile:
        path = self.root / f"{uuid.uuid4().hex}.safetensors"
        path.write_bytes(content)
        return FeatureFile(path.as_uri())

    def secret(self) -> Path:
        path = self.outside / "secret.safetensors"
        path.write_bytes(encode_features(GOOD))
        return path


def tensors(metadata: dict[str, str] = METADATA, **arrays: np.ndarray) -> bytes:
    """A feature file that need not be valid."""
    return safetensors.numpy.save(arrays, metadata)


def poses(steps: int = 75, joints: int = 16, value: float = 0.5) -> np.ndarray:
    return np.full((steps, joints, 2), value, np.float16)


def with_value(value: float) -> bytes:
    array = np.zeros((12, 512), np.float16)
    array[7, 3] = value
    return tensors(scenic=array)


def breaking() -> bytes:
    """A good clip but for one value that the small bundle answers with NaN."""
    array = GOOD.frames[B].copy()
    array[7, 3] = 60_000.0
    return tensors(scenic=array)


def edited(**fields: object) -> bytes:
    """A good event as JSON, with fields replaced."""
    event = json.loads(msgspec.json.encode(upload(BAD, GOOD)))
    return json.dumps(event | fields).encode()


def routine(features: ClipFeatures) -> bytes:
    """An upload of 61 s."""
    clip = msgspec.structs.asdict(upload(BAD, features))
    return encode(ClipUploadedV3(**clip | {"duration_s": 61.0}))


def link(place: Place) -> FeatureFile:
    (place.root / "link").symlink_to(place.secret())
    return FeatureFile(f"{place.root.as_uri()}/link")


def parent(place: Place) -> FeatureFile:
    place.secret()
    return FeatureFile(f"{place.root.as_uri()}/../outside/secret.safetensors")


@dataclass(frozen=True)
class Case:
    """What is uploaded, and what the dead letter has to say."""

    make: Callable[[Place], FeatureFile | InlineFeatures | bytes]
    code: str
    says: str
    field: str | None = None
    clip_id: str | None = BAD


CASES = {
    "malformed event": Case(lambda _: b"\x93no map", "malformed_event", "object", clip_id=None),
    "no value at all": Case(lambda _: b"", "malformed_event", "no value", clip_id=None),
    "mistyped field": Case(
        lambda _: edited(duration_s="ten"), "malformed_event", "Expected `float`", field="duration_s"
    ),
    "missing field": Case(lambda _: b'{"schema":"clip-uploaded/1","clip_id":"bad-clip"}', "malformed_event", "missing"),
    "unknown schema version": Case(
        lambda _: edited(schema="clip-uploaded/9"), "unknown_schema_version", "clip-uploaded/1", field="schema"
    ),
    "event of another topic": Case(
        lambda _: b'{"schema":"clip-deleted/1","clip_id":"bad-clip","reason":""}',
        "malformed_event",
        "does not belong on this topic",
        field="schema",
    ),
    "missing file": Case(
        lambda place: FeatureFile(f"{place.root.as_uri()}/absent"), "feature_file_missing", "No such file"
    ),
    "oversized file": Case(
        lambda place: place.file(bytes(MAX_FEATURE_BYTES + 1)), "feature_file_oversized", str(MAX_FEATURE_BYTES)
    ),
    "truncated file": Case(
        lambda place: place.file(encode_features(GOOD)[:-100]), "feature_file_corrupt", "safetensors"
    ),
    "file cut within its header": Case(
        lambda place: place.file(encode_features(GOOD)[:20]), "feature_file_corrupt", "truncated"
    ),
    "empty file": Case(lambda place: place.file(b""), "feature_file_corrupt", "truncated"),
    "pickled file": Case(lambda place: place.file(b"\x80\x04cposix\nsystem\n"), "feature_file_corrupt", "safetensors"),
    "checksum mismatch": Case(
        lambda place: msgspec.structs.replace(place.file(encode_features(GOOD)), sha256="0" * 64),
        "feature_file_corrupt",
        "checksum mismatch",
        field="features.sha256",
    ),
    "wrong shape": Case(
        lambda _: InlineFeatures(tensors(skeletal=poses(joints=17))),
        "feature_shape_invalid",
        "(75, 17, 2)",
        field="skeletal",
    ),
    "wrong number type": Case(
        lambda _: InlineFeatures(tensors(scenic=np.zeros((12, 512), np.int32))),
        "feature_shape_invalid",
        "F16",
        "scenic",
    ),
    "wrong frame rate": Case(
        lambda _: InlineFeatures(tensors(METADATA | {"frame_rate_hz.skeletal": "30"}, skeletal=poses())),
        "feature_shape_invalid",
        "resample skeletal to 25 Hz",
        field="frame_rate_hz.skeletal",
    ),
    "metadata of megabytes": Case(
        lambda place: place.file(
            tensors(METADATA | {"schema": "x" * 1_500_000}, scenic=np.zeros((12, 512), np.float32))
        ),
        "feature_file_corrupt",
        "expected 'clip-features/1'",
        field="schema",
    ),
    "JSON of another shape": Case(
        lambda _: b'[{"schema": "clip-uploaded/1"}]', "malformed_event", "neither a JSON object", clip_id=None
    ),
    "id with a slash": Case(lambda _: edited(dancer_id="a/b"), "malformed_event", "dancer_id", field="dancer_id"),
    "NaN": Case(lambda _: InlineFeatures(with_value(np.nan)), "feature_value_invalid", "step 7", field="scenic"),
    "infinity": Case(lambda _: InlineFeatures(with_value(-np.inf)), "feature_value_invalid", "step 7", field="scenic"),
    "zero frames": Case(
        lambda _: InlineFeatures(tensors(skeletal=poses(steps=0))),
        "feature_shape_invalid",
        "0 time steps",
        field="skeletal",
    ),
    "too many frames": Case(
        lambda _: InlineFeatures(tensors(skeletal=poses(steps=2000))), "feature_shape_invalid", "2000 time steps"
    ),
    "path outside the roots by ..": Case(parent, "feature_file_forbidden", "outside", field="features.uri"),
    "path outside the roots by a link": Case(link, "feature_file_forbidden", "outside", field="features.uri"),
    "plain path": Case(lambda place: FeatureFile(str(place.root / "x")), "feature_file_forbidden", "write 'file://"),
    "other scheme": Case(lambda _: FeatureFile("http://example.org/x"), "feature_file_forbidden", "allowed: file"),
    "no usable modality": Case(
        lambda _: InlineFeatures(encode_features(random_features(DURATION_S, modalities=(F,)))),
        "no_usable_modality",
        "only facial",
    ),
    "routine for a bundle without that stream": Case(
        lambda _: routine(random_features(61.0, modalities=(Modality.ROUTINE,))), "no_usable_modality", "only routine"
    ),
    "long clip without a routine": Case(
        lambda _: routine(random_features(60.0, modalities=(B,))), "no_usable_modality", "60 s is scored by routine"
    ),
    "long clip in the version of short ones": Case(
        lambda _: edited(duration_s=61.0), "malformed_event", "Expected `float` <= 60", field="duration_s"
    ),
    "no tensor": Case(lambda _: InlineFeatures(tensors()), "no_usable_modality", "no tensor"),
    "unknown joint layout": Case(
        lambda _: InlineFeatures(tensors(METADATA | {"joint_layout": "blender"}, skeletal=poses())),
        "feature_shape_invalid",
        "coco-17",
        field="joint_layout",
    ),
    "only an unknown tensor": Case(
        lambda _: InlineFeatures(tensors(olfactory=np.zeros((3, 4), np.float32))),
        "no_usable_modality",
        "holds only olfactory",
    ),
    "tensor that cannot be a modality": Case(
        lambda _: InlineFeatures(tensors(**{"Skeletal": np.zeros((3, 4), np.float32)})),
        "feature_shape_invalid",
        "does not name a modality",
        field="Skeletal",
    ),
    "features that break inference": Case(
        lambda _: InlineFeatures(breaking()), "inference_failed", "not a finite number"
    ),
    "features that no recording gives": Case(
        lambda _: InlineFeatures(tensors(skeletal=poses())), "features_implausible", "rule 'extent'", field="skeletal"
    ),
    "header that claims more than memory": Case(
        lambda place: place.file(struct.pack("<Q", 1 << 62) + b"{}"), "feature_file_corrupt", "truncated"
    ),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(
        tmp_path_factory.mktemp("bundle"), modalities=tuple(sorted(MODALITIES, key=list(Modality).index))
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    return Place(tmp_path / "root", tmp_path / "outside")


def settings(place: Place) -> StreamerSettings:
    return quick_settings(
        feature_roots=(place.root.as_uri(),),
        max_feature_bytes=MAX_FEATURE_BYTES,
        max_batch_clips=8,
        max_batch_wait_s=0.2,
    )


def neighbours() -> list[ClipUploaded]:
    """Clips of the length of the bad ones, so that they share their batch."""
    return [upload(f"good-{n}", random_features(DURATION_S, modalities=MODALITIES, seed=n)) for n in range(4)]


def bad_upload(case: Case, place: Place) -> ClipUploaded | bytes:
    made = case.make(place)
    return made if isinstance(made, bytes) else upload(BAD, made)


def without_time(clips: list[ClipScored]) -> list[ClipScored]:
    return sorted((msgspec.structs.replace(clip, scored_at_ms=0) for clip in clips), key=lambda clip: clip.clip_id)


def expect(dead_record: dict[str, str], case: Case) -> None:
    assert dead_record["code"] == case.code, dead_record
    assert case.says in dead_record["message"], dead_record
    assert dead_record.get("clip_id") == case.clip_id
    assert case.field is None or dead_record["field"] == case.field


def assert_same_results(found: list[ClipScored], expected: list[ClipScored]) -> None:
    """Equal but for the last bits, which may depend on the size of the batch in any matrix product."""
    assert [clip.clip_id for clip in found] == [clip.clip_id for clip in expected]
    for one, other in zip(without_time(found), without_time(expected), strict=True):
        assert one.scores() == pytest.approx(other.scores(), abs=1e-5)
        assert one.missing == other.missing


@pytest.mark.parametrize("name", CASES)
def test_a_bad_upload_is_dead_lettered_and_its_neighbours_come_out_as_without_it(
    name: str, bundle: Bundle, place: Place
) -> None:
    case, good = CASES[name], neighbours()
    alone = Log(partitions=1)
    alone.upload(*good)
    process(alone, alone.streamer(bundle, settings(place)), len(good))

    log = Log(partitions=1)
    log.upload(*good[:2], bad_upload(case, place), *good[2:])
    process(log, log.streamer(bundle, settings(place)), len(good) + 1)

    (dead_record,) = log.dead()
    expect(dead_record, case)
    assert (dead_record["topic"], dead_record["partition"], dead_record["offset"]) == (UPLOADS, "0", "2")
    original = log.broker.records(UPLOADS)[2]
    kept = log.broker.records(DEAD)[0]
    assert (kept.key, kept.value) == (original.key, original.value)
    assert_same_results(
        sorted(log.scored(), key=lambda clip: clip.clip_id), sorted(alone.scored(), key=lambda clip: clip.clip_id)
    )
    assert next(iter(log.committed().values())) == len(good) + 1


def test_a_checksum_that_matches_is_no_error(bundle: Bundle, place: Place) -> None:
    content = encode_features(GOOD)
    file = msgspec.structs.replace(place.file(content), sha256=hashlib.sha256(content).hexdigest())
    log = Log()
    log.upload(upload("good", file))
    process(log, log.streamer(bundle, settings(place)), 1)
    assert log.dead() == []


def test_all_kinds_of_bad_uploads_together_on_the_embedded_broker(
    bundle: Bundle, place: Place, embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topics_here = {"uploads_topic": fresh_name("uploads"), "scored_topic": fresh_name("scored")}
    here = settings(place).model_copy(update=topics_here)
    dead_topic, group = dead_letter_topic(here.uploads_topic), fresh_name("streamers")
    topics = (here.uploads_topic, here.scored_topic, dead_topic)
    ensure_topics(embedded_broker, [TopicSpec(name=name) for name in topics])
    good = neighbours()
    events = [*good[:2], *(bad_upload(case, place) for case in CASES.values()), *good[2:]]

    with (
        closing(KafkaSink(embedded_broker)) as sink,
        closing(KafkaSource(embedded_broker, topics[1:], group=None)) as reader,
    ):
        for event in events:
            value = event if isinstance(event, bytes) else encode(event)
            sink.send(OutgoingRecord(here.uploads_topic, b"all in one partition", value))
        sink.flush(30.0)
        streamer = open_streamer(
            here,
            OnnxRuntime(bundle),
            open_source=lambda listener: KafkaSource(embedded_broker, topics[:1], group=group, listener=listener),
            open_sink=lambda: open_results(embedded_broker, group, TransactionOptions()),
        )
        seen: list[Record] = []

        def all_seen() -> bool:
            seen.extend(reader.poll(max_records=100, timeout_s=0.2))
            return len(seen) >= len(events)

        with running(streamer):
            wait_until(all_seen)

    scored = [decode(record.value, ClipScored) for record in seen if record.topic == here.scored_topic]
    dead_letters = {
        int(r["offset"]): r for r in (reason(record.headers) for record in seen if record.topic == dead_topic)
    }
    assert sorted(clip.clip_id for clip in scored) == [clip.clip_id for clip in good]
    assert sorted(dead_letters) == list(range(2, 2 + len(CASES)))
    for offset, case in enumerate(CASES.values(), start=2):
        expect(dead_letters[offset], case)

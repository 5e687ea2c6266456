"""A result or dead letter that exceeds the topic's limit does not stop the streamer."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from schemas.bundle import Bundle
from schemas.errors import RecordRefused
from schemas.events import ClipUploaded, FeatureFile
from schemas.ports import OutgoingRecord
from tests.clips import random_features, upload
from tests.streaming import DEAD, SCORED, Log, process, quick_settings
from transport.memory import MemoryTransactionalSink

FEATURES = random_features(3.0)


def clips() -> list[ClipUploaded]:
    return [upload(f"clip-{n}", FEATURES) for n in range(3)]


class RefusingSink(MemoryTransactionalSink):
    """Takes no record of the scored topic for one clip, and no dead letter with a value."""

    def check(self, record: OutgoingRecord) -> None:
        if record.key == b"clip-1" and (record.topic == SCORED or record.value):
            raise RecordRefused("too large")
        super().check(record)


def test_a_result_that_the_topic_refuses_is_dead_lettered_if_necessary_without_the_record(bundle: Bundle) -> None:
    log = Log()
    log.upload(*clips())
    process(log, log.streamer(bundle, quick_settings(), sink=RefusingSink(log.broker)), 3)
    (dead_record,) = log.broker.records(DEAD)
    assert (dead_record.key, dead_record.value) == (b"clip-1", b"")
    assert log.dead()[0]["code"] == "record_refused"
    assert sorted(clip.clip_id for clip in log.scored()) == ["clip-0", "clip-2"]


class SmallTopicSink(MemoryTransactionalSink):
    """Takes records of up to 100 kB with their headers, as Kafka counts them."""

    def check(self, record: OutgoingRecord) -> None:
        headers = sum(len(name) + len(content) for name, content in record.headers)
        if len(record.key or b"") + len(record.value or b"") + headers > 100_000:
            raise RecordRefused("too large")
        super().check(record)


def test_a_file_with_huge_metadata_is_dead_lettered_with_a_short_message(bundle: Bundle, feature_root: Path) -> None:
    metadata = {"schema": "x" * 2_000_000}
    (feature_root / "huge").write_bytes(safetensors.numpy.save({"scenic": np.zeros((4, 512), np.float32)}, metadata))
    log = Log()
    log.upload(upload("bad", FeatureFile(f"{feature_root.as_uri()}/huge")), *clips())
    settings = quick_settings(feature_roots=(feature_root.as_uri(),))
    process(log, log.streamer(bundle, settings, sink=SmallTopicSink(log.broker)), 4)
    (dead_record,) = log.dead()
    assert (dead_record["code"], dead_record["field"], dead_record["clip_id"]) == (
        "feature_file_corrupt",
        "schema",
        "bad",
    )
    assert len(dead_record["message"]) < 300
    assert len(log.scored()) == 3

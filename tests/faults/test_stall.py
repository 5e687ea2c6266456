"""A model or a feature store that stands still: reading pauses, the group keeps the member, memory stays flat."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.pipeline import settings_for
from dancerank.settings import Settings
from dancerank.topics import create_topics
from dancerank.uploads import send_clips
from schemas.events import ClipUploaded, FeatureFile
from schemas.features import encode_features
from schemas.modalities import Modality
from streamer.settings import StreamerSettings
from tests.clips import random_features, upload
from tests.faults.stalling import Running, Stalling, running
from tests.integration.scored_log import read_log
from tests.small_bundle import write_small_bundle
from tests.waiting import wait_until, watching
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.group_offsets import Member, committed_offsets, members_of, partition_ends
from transport.kafka_sink import KafkaSink

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

MIB = 1024 * 1024
LIMIT_BYTES = 8 * MIB
MARGIN_BYTES = 24 * MIB
"""For what is in flight at other places: Kafka's answers, 1 MiB a partition, results that wait, and the allocator."""
FLAT_BYTES = 4 * MIB
CLIPS = 360
PARTITIONS = 2
WARM_UP = 24
SESSION_S = 6.0
STALL_S = 8.0


@pytest.fixture
def clips(tmp_path: Path) -> Sequence[ClipUploaded]:
    """A minute each, 240 KiB, 90 MiB in all; every other one in a file, the others in their record."""
    features = random_features(60.0, modalities=[Modality.SCENIC])
    path = tmp_path / "clip.safetensors"
    path.write_bytes(encode_features(features))
    inline = upload("", features).features
    sources = [inline, FeatureFile(path.resolve().as_uri())]
    return [
        upload(f"clip-{n}", sources[n % 2], duration_s=60.0, challenge_id=f"challenge-{n % 7}")
        for n in range(WARM_UP + CLIPS)
    ]


@pytest.fixture
def settings(tmp_path: Path, kafka_connection: KafkaConnection) -> Settings:
    base = settings_for(tmp_path)
    streamer = StreamerSettings(
        uploads_topic=base.streamer.uploads_topic,
        scored_topic=base.streamer.scored_topic,
        feature_roots=base.streamer.feature_roots,
        max_in_flight_bytes=LIMIT_BYTES,
        max_in_flight_clips=10_000,
        max_batch_clips=2,
        inference_threads=1,
        loader_threads=2,
        providers=("cpu",),
    )
    settings = base.model_copy(
        update={"streamer": streamer, "kafka": base.kafka.model_copy(update={"partitions": PARTITIONS})}
    )
    create_topics(settings, kafka_connection)
    return settings


class Watch:
    """Keeps what the process held at most, and which members its group had, whenever it is asked to look."""

    def __init__(self, streamer: Running, connection: KafkaConnection, group: str) -> None:
        self._streamer, self._connection, self._group = streamer, connection, group
        self.before_bytes = streamer.rss_bytes()
        self.members = {member.id for member in self._members()}
        self.most_bytes = 0

    def grown_bytes(self) -> int:
        now_bytes = self._streamer.rss_bytes()
        self.most_bytes = max(self.most_bytes, now_bytes - self.before_bytes)
        return now_bytes - self.before_bytes

    def _members(self) -> list[Member]:
        return members_of(self._connection, self._group)

    def is_still_the_only_member(self) -> bool:
        found = self._members()
        return {member.id for member in found} == self.members and len(found) == 1 and bool(found[0].partitions)


@pytest.mark.parametrize("what", ["model", "store"])
def test_while_something_stands_still_memory_is_bounded_and_the_member_stays(
    what: str,
    settings: Settings,
    clips: Sequence[ClipUploaded],
    kafka_connection: KafkaConnection,
    tmp_path: Path,
) -> None:
    group, topic = settings.kafka.streamer_group, settings.streamer.uploads_topic
    # It goes on polling, whatever stands still: it need not keep longer than a heartbeat.
    source = ConsumerOptions(session_timeout_s=SESSION_S, heartbeat_interval_s=1.0, max_poll_interval_s=SESSION_S)
    bundle = write_small_bundle(tmp_path / "bundle")
    stalling = Stalling(what, settings.streamer, source, kafka_connection, group, bundle)  # type: ignore[arg-type]
    with running(stalling) as streamer, closing(KafkaSink(kafka_connection)) as sink:
        signals = streamer.signals
        send_clips(sink, topic, clips[:WARM_UP], 60.0)
        wait_until(lambda: signals.written.value >= WARM_UP, watching(streamer.rss_bytes), what="it was not ready")
        signals.gate.clear()
        watch = Watch(streamer, kafka_connection, group)
        send_clips(sink, topic, clips[WARM_UP:], 60.0)
        watched = watching(watch.grown_bytes)
        wait_until(lambda: signals.paused.value == PARTITIONS, watched, what="reading was not paused")
        time.sleep(1.0)  # for what was on its way
        paused_bytes, written = watch.grown_bytes(), signals.written.value
        until_s = time.monotonic() + STALL_S
        while time.monotonic() < until_s:
            assert watch.grown_bytes() - paused_bytes < FLAT_BYTES
            assert watch.is_still_the_only_member()
            time.sleep(1.0)
        assert signals.paused.value == PARTITIONS
        assert signals.written.value - written < CLIPS / 2
        signals.gate.set()
        ends = {at: end.end for at, end in partition_ends(kafka_connection, [topic]).items() if end.end}
        so_far = lambda: committed_offsets(kafka_connection, group)  # noqa: E731
        wait_until(lambda: so_far() == ends, watched, what="not everything was scored", progress=so_far)
        assert watch.is_still_the_only_member()
        assert signals.interrupted.value == 0
        assert streamer.stop() == 0
    # Files, records, and the features that were taken out of records: each up to the limit.
    assert watch.most_bytes < 3 * LIMIT_BYTES + MARGIN_BYTES
    scored = Counter(clip.clip_id for clip in read_log(settings, kafka_connection))
    assert scored == Counter(clip.clip_id for clip in clips)

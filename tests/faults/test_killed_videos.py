"""A streamer that is killed while it moves and extracts videos: every clip is moved once and scored once."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from dancerank.settings import load_settings
from dancerank.topics import create_topics
from schemas.codec import decode_upload, encode
from schemas.events import ClipUploadedV2, InlineFeatures, VideoFile
from schemas.features import encode_features
from schemas.ports import OutgoingRecord
from tests.clips import UPLOADED_AT_MS, random_features
from tests.extraction.made_videos import steady, write_video
from tests.extraction.tiny import TINY
from tests.faults.killing import Cached, await_all
from tests.faults.processes import streamer
from tests.integration.scored_log import read_log
from tests.small_bundle import write_small_bundle
from tests.waiting import read, wait_until
from transport.connection import KafkaConnection
from transport.group_offsets import committed_offsets
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]  # ends by progress

VIDEOS, FEATURES = 12, 12


def upload(clip_id: str, features: VideoFile | InlineFeatures) -> ClipUploadedV2:
    return ClipUploadedV2(
        clip_id=clip_id,
        dancer_id="dancer",
        challenge_id=f"challenge-{clip_id[-1]}",
        uploaded_at_ms=UPLOADED_AT_MS,
        duration_s=3.2,
        features=features,
    )


def test_a_streamer_killed_while_it_extracts_scores_each_clip_once(
    kafka_connection: KafkaConnection, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.mp4", steady(3.2))
    bundle = write_small_bundle(tmp_path / "bundle")
    run = tmp_path.name
    config = tmp_path / "dancerank.toml"
    config.write_text(
        f"""
        bundle = "{bundle}"
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        partitions = 3
        streamer_group = "streamer-{run}"
        videos_group = "videos-{run}"
        session_timeout_s = 6.0
        [streamer]
        uploads_topic = "uploads-{run}"
        scored_topic = "scored-{run}"
        videos_topic = "videos-{run}"
        extractor = "videos"
        feature_roots = ["{tmp_path.as_uri()}"]
        inference_threads = 1
        tuning_s = 0
        [extraction]
        extractors = "{TINY}"
        """
    )
    settings = load_settings(config)
    create_topics(settings, kafka_connection)
    content = encode_features(random_features(3.2))
    events = [upload(f"features-{number}", InlineFeatures(content)) for number in range(FEATURES)]
    events[1:1] = [upload(f"video-{number}", VideoFile(video.as_uri())) for number in range(VIDEOS)]
    with closing(KafkaSink(kafka_connection)) as sink:
        for event in events:
            by, topic = event.challenge_id, settings.streamer.uploads_topic
            sink.send(OutgoingRecord(topic, event.clip_id.encode(), encode(event), partition_by=by))
        sink.flush(60.0)

    def extracted() -> int:
        """Offsets that the group of videos has committed; markers of transactions are among them."""
        return sum(committed_offsets(kafka_connection, settings.kafka.videos_group).values())

    def scored() -> list[str]:
        return [clip.clip_id for clip in read_log(settings, kafka_connection)]

    with streamer("streamer-of-videos", config) as worker:
        wait_until(lambda: extracted() >= VIDEOS // 3, progress=extracted, what="no video was extracted")
        worker.kill()
        worker.start()
        await_all(Cached(lambda: len(scored()) >= len(events), every_s=0.5), [worker])

    with closing(KafkaSource(kafka_connection, [settings.streamer.videos_topic], group=None)) as source:
        moved = [decode_upload(record.value).clip_id for record in read(source, VIDEOS)]
        assert source.poll(max_records=1, timeout_s=1.0) == []
    assert Counter(moved) == Counter(f"video-{number}" for number in range(VIDEOS))
    assert Counter(scored()) == Counter(event.clip_id for event in events)

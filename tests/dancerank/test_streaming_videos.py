"""Uploads with videos, end to end on the embedded broker: moved, extracted, scored; those with features pass them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dancerank.processes import Processes
from dancerank.running.embedded import run_embedded
from dancerank.running.streaming import extractor_of
from dancerank.settings import RankingSettings, Settings
from exporters.prometheus import PrometheusObserver
from extraction.settings import ExtractionSettings
from extraction.video_extractor import VideoExtractor
from schemas.bundle import Bundle
from schemas.events import ClipUploadedV2, InlineFeatures, VideoFile
from schemas.features import encode_features
from schemas.modalities import FUSED_MODALITIES
from schemas.observation import Observer
from schemas.questions.retrieval import SimilarQuery
from tests.clips import UPLOADED_AT_MS
from tests.extraction.made_videos import numbered, steady, write_sound, write_video
from tests.extraction.test_decoder_limits import decoders
from tests.extraction.tiny import MAY_GO_ON, TINY
from tests.small_bundle import small_bundle
from tests.streaming import quick_settings
from tests.waiting import read, wait_until
from transport.dead_letter import dead_letter_topic, reason
from transport.embedded import EmbeddedBroker
from transport.kafka_source import KafkaSource


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four dances and a song."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_video(folder / f"dance-{number}.mp4", steady(3.2 + number / 5), lambda t: numbered(t, (320, 240)))
    write_sound(folder / "song.mp4")
    return folder


@pytest.fixture(autouse=True)
def closed_gate() -> Iterator[None]:
    MAY_GO_ON.clear()
    yield
    MAY_GO_ON.set()


def settings(folder: Path, videos: Path, extractors: str) -> Settings:
    streamer = quick_settings(extractor="videos", feature_roots=(videos.as_uri(),))
    ranking = RankingSettings(database_url=f"sqlite:///{folder / 'db'}", index_folder=folder / "index", index="numpy")
    extraction = ExtractionSettings(extractors=extractors, workers=2)
    return Settings(streamer=streamer, ranking=ranking, extraction=extraction)


def upload(clip_id: str, features: VideoFile | InlineFeatures) -> ClipUploadedV2:
    return ClipUploadedV2(
        clip_id=clip_id,
        dancer_id=f"dancer-{clip_id}",
        challenge_id="challenge",
        uploaded_at_ms=UPLOADED_AT_MS,
        duration_s=3.2,
        features=features,
    )


def test_videos_are_scored_as_their_features_are_and_what_fails_is_a_dead_letter_each(
    bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    ours = settings(tmp_path, videos, "tests.extraction.tiny:open_gated")
    observer = PrometheusObserver()
    reference = extractor_of(settings(tmp_path, videos, TINY), Observer())
    assert isinstance(reference, VideoExtractor)
    good = VideoFile((videos / "dance-3.mp4").as_uri())
    with (
        EmbeddedBroker() as connection,
        run_embedded(Processes(ours, connection=connection, bundle=bundle, observer=observer)) as system,
    ):
        # One partition for all, as they are of one challenge: the video comes first in it.
        system.send([upload("crashes", VideoFile((videos / "dance-0.mp4").as_uri()))])
        wait_until(decoders)
        system.send([upload("features", InlineFeatures(encode_features(reference.extract(good))))])
        system.await_clips(1)
        assert system.service.clip("features").clip_id == "features"

        for process in decoders():
            process.send_signal(signal.SIGSEGV)
        MAY_GO_ON.set()
        system.send(
            [
                upload("song", VideoFile((videos / "song.mp4").as_uri())),
                upload("outside", VideoFile("file:///etc/passwd")),
                upload("changed", VideoFile(good.uri, sha256="0" * 64)),
                upload("video", good),
                *(upload(f"dance-{n}", VideoFile((videos / f"dance-{n}.mp4").as_uri())) for n in (1, 2)),
            ]
        )
        system.await_clips(4)
        with closing(KafkaSource(connection, [dead_letter_topic(ours.streamer.videos_topic)], group=None)) as source:
            dead = {found["clip_id"]: found for found in (reason(record.headers) for record in read(source, 4))}
        assert {clip_id: found["code"] for clip_id, found in dead.items()} == {
            "crashes": "decoder_ended",
            "song": "video_unreadable",
            "outside": "feature_file_forbidden",
            "changed": "feature_file_corrupt",
        }
        assert "signal SIGSEGV" in dead["crashes"]["message"]
        assert "/dance-0.mp4" in dead["crashes"]["message"]
        same = system.service.similar(SimilarQuery(clip_id="features", k=3)).hits[0]
        assert (same.clip_id, same.similarity) == ("video", pytest.approx(1.0, abs=1e-3))
        kept = system.service.source("video")
        assert kept is not None
        assert (kept.source, system.service.source("features")) == (good, None)

    value = observer.registry.get_sample_value
    assert value("dancerank_extraction_duration_seconds_count", {"part": "total"}) == 3
    assert value("dancerank_videos_failed_total", {"reason": "decoder_ended"}) == 1
    for modality in FUSED_MODALITIES:
        assert value("dancerank_streams_extracted_total", {"modality": modality, "found": "yes"}) == 3
    assert value("dancerank_video_frames_total") == sum(round(25 * (3.2 + n / 5)) for n in (1, 2, 3))
    assert decoders() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stream-videos")]


def test_a_streamer_that_stops_ends_the_decoders_under_way(bundle: Bundle, videos: Path, tmp_path: Path) -> None:
    extractor = extractor_of(settings(tmp_path, videos, "tests.extraction.tiny:open_gated"), Observer())
    assert isinstance(extractor, VideoExtractor)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            extractor.extract(VideoFile((videos / "dance-0.mp4").as_uri()))
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(decoders)
    extractor.close()
    MAY_GO_ON.set()
    thread.join(60)
    assert [type(error).__name__ for error in errors] == ["LoadingAbandoned"]
    assert decoders() == []

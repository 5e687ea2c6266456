"""Uploads that name a video: what the extractor finds is scored, what it cannot read is dead-lettered."""

import threading

import pytest
from pydantic import ValidationError

from schemas.bundle import Bundle
from schemas.codec import decode_upload, encode
from schemas.errors import ConfigurationError, FeatureStoreUnavailable, MalformedEvent
from schemas.events import ClipUploaded, ClipUploadedV2, InlineFeatures, VideoFile
from schemas.features import encode_features
from schemas.ports import OutgoingRecord, TopicPartition
from streamer.extractors.selection import open_extractor
from streamer.loading import FeatureReader
from streamer.roots import FeatureRoots
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore
from tests.clips import UPLOADED_AT_MS, upload
from tests.small_bundle import small_bundle
from tests.streamer.videos import ROOT, features, unavailable, video, video_upload
from tests.streaming import DEAD, UPLOADS, Log, process, quick_settings
from transport.topics import TopicSpec


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


def settings(extractor: str) -> StreamerSettings:
    """``extractor``: a factory of ``tests.streamer.videos``; empty: none."""
    name = extractor and f"tests.streamer.videos:{extractor}"
    return quick_settings(extractor=name, feature_roots=(ROOT,))


def send(log: Log, *events: ClipUploaded | ClipUploadedV2) -> None:
    for event in events:
        log.uploads.send(OutgoingRecord(UPLOADS, event.clip_id.encode(), encode(event), partition_by="challenge-1"))
    log.uploads.flush(1.0)


def test_a_video_is_scored_as_its_features_are(bundle: Bundle) -> None:
    log = Log()
    inline = InlineFeatures(encode_features(features(2)))
    second = ClipUploadedV2("inline-2", "dancer", "challenge-1", UPLOADED_AT_MS, 3.0, inline)
    send(log, video_upload("clip-1"), upload("inline-1", features(1)), video_upload("clip-2"), second)
    process(log, log.streamer(bundle, settings("memory")), 4)
    assert log.dead() == []
    scored = {clip.clip_id: clip for clip in log.scored()}
    for number in (1, 2):
        ours, theirs = scored[f"clip-{number}"], scored[f"inline-{number}"]
        assert ours.modalities.keys() == theirs.modalities.keys()
        assert ours.scores() == pytest.approx(theirs.scores(), abs=1e-5)


@pytest.mark.parametrize(
    ("extractor", "source", "code", "message"),
    [
        ("", video(), "extractor_missing", "set streamer.extractor"),
        ("broken", video(), "extraction_failed", "ZeroDivisionError: no frames"),
        ("memory", video("clip-3"), "feature_file_missing", "no such video"),
        ("memory", video(sha256="0" * 64), "feature_file_corrupt", "checksum mismatch"),
        ("memory", VideoFile("file:///etc/passwd"), "feature_file_forbidden", "/etc/passwd"),
    ],
)
def test_a_video_without_features_is_dead_lettered(
    bundle: Bundle, extractor: str, source: VideoFile, code: str, message: str
) -> None:
    log = Log()
    send(log, video_upload("clip-1", source), upload("other", features()))
    process(log, log.streamer(bundle, settings(extractor)), 2)
    (dead_record,) = log.dead()
    assert (dead_record["code"], dead_record["clip_id"]) == (code, "clip-1")
    assert message in dead_record["message"]
    assert source.uri in dead_record["message"]
    assert [clip.clip_id for clip in log.scored()] == ["other"]


def test_a_dead_letter_of_a_video_is_scored_once_an_extractor_is_set(bundle: Bundle) -> None:
    log = Log()
    send(log, video_upload("clip-1"))
    process(log, log.streamer(bundle, settings("")), 1)
    (dead_record,) = log.broker.records(DEAD)
    event = decode_upload(dead_record.value)
    assert event == video_upload("clip-1")
    send(log, event)
    process(log, log.streamer(bundle, settings("memory")), 2)
    assert [clip.clip_id for clip in log.scored()] == ["clip-1"]


def test_a_video_whose_store_does_not_answer_is_not_dead_lettered(bundle: Bundle) -> None:
    store = FeatureStore(FeatureRoots([ROOT]), max_bytes=1, patience_s=0.1, options={})
    with pytest.raises(FeatureStoreUnavailable):
        FeatureReader(store, max_bytes=1 << 20, extractor=unavailable()).read(video())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tests.streamer.videos:nothing", "expected a FeatureExtractor"),
        ("tests.streamer.videos:absent", "cannot be imported"),
        ("no_such_module:factory", "cannot be imported"),
    ],
)
def test_a_setting_that_does_not_lead_to_an_extractor_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        open_extractor(name)
    assert caught.value.field == "streamer.extractor"


def test_an_unknown_name_of_an_extractor_is_refused_with_the_settings() -> None:
    with pytest.raises(ValidationError, match="is not an extractor"):
        StreamerSettings(extractor="tsn")
    assert open_extractor("") is None


def test_version_1_of_an_upload_cannot_name_a_video() -> None:
    raw = encode(video_upload("clip-1")).replace(b"clip-uploaded/2", b"clip-uploaded/1")
    with pytest.raises(MalformedEvent, match="Invalid value 'video'"):
        decode_upload(raw)


def test_uploads_with_videos_are_moved_as_they_are_and_pass_in_the_same_commit(bundle: Bundle) -> None:
    log = Log(partitions=1)
    log.broker.ensure_topics([TopicSpec(name="clips.videos", partitions=1)])
    send(log, video_upload("clip-1"), upload("inline-1", features(1)), video_upload("clip-2"))
    process(log, log.streamer(bundle, settings("memory"), moves_videos=True), 1)
    moved, read = log.broker.records("clips.videos"), log.broker.records(UPLOADS)
    assert [(record.key, record.value) for record in moved] == [(read[n].key, read[n].value) for n in (0, 2)]
    assert [clip.clip_id for clip in log.scored()] == ["inline-1"]
    assert log.committed() == {TopicPartition(UPLOADS, 0): 3}


def test_what_works_beside_a_streamer_ends_it_with_its_error(bundle: Bundle) -> None:
    streamer = Log().streamer(bundle, settings("memory"))
    streamer.fail(MalformedEvent("the streamer of videos ended"))
    with pytest.raises(MalformedEvent, match="videos ended"):
        streamer.run(threading.Event())

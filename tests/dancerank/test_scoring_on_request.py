"""Clips that were never uploaded: the same scores as by the streamer, within bounds, loaded when needed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import fsspec
import numpy as np
import pytest

from dancerank.processes import Processes
from dancerank.scoring_on_request.scoring import OnRequest
from dancerank.scoring_on_request.settings import ScoringSettings
from dancerank.scoring_on_request.turns import Turns
from dancerank.settings import ServerSettings, Settings
from extraction.settings import ExtractionSettings
from schemas.bundle import Bundle
from schemas.errors import (
    FeatureFileCorrupt,
    FeatureFileForbidden,
    FeatureFileOversized,
    FeatureShapeInvalid,
    FeatureStoreUnavailable,
    InferenceFailed,
    NotOffered,
    NoUsableModality,
    QueryError,
    TooManyAtOnce,
    VideoUnreadable,
)
from schemas.events import ClipScoredV4, ClipUploadedV3, FeatureFile, InlineFeatures, VideoFile, embedding_array
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.moments import moments_of
from schemas.ports import FeatureExtractor
from schemas.questions.scoring import UnseenClip
from streamer.assembly import open_scorer
from streamer.settings import StreamerSettings
from tests.clips import random_features, upload
from tests.extraction.made_videos import numbered, steady, write_video
from tests.extraction.tiny import TINY
from tests.small_bundle import BREAKS_ABOVE, small_bundle
from tests.waiting import wait_until

FEATURES = random_features(4.0, modalities=(Modality.SKELETAL, Modality.SCENIC))
INLINE = InlineFeatures(encode_features(FEATURES))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def scoring(bundle: Bundle) -> Iterator[OnRequest]:
    with closing(on_request(lambda: bundle)) as made:
        yield made


def on_request(
    read_bundle: Callable[[], Bundle],
    settings: ScoringSettings | None = None,
    opened: FeatureExtractor | None = None,
    **streamer: Any,
) -> OnRequest:
    return OnRequest(
        read_bundle,
        lambda: opened,
        settings or ScoringSettings(),
        streamer=StreamerSettings(**streamer),
        max_file_bytes=1 << 20,
    )


def settings_of(videos: Path, **scoring: Any) -> Settings:
    return Settings(
        streamer=StreamerSettings(extractor="videos", feature_roots=(videos.as_uri(),)),
        extraction=ExtractionSettings(extractors=TINY),
        scoring=ScoringSettings(**scoring),
        server=ServerSettings(max_file_bytes=1 << 20),
    )


@contextmanager
def file_of(content: bytes) -> Iterator[int]:
    with TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def scored_file(scoring: OnRequest, kind: Any, content: bytes) -> UnseenClip:
    with closing(scoring.begin_file(kind)) as place, file_of(content) as descriptor:
        return place.score(descriptor, None)


def test_a_clip_is_scored_as_if_it_was_uploaded(scoring: OnRequest, bundle: Bundle) -> None:
    (uploaded,) = open_scorer(bundle).score([(upload("c", FEATURES), FEATURES)])
    assert not isinstance(uploaded, InferenceFailed)
    asked = scoring.score(INLINE, None)
    assert asked.scores == uploaded.scores()
    assert asked.attention == {modality: each.attention for modality, each in uploaded.modalities.items()}
    assert asked.missing == uploaded.missing
    assert asked.generation == uploaded.generation == scoring.generation()
    assert asked.duration_s == 4.0
    for modality, each in uploaded.modalities.items():
        assert np.array_equal(asked.embeddings[modality], embedding_array(each))


def test_a_routine_is_answered_with_the_moments_that_made_its_score(tmp_path: Path) -> None:
    model = small_bundle(tmp_path, modalities=(*FUSED_MODALITIES, Modality.ROUTINE))
    features = random_features(83.0, modalities=(Modality.ROUTINE,))
    source = InlineFeatures(encode_features(features))
    event = ClipUploadedV3("c", "d", "ch", 1, 83.0, source)
    (uploaded,) = open_scorer(model).score([(event, features)])
    assert isinstance(uploaded, ClipScoredV4)
    assert uploaded.temporal_attention is not None
    with closing(on_request(lambda: model)) as scoring:
        asked = scoring.score(source, None)
        assert asked.moments == moments_of(uploaded.temporal_attention)
        assert asked.scores == uploaded.scores()
        assert (asked.duration_s, asked.missing, asked.attention) == (83.0, (), {Modality.ROUTINE: 1.0})
        assert scoring.score(INLINE, None).moments is None


def test_a_file_is_scored_as_what_it_holds(scoring: OnRequest) -> None:
    assert scored_file(scoring, "features", INLINE.content) == scoring.score(INLINE, None)


def test_a_video_is_scored_from_its_own_bytes_as_from_a_root(tmp_path: Path, bundle: Bundle) -> None:
    video = write_video(tmp_path / "dance.mp4", steady(3.2), lambda t: numbered(t, (320, 240)))
    with Processes(settings_of(tmp_path), bundle=bundle).scoring() as scoring:
        assert scoring.offer().videos
        by_uri = scoring.score(VideoFile(video.as_uri()), None)
        assert set(by_uri.attention) == set(FUSED_MODALITIES)
        assert isinstance(scoring, OnRequest)
        assert scored_file(scoring, "video", video.read_bytes()) == by_uri
        with pytest.raises(VideoUnreadable):
            scored_file(scoring, "video", b"no video at all" * 1000)


def test_an_extractor_whose_features_the_bundle_does_not_read_says_what_to_change(bundle: Bundle) -> None:
    class Wider:
        def extract(self, video: VideoFile) -> ClipFeatures:
            raise AssertionError("no URI was named")

        def extract_open(self, descriptor: int) -> ClipFeatures:
            draw = np.random.default_rng(0)
            return ClipFeatures({Modality.SCENIC: draw.normal(size=(16, 700)).astype(np.float32)})

    ours = on_request(lambda: bundle, opened=Wider(), extractor="videos")
    with closing(ours), pytest.raises(FeatureShapeInvalid, match=r"700 channels.*\[extraction\]"):
        scored_file(ours, "video", b"x")


@pytest.mark.parametrize(
    ("modality", "lasts_s", "stated_s", "allowed"),
    [
        (Modality.SCENIC, 1.0, None, "3 to 60 s"),
        (Modality.SCENIC, 61.25, None, "3 to 60 s"),
        (Modality.SCENIC, 3.0, 1.0, "3 to 600 s"),
        (Modality.ROUTINE, 3.0, 601.0, "3 to 600 s"),
    ],
)
@pytest.mark.tried(kind="HTTP edges", given="a clip of 1 s or 61 s to score on request", outcome="422 duration_s")
def test_a_clip_has_the_length_of_one(
    scoring: OnRequest, modality: Modality, lasts_s: float, stated_s: float | None, allowed: str
) -> None:
    features = random_features(lasts_s, modalities=(modality,))
    with pytest.raises(QueryError, match=allowed) as raised:
        scoring.score(InlineFeatures(encode_features(features)), stated_s)
    assert raised.value.field == "duration_s"


def test_a_long_clip_without_features_of_a_routine_is_refused_with_what_it_needs(scoring: OnRequest) -> None:
    with pytest.raises(NoUsableModality, match="longer than 60 s is scored by routine"):
        scoring.score(InlineFeatures(encode_features(random_features(60.0, modalities=(Modality.SCENIC,)))), 61.0)


@pytest.mark.tried(
    kind="HTTP edges",
    given="a clip of a minute to score on request, whose container says 60.04 s",
    outcome="scored as one of 60 s",
)
def test_a_minute_that_a_container_rounded_up_is_scored_as_a_minute(scoring: OnRequest) -> None:
    minute = InlineFeatures(encode_features(random_features(60.0, modalities=(Modality.SCENIC,))))
    found, exact = scoring.score(minute, 60.04), scoring.score(minute, 60.0)
    assert (found.duration_s, found.scores) == (60.0, exact.scores)
    with pytest.raises(NoUsableModality, match=r"correct duration_s \(60\.06\)"):
        scoring.score(minute, 60.06)


def test_what_cannot_be_used_is_an_error_of_the_clip(scoring: OnRequest, tmp_path: Path) -> None:
    with pytest.raises(FeatureFileCorrupt):
        scoring.score(InlineFeatures(b"no feature file"), None)
    with pytest.raises(FeatureFileForbidden) as raised:
        scoring.score(FeatureFile("file:///etc/passwd"), None)
    assert "root" in raised.value.message
    broken = random_features(4.0, modalities=(Modality.SCENIC,))
    broken.frames[Modality.SCENIC][0, 0] = np.float16(2 * BREAKS_ABOVE)
    with pytest.raises(InferenceFailed):
        scoring.score(InlineFeatures(encode_features(broken)), None)
    assert scoring.score(INLINE, None).scores, "others are not affected"


def test_the_roots_of_the_service_are_not_named(bundle: Bundle, tmp_path: Path) -> None:
    ours = on_request(lambda: bundle, feature_roots=(tmp_path.as_uri(),))
    with closing(ours), pytest.raises(FeatureFileForbidden) as raised:
        ours.score(FeatureFile("file:///etc/passwd"), None)
    assert str(tmp_path) not in raised.value.message


@pytest.mark.tried(
    kind="waits that forget",
    given="questions about files of an object store that does not answer",
    outcome="`503 feature_store_unavailable` after 2 s each, so that others soon have their turn",
)
def test_a_store_that_does_not_answer_keeps_no_one_else_waiting_for_long(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(scheme: str) -> None:
        raise TimeoutError(scheme)

    monkeypatch.setattr(fsspec, "filesystem", silent)
    asked = FeatureFile("memory://clips/clip")
    with closing(on_request(lambda: bundle, feature_roots=("memory://clips",), store_patience_s=300.0)) as scoring:
        with pytest.raises(FeatureStoreUnavailable, match="did not answer within 2 s"):
            scoring.score(asked, None)
        assert scoring.score(INLINE, None).duration_s == 4.0


def test_a_feature_file_has_the_limit_of_one(bundle: Bundle) -> None:
    limited = on_request(lambda: bundle, max_feature_bytes=len(INLINE.content) - 1)
    with closing(limited), pytest.raises(FeatureFileOversized):
        scored_file(limited, "features", INLINE.content)


def test_the_bundle_is_read_once_and_only_when_it_is_needed(bundle: Bundle) -> None:
    reads = []

    def read() -> Bundle:
        reads.append(1)
        return bundle

    with closing(on_request(read)) as scoring:
        assert scoring.offer().generation is None
        assert not reads
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: scoring.score(INLINE, None), range(8)))
        assert len(reads) == 1
        assert answers == [answers[0]] * 8
        assert scoring.offer().generation == answers[0].generation


def test_features_are_scored_while_the_networks_for_videos_are_loaded(bundle: Bundle) -> None:
    begun, loaded = threading.Event(), threading.Event()

    def slowly() -> None:
        begun.set()
        assert loaded.wait(240)

    streamer = StreamerSettings(extractor="videos")
    made = OnRequest(lambda: bundle, slowly, ScoringSettings(), streamer=streamer, max_file_bytes=1)
    with closing(made), ThreadPoolExecutor(2) as threads:
        video = threads.submit(made.score, VideoFile("file:///video.mp4"), None)
        assert begun.wait(240)
        features = threads.submit(made.score, INLINE, None)
        try:
            assert features.result(60).generation == bundle.manifest.generation
        finally:
            loaded.set()
        with pytest.raises(NotOffered):
            video.result(240)


def test_at_the_start_a_bundle_that_cannot_be_loaded_ends_the_process(tmp_path: Path) -> None:
    absent = Settings(bundle=tmp_path / "absent", scoring=ScoringSettings(load="start"))
    with pytest.raises(NotOffered) as raised, Processes(absent).scoring():
        pass
    assert "bundle" in raised.value.message
    assert str(tmp_path) not in raised.value.message


def test_without_a_bundle_the_rest_is_served(tmp_path: Path) -> None:
    with Processes(Settings(bundle=tmp_path / "absent")).scoring() as scoring, pytest.raises(NotOffered):
        scoring.score(INLINE, None)


def test_never_means_never() -> None:
    def read() -> Bundle:
        raise AssertionError("the bundle was read")

    with closing(on_request(read, ScoringSettings(load="never"))) as scoring:
        assert not scoring.offer().scores
        for ask in (lambda: scoring.score(INLINE, None), scoring.generation, lambda: scoring.begin_file("features")):
            with pytest.raises(NotOffered, match="never"):
                ask()


def test_without_an_extractor_a_video_is_refused_before_it_is_read(scoring: OnRequest) -> None:
    offer = scoring.offer()
    assert not offer.videos
    assert "dancerank extractors fetch" in str(offer.videos_reason)
    for ask in (lambda: scoring.begin_file("video"), lambda: scoring.score(VideoFile("file:///v"), None)):
        with pytest.raises(NotOffered, match="dancerank extractors fetch"):
            ask()


def test_an_extractor_that_needs_a_uri_is_not_given_bytes(bundle: Bundle) -> None:
    class OfUris:
        def extract(self, video: VideoFile) -> ClipFeatures:
            return FEATURES

    ours = on_request(lambda: bundle, opened=OfUris(), extractor="videos")
    with closing(ours), pytest.raises(NotOffered, match="root"):
        scored_file(ours, "video", b"x")


def test_more_than_have_a_place_are_refused_and_places_come_back() -> None:
    turns = Turns(1, 1, what="clips", setting="scoring.clips_waiting")
    with ExitStack() as places:
        first, second = (places.enter_context(turns.place()) for _ in range(2))
        with pytest.raises(TooManyAtOnce, match=r"scoring\.clips_waiting"):
            turns.place()
        first.close()
        first.close()
        places.enter_context(turns.place())
        with pytest.raises(TooManyAtOnce):
            turns.place()
        assert second is not first
    turns.place().close()


def test_those_that_wait_get_their_turn_one_after_the_other() -> None:
    turns, go, order = Turns(1, 3, what="clips", setting="s"), threading.Event(), list[str]()

    def ask(number: int) -> None:
        with turns.place() as place, place.turn():
            order.append(f"begins {number}")
            wait_until(go.is_set)
            order.append(f"ends {number}")

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(4)]
        wait_until(lambda: order)
        go.set()
        for each in asked:
            each.result()
    assert [word.split()[0] for word in order] == ["begins", "ends"] * 4

"""Clips that were never uploaded, over HTTP: what is read of a request, and what is answered."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, create_app
from ranking.serving.service import RankingService
from schemas.errors import FeatureFileCorrupt, FeatureStoreUnavailable, NotOffered, TooManyAtOnce
from schemas.events import FeatureFile, FeatureSource, InlineFeatures, VideoFile
from schemas.modalities import Dimension, Modality
from schemas.questions.feedback import Skeleton
from schemas.questions.scoring import FileKind, ScoringOffer, UnseenClip
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, with_scores
from tests.ranking.serving.asgi import JSON, Answer, refusal, request

LIMIT, FILE_LIMIT = 1000, 5000
SKELETON = Skeleton(
    layout="two", joints=["a", "b"], bones=[(0, 1)], rate_hz=25.0, frames=1, positions=[[(0.0, 1.5), None]]
)
VIDEO = {"content-type": "video/mp4"}
FEATURES = {"content-type": "application/octet-stream"}


class Bundle:
    """Gives each clip the score 0.5 and remembers what it was asked for."""

    def __init__(self, generation: str = "g1") -> None:
        self._generation = generation
        self.asked: list[tuple[object, float | None]] = []
        self.open_places = 0
        self.fails: Exception | None = None

    def offer(self) -> ScoringOffer:
        return ScoringOffer(True, None, True, FILE_LIMIT)

    def generation(self) -> str:
        return self._generation

    def score(self, source: FeatureSource, duration_s: float | None, movement: bool = False) -> UnseenClip:
        return self._answer(source, duration_s, movement)

    def begin_file(self, kind: FileKind) -> "Place":
        if self.fails is not None:
            raise self.fails
        return Place(self, kind)

    def _answer(self, what: object, duration_s: float | None, movement: bool) -> UnseenClip:
        if self.fails is not None:
            raise self.fails
        self.asked.append((what, duration_s))
        scores = {Dimension.SKELETAL: 0.5, Dimension.FUSED: 0.25}
        clip = UnseenClip(
            self._generation, 4.0, scores, {Modality.SKELETAL: 1.0}, (Modality.FACIAL,), {Modality.SKELETAL: [1.0]}, 1.5
        )
        return replace(clip, skeleton=SKELETON) if movement else clip


class Place:
    def __init__(self, bundle: Bundle, kind: FileKind) -> None:
        self._bundle, self._kind = bundle, kind
        bundle.open_places += 1

    def score(self, descriptor: int, duration_s: float | None, movement: bool = False) -> UnseenClip:
        content = os.pread(descriptor, 1 << 20, 0)
        assert os.fstat(descriptor).st_nlink == 0, "the file has no name, so nothing of it stays"
        return self._bundle._answer((self._kind, content), duration_s, movement)

    def close(self) -> None:
        self._bundle.open_places -= 1


@pytest.fixture(scope="module")
def scored() -> Iterator[ScoreStore]:
    """A store with ten clips, whose scores are 0, 0.1, …, 0.9."""
    with migrated("sqlite://") as database:
        store = ScoreStore(database)
        apply(store, [with_scores(f"c{n}", {Modality.SKELETAL: n / 10}, n / 10) for n in range(10)])
        yield store


@pytest.fixture(scope="module")
def served(scored: ScoreStore) -> tuple[FastAPI, Bundle]:
    """Building an app takes a while, so the tests share one."""
    bundle = Bundle()
    return app_of(scored, bundle), bundle


@pytest.fixture
def bundle(served: tuple[FastAPI, Bundle]) -> Bundle:
    made = served[1]
    made.asked, made.fails = [], None
    return made


@pytest.fixture
def app(served: tuple[FastAPI, Bundle]) -> FastAPI:
    return served[0]


def app_of(store: ScoreStore, bundle: Bundle | None) -> FastAPI:
    access = Access(max_request_bytes=LIMIT, max_file_bytes=FILE_LIMIT)
    return create_app(RankingService(store), lambda: ("text/plain", b""), access, scoring=bundle)


def ask(app: FastAPI, body: object) -> Answer:
    return request(app, "POST", "/v1/score", JSON, json.dumps(body).encode())


def test_a_clip_that_was_never_uploaded_is_answered_with_its_place_among_all(app: FastAPI, bundle: Bundle) -> None:
    answer = ask(app, {"features": {"kind": "file", "uri": "file:///f"}, "duration_s": 4})
    said = json.loads(answer.body)
    assert (answer.status, bundle.asked) == (200, [(FeatureFile("file:///f"), 4.0)])
    assert said["scores"] == {"skeletal": 0.5, "fused": 0.25}
    # Five of ten are below 0.5, which one equals, and three are below 0.25.
    percentiles = {by: each["percentile"] for by, each in said["percentiles"].items()}
    assert percentiles == pytest.approx({"skeletal": 55.0, "fused": 30.0})
    assert said["percentiles"]["fused"]["scores"] == 10
    assert (said["attention"], said["missing"]) == ({"skeletal": 1.0}, ["facial"])
    assert (said["training_distance"], said["outside_training_distribution"]) == (1.5, True)
    assert (said["generation"], said["active_generation"], said["note"]) == ("g1", "g1", None)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"kind": "inline", "content": base64.b64encode(b"bytes").decode()}, InlineFeatures(b"bytes")),
        ({"kind": "file", "uri": "s3://b/f", "sha256": "a" * 64}, FeatureFile("s3://b/f", "a" * 64)),
        ({"kind": "video", "uri": "file:///v.mp4"}, VideoFile("file:///v.mp4")),
    ],
)
def test_features_are_named_as_in_an_upload(
    app: FastAPI, bundle: Bundle, features: dict[str, str], expected: FeatureSource
) -> None:
    assert ask(app, {"features": features}).status == 200
    assert bundle.asked == [(expected, None)]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "features"),
        ({"features": {"kind": "file"}}, "features.file.uri"),
        ({"features": {"kind": "file", "uri": ""}}, "features.file.uri"),
        ({"features": {"kind": "file", "uri": "u", "sha256": "A" * 64}}, "features.file.sha256"),
        ({"features": {"kind": "inline", "content": "not base64!"}}, "features.inline.content"),
        ({"features": {"kind": "folder", "uri": "u"}}, "features"),
        ({"features": {"kind": "file", "uri": "u"}, "duration_s": 0}, "duration_s"),
        ({"features": {"kind": "file", "uri": "u"}, "generaton": "g1"}, "generaton"),
    ],
)
def test_a_wrong_field_is_named(app: FastAPI, bundle: Bundle, body: object, parameter: str) -> None:
    assert refusal(ask(app, body)) == (422, "invalid_query", parameter)
    assert bundle.asked == []


def test_another_generation_than_that_of_the_bundle_is_not_found(app: FastAPI, bundle: Bundle) -> None:
    answer = ask(app, {"features": {"kind": "file", "uri": "u"}, "generation": "g2"})
    assert refusal(answer) == (404, "not_found", "generation")
    assert "g1" in json.loads(answer.body)["error"]["message"]
    assert bundle.asked == []


def test_a_generation_that_is_not_active_is_said(scored: ScoreStore) -> None:
    said = json.loads(ask(app_of(scored, Bundle("g2")), {"features": {"kind": "file", "uri": "u"}}).body)
    assert (said["generation"], said["active_generation"], said["percentiles"]) == ("g2", "g1", {})
    assert said["note"] == (
        "Generation g1 is active, and this clip was scored under generation g2, and no clip was scored under that one, "
        "so there is nothing to compare with."
    )


def test_without_any_clip_a_clip_is_scored_and_has_no_percentiles(store: ScoreStore) -> None:
    said = json.loads(ask(app_of(store, Bundle()), {"features": {"kind": "file", "uri": "u"}}).body)
    assert (said["scores"]["fused"], said["percentiles"], said["active_generation"]) == (0.25, {}, None)
    assert said["note"]


@pytest.mark.parametrize("as_file", [True, False])
def test_movement_comes_with_the_scores_where_it_is_asked_for(app: FastAPI, bundle: Bundle, as_file: bool) -> None:
    said = []
    for movement in ("true", "false"):
        if as_file:
            answer = request(app, "POST", f"/v1/score/file?movement={movement}", VIDEO, b"x")
        else:
            answer = ask(app, {"features": {"kind": "file", "uri": "u"}, "movement": movement == "true"})
        said.append(json.loads(answer.body))
    assert said[0]["skeleton"]["positions"] == [[[0.0, 1.5], None]]
    assert said[1]["skeleton"] is said[1]["guidance"] is None


@pytest.mark.parametrize(("headers", "kind"), [(VIDEO, "video"), (FEATURES, "features")])
def test_a_file_is_the_body_and_may_be_larger_than_other_bodies(
    app: FastAPI, bundle: Bundle, headers: dict[str, str], kind: str
) -> None:
    parts = [bytes([n]) * LIMIT for n in range(5)]
    answer = request(app, "POST", "/v1/score/file?duration_s=5", headers, *parts)
    assert (answer.status, bundle.asked) == (200, [((kind, b"".join(parts)), 5.0)])
    assert bundle.open_places == 0


@pytest.mark.tried(kind="HTTP edges", given="a file larger than allowed", outcome="413 too_large")
@pytest.mark.parametrize("declared", [True, False])
def test_a_file_has_a_limit_of_its_own(app: FastAPI, bundle: Bundle, declared: bool) -> None:
    headers = VIDEO | ({"content-length": str(FILE_LIMIT + 1)} if declared else {})
    answer = request(app, "POST", "/v1/score/file", headers, b"x" * FILE_LIMIT, b"x")
    assert refusal(answer) == (413, "too_large", None)
    assert (bundle.asked, bundle.open_places) == ([], 0)


def test_other_bodies_keep_their_limit(app: FastAPI, bundle: Bundle) -> None:
    content = base64.b64encode(b"x" * LIMIT).decode()
    answer = ask(app, {"features": {"kind": "inline", "content": content}})
    assert refusal(answer) == (413, "too_large", None)


@pytest.mark.tried(kind="HTTP edges", given="a file that is not declared as one", outcome="415")
@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/html"}, JSON, VIDEO | {"content-encoding": "gzip"}], ids=str
)
def test_a_file_has_to_be_declared(app: FastAPI, bundle: Bundle, headers: dict[str, str]) -> None:
    answer = request(app, "POST", "/v1/score/file", headers, b"x")
    assert refusal(answer) == (415, "unsupported_media_type", None)


def test_an_empty_file_is_refused(app: FastAPI, bundle: Bundle) -> None:
    answer = request(app, "POST", "/v1/score/file", VIDEO, b"")
    assert refusal(answer) == (422, "invalid_query", "body")
    assert bundle.open_places == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FeatureFileCorrupt("not a feature file", field="features"), (422, "feature_file_corrupt", "features")),
        (NotOffered("no bundle here; set one"), (501, "not_offered", None)),
        (TooManyAtOnce("too many; try again"), (503, "too_many_at_once", None)),
        (FeatureStoreUnavailable("10.0.0.1 is down"), (503, "feature_store_unavailable", None)),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_what_fails_has_its_code_and_its_sentence(
    app: FastAPI, bundle: Bundle, error: Exception, expected: tuple[int, str, str | None], as_file: bool
) -> None:
    bundle.fails = error
    if as_file:
        answer = request(app, "POST", "/v1/score/file", VIDEO, b"x")
    else:
        answer = ask(app, {"features": {"kind": "file", "uri": "u"}})
    assert refusal(answer) == expected
    assert ("retry-after" in answer.headers) == (expected[0] == 503)
    hidden = isinstance(error, FeatureStoreUnavailable)
    assert (str(error) == json.loads(answer.body)["error"]["message"]) == (not hidden)


def test_a_full_queue_refuses_a_file_before_it_is_read(app: FastAPI, bundle: Bundle) -> None:
    bundle.fails = TooManyAtOnce("too many; try again")
    answer = request(app, "POST", "/v1/score/file", VIDEO, b"x" * LIMIT, b"x")
    assert (answer.status, answer.asked) == (503, 0)


def test_a_service_without_a_bundle_says_so(scored: ScoreStore) -> None:
    app = app_of(scored, None)
    assert refusal(ask(app, {"features": {"kind": "file", "uri": "u"}}))[:2] == (501, "not_offered")
    assert refusal(request(app, "POST", "/v1/score/file", VIDEO, b"x"))[:2] == (501, "not_offered")
    offer = json.loads(request(app, "GET", "/v1/score/offer", {}).body)
    assert (offer["scores"], offer["videos"]) == (False, False)
    assert offer["reason"]


def test_what_is_offered_can_be_asked(app: FastAPI, bundle: Bundle) -> None:
    offer = json.loads(request(app, "GET", "/v1/score/offer", {}).body)
    assert offer == {
        "scores": True,
        "generation": None,
        "videos": True,
        "max_file_bytes": FILE_LIMIT,
        "reason": None,
        "videos_reason": None,
    }


def test_a_temporary_folder_that_takes_no_file_is_a_retriable_error(
    app: FastAPI, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    answer = request(app, "POST", "/v1/score/file", VIDEO, b"x")
    assert refusal(answer) == (503, "file_not_stored", None)
    assert bundle.open_places == 0

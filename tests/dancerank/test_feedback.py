"""Feedback over HTTP, computed with a bundle that ships: skeletons, guidance, pictures, and what is refused."""

import base64
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from fastapi import FastAPI

from dancerank.feedback.answers import rounded, shown_frames
from dancerank.feedback.clip_feedback import ClipFeedback
from dancerank.feedback.recent import Recent
from dancerank.scoring_on_request.scoring import OnRequest
from dancerank.scoring_on_request.settings import ScoringSettings
from dancerank.settings import video_bundle
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from schemas.bundle import Bundle, read_bundle
from schemas.clock import ManualClock
from schemas.errors import BundleError
from schemas.events import ClipScored, FeatureFile
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.joints import LAYOUTS
from schemas.modalities import Modality
from schemas.questions.feedback import FeaturesKept, GuidanceQuestion
from streamer.assembly import open_guide
from streamer.guidance.critical import critical_frames
from streamer.settings import StreamerSettings
from tests.ranking.databases import migrated
from tests.ranking.examples import NOW_MS, apply, scored_clip
from tests.ranking.serving.asgi import JSON, Answer, refusal, request

SKELETAL, SCENIC = Modality.SKELETAL, Modality.SCENIC
ODD_IDS: Final = ('it\'s"quoted"', "<script>alert(1)<script>", "💃🏽", "رقص-١")
MISSING: Final = (slice(10, 14), 15)
"""The left wrist of the clip, for four frames."""


def clip_of(steps: int, *, layout: str = "mpii-16", skeletal: bool = True) -> ClipFeatures:
    draw, made = np.random.default_rng(steps), LAYOUTS[layout]
    pose = draw.normal(400, 120, (made.joint_count, made.coordinates))
    moving = pose + draw.normal(0, 6, (steps, *pose.shape)).cumsum(axis=0)
    frames = {SCENIC: draw.normal(0.2, 0.5, (max(12, round(steps * 4 / 25)), 512)).clip(min=0).astype(np.float32)}
    if skeletal:
        frames[SKELETAL] = moving.astype(np.float32)
    return ClipFeatures(frames, layout if skeletal else None)


CLIP: Final = clip_of(100)
CLIP.frames[SKELETAL][MISSING] = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("features")
    for name, features in {
        "clip": CLIP,
        "kinect": clip_of(80, layout="kinect-25"),
        "scenic": clip_of(100, skeletal=False),
        "minute": clip_of(1500),
        "second": clip_of(25),
        "cut": clip_of(60),
    }.items():
        (root / name).write_bytes(encode_features(features))
    (root / "damaged").write_bytes(b"nothing")
    (root / "back\\slash").write_bytes(b"nothing")
    return root


def on_request(folder: Path, bundle: Callable[[], Bundle]) -> OnRequest:
    streamer = StreamerSettings(feature_roots=(folder.as_uri(),), inference_threads=1)
    return OnRequest(bundle, lambda: None, ScoringSettings(), streamer=streamer, max_file_bytes=1)


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[ScoreStore]:
    names = ("clip", "kinect", "scenic", "minute", "damaged", "gone")
    with migrated("sqlite://") as database:
        store = ScoreStore(database)
        lasts = {"minute": 60.0}

        def scored(clip_id: str, name: str, duration_s: float = 4.0) -> ClipScored:
            return scored_clip(clip_id, features=FeatureFile((folder / name).as_uri()), duration_s=duration_s)

        kept = [scored(name, name, lasts.get(name, 4.0)) for name in names]
        kept += [scored(odd, "clip") for odd in ODD_IDS]
        kept += [scored("shorter", "cut", 4.5), scored("longer", "minute", 54.0)]
        named = FeatureFile(f"file://{folder}/back\\slash", "0" * 64)
        kept.append(scored_clip("replaced", features=named))
        outside = scored_clip("outside", features=FeatureFile("file:///etc/hostname"))
        apply(store, [*kept, outside, scored_clip("inline")])
        yield store


@pytest.fixture(scope="module")
def app(store: ScoreStore, folder: Path) -> Iterator[FastAPI]:
    with closing(on_request(folder, lambda: read_bundle(video_bundle()))) as opened:
        yield app_of(store, ClipFeedback(opened), opened)


def app_of(store: ScoreStore, feedback: ClipFeedback | None, scoring: OnRequest | None = None) -> FastAPI:
    return create_app(RankingService(store), lambda: ("text/plain", b""), feedback=feedback, scoring=scoring)


def get(app: FastAPI, path: str) -> Answer:
    return request(app, "GET", path, {})


def post(app: FastAPI, body: object, path: str = "/v1/guidance") -> Answer:
    return request(app, "POST", path, JSON, json.dumps(body).encode())


def inline(features: ClipFeatures) -> dict[str, str]:
    return {"kind": "inline", "content": base64.b64encode(encode_features(features)).decode()}


def said(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_the_skeleton_is_that_of_the_features_in_the_picture_and_null_where_it_was_not_detected(app: FastAPI) -> None:
    skeleton = said(get(app, "/v1/clips/clip/skeleton"))
    assert (skeleton["clip_id"], skeleton["layout"], skeleton["frames"], skeleton["rate_hz"]) == (
        "clip",
        "mpii-16",
        100,
        25.0,
    )
    assert skeleton["joints"] == list(LAYOUTS["mpii-16"].joints)
    assert [tuple(bone) for bone in skeleton["bones"]] == list(LAYOUTS["mpii-16"].edges)
    for frame, points in enumerate(skeleton["positions"]):
        for joint, point in enumerate(points):
            if joint == 15 and 10 <= frame < 14:
                assert point is None
            else:
                assert point == pytest.approx(CLIP.frames[SKELETAL][frame, joint], abs=0.06)


def test_a_pose_of_another_layout_is_shown_as_the_model_reads_it(app: FastAPI) -> None:
    skeleton = said(get(app, "/v1/clips/kinect/skeleton"))
    assert (skeleton["layout"], len(skeleton["positions"][0]), len(skeleton["positions"][0][0])) == ("mpii-16", 16, 2)
    guidance = said(get(app, "/v1/clips/kinect/guidance"))
    assert (guidance["joints"], guidance["frames"]) == (skeleton["joints"], skeleton["frames"])


@pytest.mark.parametrize("of", ["skeletal", "fused"])
@pytest.mark.parametrize("smoothing", ["raw", "bones"])
def test_guidance_is_what_the_guide_says(app: FastAPI, of: str, smoothing: str) -> None:
    answer = said(get(app, f"/v1/clips/clip/guidance?of={of}&smoothing={smoothing}&critical=2&apart_s=0.5"))
    bundle = read_bundle(video_bundle())
    guide = open_guide(bundle, StreamerSettings(inference_threads=1))
    found = guide.guidance(decode_features(encode_features(CLIP)), of=of, smoothing=smoothing)
    assert (answer["generation"], answer["of"], answer["smoothing"]) == (bundle.manifest.generation, of, smoothing)
    assert answer["score"] == pytest.approx(found.score, abs=1e-6)
    assert answer["body"] == pytest.approx(found.scale, rel=1e-3)
    assert answer["largest"] == pytest.approx(found.magnitudes.max(), rel=1e-3)
    for frame in range(100):
        for joint, vector in enumerate(answer["vectors"][frame]):
            if found.missing[frame, joint]:
                assert vector is None
            else:
                assert vector == pytest.approx(found.gradient[frame, joint], abs=6e-4 * answer["largest"])
    moments = critical_frames(found, 2, 0.5)
    assert [each["sentence"] for each in answer["critical_frames"]] == [each.sentence for each in moments]
    assert [each["frame"] for each in answer["critical_frames"]] == [each.frame for each in moments]
    assert "positions" not in answer


def test_a_clip_that_is_scored_on_request_has_the_same_movement_if_that_is_asked_for(app: FastAPI) -> None:
    scored = said(post(app, {"features": inline(CLIP), "movement": True}, "/v1/score"))
    for part in ("skeleton", "guidance"):
        expected = said(get(app, f"/v1/clips/clip/{part}"))
        assert scored[part] == {name: value for name, value in expected.items() if name != "clip_id"}
    scenic = said(post(app, {"features": inline(clip_of(100, skeletal=False)), "movement": True}, "/v1/score"))
    assert scenic["skeleton"] is scenic["guidance"] is None


def test_fewer_frames_are_those_nearest_to_the_moments_that_are_asked_for(app: FastAPI) -> None:
    whole, fewer = (said(get(app, f"/v1/clips/clip/guidance?rate_hz={rate}")) for rate in (60, 10))
    assert (whole["rate_hz"], whole["frames"], fewer["rate_hz"], fewer["frames"]) == (25.0, 100, 10.0, 40)
    assert fewer["vectors"] == [whole["vectors"][round(2.5 * number)] for number in range(40)]
    assert fewer["largest"] == whole["largest"]
    for one, other in zip(fewer["critical_frames"], whole["critical_frames"], strict=True):
        assert (one["time_s"], one["sentence"]) == (other["time_s"], other["sentence"])
        assert abs(one["frame"] / 10 - one["time_s"]) <= 0.05


@pytest.mark.parametrize(("frames", "asked_hz"), [(1, 1.0), (1, 25.0), (26, 10.0), (1500, 1.0), (7, 24.9)])
def test_the_frames_that_are_shown_exist_and_are_in_order(frames: int, asked_hz: float) -> None:
    shown, rate_hz = shown_frames(frames, 25.0, asked_hz)
    assert rate_hz == asked_hz
    assert shown[0] == 0
    assert shown[-1] < frames
    assert shown == sorted(shown)


def test_numbers_have_four_digits_of_the_body() -> None:
    assert [rounded(123.456789, size) for size in (1.0, 120.0, 99.0, 0.001)] == [123.457, 123.5, 123.46, 123.456789]
    assert rounded(5.0, 0.0) == 5.0


def test_a_clip_that_was_never_uploaded_is_answered_alike_and_with_its_skeleton(app: FastAPI, folder: Path) -> None:
    kept = said(get(app, "/v1/clips/clip/guidance?of=fused&smoothing=raw"))
    skeleton = said(get(app, "/v1/clips/clip/skeleton"))
    for features in (inline(CLIP), {"kind": "file", "uri": (folder / "clip").as_uri()}):
        answer = said(post(app, {"features": features, "of": "fused", "smoothing": "raw"}))
        assert answer.pop("positions") == skeleton["positions"]
        assert answer == {name: value for name, value in kept.items() if name != "clip_id"}


@pytest.mark.tried(
    kind="legal and absurd values",
    given="guidance of clips of 1 and 60 s",
    outcome="422 that says how long a clip lasts; answered",
)
def test_a_clip_of_a_minute_has_guidance_and_one_of_a_second_is_refused_with_what_to_do(
    app: FastAPI, folder: Path
) -> None:
    assert said(get(app, "/v1/clips/minute/guidance"))["frames"] == 1500
    answer = post(app, {"features": {"kind": "file", "uri": (folder / "second").as_uri()}})
    assert answer.status == 422
    assert "3" in json.loads(answer.body)["error"]["message"]


@pytest.mark.tried(
    kind="legal and absurd values",
    given="guidance of clips that were scored with features of half their length, or a tenth longer",
    outcome="answered",
)
@pytest.mark.parametrize(("clip_id", "frames"), [("shorter", 60), ("longer", 1500)])
def test_whatever_was_scored_has_a_skeleton_and_guidance(app: FastAPI, folder: Path, clip_id: str, frames: int) -> None:
    for part in ("skeleton", "guidance"):
        assert said(get(app, f"/v1/clips/{clip_id}/{part}"))["frames"] == frames
    cut = {"kind": "file", "uri": (folder / "cut").as_uri()}
    assert refusal(post(app, {"features": cut})) == (422, "invalid_query", "duration_s"), "of no stated length"


@pytest.mark.tried(
    kind="untrusted text in output",
    given="ids with quotes, <script>, emoji and right-to-left letters",
    outcome="answered and drawn as text",
)
@pytest.mark.parametrize("clip_id", ODD_IDS)
def test_ids_of_any_letters_are_answered_as_they_are(app: FastAPI, clip_id: str) -> None:
    path = f"/v1/clips/{quote(clip_id, safe='')}"
    assert said(get(app, f"{path}/skeleton"))["clip_id"] == clip_id
    assert said(get(app, f"{path}/guidance"))["clip_id"] == clip_id
    svg = get(app, f"{path}/guidance/picture?format=svg")
    assert svg.status == 200
    assert b"<script" not in svg.body


@pytest.mark.parametrize(
    ("path", "expected", "words"),
    [
        ("/v1/clips/inline/skeleton", (404, "features_not_kept", "clip_id"), "came with its upload"),
        ("/v1/clips/inline/guidance", (404, "features_not_kept", "clip_id"), "POST /v1/guidance"),
        ("/v1/clips/gone/guidance", (404, "features_not_kept", "clip_id"), "no longer where they were"),
        ("/v1/clips/outside/guidance", (404, "features_not_kept", "clip_id"), "no longer where they were"),
        ("/v1/clips/unknown/guidance", (404, "not_found", "clip_id"), "unknown"),
        ("/v1/clips/scenic/guidance", (422, "skeleton_missing", "skeletal"), "joints of a skeleton"),
        ("/v1/clips/scenic/guidance?of=fused", (422, "skeleton_missing", "skeletal"), "only scenic"),
        ("/v1/clips/scenic/skeleton", (422, "skeleton_missing", "skeletal"), "joints of a skeleton"),
        ("/v1/clips/damaged/guidance", (422, "feature_file_corrupt", None), "clip damaged"),
        ("/v1/clips/replaced/guidance", (422, "feature_file_corrupt", "features.sha256"), "clip replaced: checksum"),
        ("/v1/clips/clip/guidance?of=facial", (422, "invalid_query", "of"), "skeletal"),
        ("/v1/clips/clip/guidance?smoothing=none", (422, "invalid_query", "smoothing"), "raw"),
        ("/v1/clips/clip/guidance?critical=0", (422, "invalid_query", "critical"), "1"),
        ("/v1/clips/clip/guidance?rate_hz=nan", (422, "invalid_query", "rate_hz"), "rate_hz"),
        ("/v1/clips/clip/guidance/picture?format=webp", (422, "invalid_query", "format"), "png or svg"),
        ("/v1/clips/clip/guidance/picture?kind=moving&format=svg", (422, "invalid_query", "format"), "webp or gif"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence_that_names_no_path(
    app: FastAPI, folder: Path, path: str, expected: tuple[int, str, str | None], words: str
) -> None:
    answer = get(app, path)
    assert refusal(answer) == expected
    message = json.loads(answer.body)["error"]["message"]
    assert words in message
    assert "file://" not in message
    assert str(folder) not in message


@pytest.mark.tried(
    kind="legal and absurd values", given="guidance of features with NaN", outcome="422 feature_value_invalid"
)
def test_features_with_numbers_that_are_none_are_refused(app: FastAPI) -> None:
    broken = bytearray(encode_features(clip_of(100)))
    broken[-4:] = np.float32(np.nan).tobytes()
    features = {"kind": "inline", "content": base64.b64encode(bytes(broken)).decode()}
    answer = post(app, {"features": features})
    assert refusal(answer)[:2] == (422, "feature_value_invalid")


def test_pictures_come_in_each_format(app: FastAPI) -> None:
    for query, media_type, start in (
        ("format=png", "image/png", b"\x89PNG"),
        ("format=svg", "image/svg+xml", b"<"),
        ("kind=moving", "image/webp", b"RIFF"),
    ):
        answer = get(app, f"/v1/clips/clip/guidance/picture?{query}")
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        assert answer.body.startswith(start)
    answer = post(app, {"features": inline(CLIP), "title": "Mine"}, "/v1/guidance/picture")
    assert answer.body.startswith(b"\x89PNG")


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="guidance from a bundle without gradient graphs",
    outcome="501 not_offered with the command that adds them; everything else is answered",
)
def test_a_bundle_without_gradient_graphs_shows_skeletons_and_says_how_to_get_guidance(
    store: ScoreStore, folder: Path
) -> None:
    bundle = read_bundle(video_bundle())
    without = Bundle(msgspec.structs.replace(bundle.manifest, guidance=msgspec.UNSET), bundle.graphs, bundle.sample)
    with closing(on_request(folder, lambda: without)) as opened:
        app = app_of(store, ClipFeedback(opened))
        assert get(app, "/v1/clips/clip/skeleton").status == 200
        answer = get(app, "/v1/clips/clip/guidance")
        assert refusal(answer) == (501, "not_offered", None)
        assert "add-guidance" in json.loads(answer.body)["error"]["message"]


def test_without_a_bundle_everything_else_is_served_and_feedback_says_what_is_lacking(
    store: ScoreStore, folder: Path
) -> None:
    def no_bundle() -> Bundle:
        raise BundleError("/secret/bundle: no readable manifest")

    with closing(on_request(folder, no_bundle)) as opened:
        app = app_of(store, ClipFeedback(opened))
        assert get(app, "/v1/clips/clip").status == 200
        answer = get(app, "/v1/clips/clip/guidance")
        assert refusal(answer) == (501, "not_offered", None)
        assert b"secret" not in answer.body
    assert refusal(get(app_of(store, None), "/v1/clips/clip/skeleton")) == (501, "not_offered", None)


def test_a_clip_that_is_uploaded_again_under_its_uri_has_its_new_movement(folder: Path) -> None:
    with migrated("sqlite://") as database, closing(on_request(folder, lambda: read_bundle(video_bundle()))) as opened:
        store, place = ScoreStore(database), folder / "again"
        again = app_of(store, ClipFeedback(opened))
        for number, frames in enumerate((100, 90)):
            place.write_bytes(encode_features(clip_of(frames)))
            changes = {"uploaded_at_ms": NOW_MS + number, "duration_s": 4.0}
            apply(store, [scored_clip("a", features=FeatureFile(place.as_uri()), **changes)], start=number)
            for part in ("skeleton", "guidance"):
                assert said(get(again, f"/v1/clips/a/{part}"))["frames"] == frames


def test_of_a_clip_that_is_kept_only_its_movement_is(tmp_path: Path) -> None:
    features = clip_of(750)
    features.frames[SCENIC] = np.random.default_rng(1).normal(0.2, 0.5, (120, 8192)).astype(np.float32)
    (tmp_path / "wide").write_bytes(encode_features(features))
    source = FeatureFile((tmp_path / "wide").as_uri())
    with closing(on_request(tmp_path, lambda: read_bundle(video_bundle()))) as opened:
        feedback = ClipFeedback(opened)
        feedback.skeleton(FeaturesKept(source, 0, 30.0), 25.0)  # loads the bundle
        tracemalloc.start()
        try:
            feedback.skeleton(FeaturesKept(source, 1, 30.0), 25.0)
            feedback.guidance(source, GuidanceQuestion())
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept_bytes < 1_000_000, "the file has 4 MB"


def test_results_are_kept_for_a_while_and_no_more_than_so_many() -> None:
    clock, asked = ManualClock(), list[str]()

    def compute(name: str) -> Callable[[], str]:
        def computing() -> str:
            asked.append(name)
            return name

        return computing

    recent = Recent[str](2, 10.0, clock)
    for name in ("a", "a", "b", "a", "c", "b", None, None):
        assert recent.get(name, compute(name or "none")) == (name or "none")
    assert asked == ["a", "b", "c", "b", "none", "none"], "b was used least recently when c came"
    clock.advance(11.0)
    recent.get("b", compute("b"))
    assert asked[-1] == "b"
    assert len(asked) == 7

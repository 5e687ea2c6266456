"""Pictures over HTTP: those of the answers, in the format asked for; without what draws, a sentence."""

from typing import Any

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api.app import create_app
from ranking.serving.service import RankingService
from ranking.serving.strips import challenge_strips
from schemas.errors import FeatureFileMissing, NotOffered
from schemas.events import FeatureFile, StyleResult, VideoFile
from schemas.modalities import Dimension, Modality
from schemas.moments import ClipMoments
from schemas.picture_formats import StillFormat
from schemas.questions.feedback import FeaturesKept, Skeleton
from schemas.questions.pictures import ChallengeStrips, ClipStrip, Drawing
from schemas.questions.tips import ChallengeTips, TipsAnswer
from tests.ranking.examples import apply, guidance, result, scored_clip
from tests.ranking.serving.test_api import Client


class Described:
    """Says what it would draw."""

    def tips(self, tips: ChallengeTips, example: ClipStrip | None, format: StillFormat) -> bytes:
        style = "" if tips.style is None else f" of style {tips.style}"
        shown = "" if example is None else f", {example.rank}. {example.clip_id}"
        return f"{format} of {tips.challenge_id}, {tips.clips} clips of {tips.generation}{style}{shown}".encode()

    def overall_tips(self, tips: TipsAnswer, format: StillFormat) -> bytes:
        return f"{format} of {', '.join(each.challenge_id for each in tips.challenges)}".encode()

    def strips(self, strips: ChallengeStrips, format: StillFormat) -> bytes:
        best, last = (
            " ".join(f"{each.rank}.{each.clip_id}{'+' if each.skeleton else '-'}" for each in end)
            for end in (strips.best, strips.last)
        )
        return f"{format} by {strips.dimension} of {strips.clips}: {best}; {last}".encode()

    def moments(self, moments: ClipMoments, format: StillFormat) -> bytes:
        return f"{format} of {moments.clip_id}".encode()


class WithoutThePackage(Described):
    def tips(self, tips: ChallengeTips, example: ClipStrip | None, format: StillFormat) -> bytes:
        raise NotOffered("pictures need PIL, which is not installed; install dancerank[pictures]")


class Skeletons:
    """Of a feature file whose name does not end in ``gone``."""

    def skeleton(self, kept: FeaturesKept, rate_hz: float) -> Skeleton:
        assert isinstance(kept.source, FeatureFile)
        if kept.source.uri.endswith("gone"):
            raise FeatureFileMissing(kept.source.uri)
        return Skeleton(layout="mpii-16", joints=[], bones=[], rate_hz=rate_hz, frames=0, positions=[])


def ranked(store: ScoreStore, clips: int) -> Client:
    """A challenge in which the clip ``n`` has the fused rank ``n`` and the opposite by movement. Of clip 2 nothing is
    kept, of clip 3 the video, and the file of clip 4 is gone.
    """
    features = {3: VideoFile("file:///3.mp4"), 4: FeatureFile("file:///gone")}
    apply(
        store,
        [
            scored_clip(
                f"c{n}",
                features=None if n == 2 else features.get(n, FeatureFile(f"file:///{n}")),
                fused_score=-n / 100,
                modalities={Modality.SKELETAL: result(score=n / 100)},
            )
            for n in range(1, clips + 1)
        ],
    )
    feedback: Any = Skeletons()
    return Client(
        create_app(RankingService(store), lambda: ("text/plain", b""), feedback=feedback, drawing=Described())
    )


def client(store: ScoreStore, drawing: Drawing | None) -> Client:
    styled = {2: {"style": StyleResult(style="tango", probability=0.9)}}
    clips = [scored_clip(f"c{n}", guidance=guidance(n, duration_s=1.2), **styled.get(n, {})) for n in range(3)]
    clips += [
        scored_clip("alone", challenge_id="<b>", guidance=guidance(3)),
        scored_clip("plain", challenge_id="plain"),
    ]
    apply(store, [*clips, scored_clip("new", generation="g2", guidance=guidance(1, duration_s=0.5))])
    return Client(create_app(RankingService(store), lambda: ("text/plain", b""), drawing=drawing))


@pytest.fixture(scope="module")
def drawn(module_database: Database) -> Client:
    """Has its answers drawn."""
    return client(ScoreStore(module_database), Described())


@pytest.mark.parametrize(
    ("path", "media_type", "content"),
    [
        ("/v1/challenges/ch/tips/picture", "image/png", "png of ch, 3 clips of g1"),
        ("/v1/challenges/ch/tips/picture?format=svg", "image/svg+xml", "svg of ch, 3 clips of g1"),
        ("/v1/challenges/ch/tips/picture?generation=g2", "image/png", "png of ch, 1 clips of g2"),
        ("/v1/challenges/ch/tips/picture?style=tango", "image/png", "png of ch, 1 clips of g1 of style tango"),
        ("/v1/tips/picture?format=svg", "image/svg+xml", "svg of <b>, ch"),
    ],
)
def test_pictures_of_tips_are_of_the_answer_in_the_format_asked_for(
    drawn: Client, path: str, media_type: str, content: str
) -> None:
    answer = drawn.get(path)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, media_type, content)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/challenges/ch/tips/picture?format=gif", 422, "invalid_query"),
        ("/v1/challenges/none/tips/picture", 404, "not_found"),
        ("/v1/challenges/plain/tips/picture", 404, "guidance_missing"),
        ("/v1/challenges/ch/tips/picture?style=samba", 404, "not_found"),
        ("/v1/tips/picture?generation=g9", 404, "not_found"),
    ],
)
def test_what_cannot_be_drawn_is_answered_as_the_question_would_be(
    drawn: Client, path: str, status: int, code: str
) -> None:
    answer = drawn.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_example_of_tips_is_the_clip_with_the_best_movement_whose_skeleton_is_kept(store: ScoreStore) -> None:
    sources = [
        None,
        VideoFile("file:///1.mp4"),
        FeatureFile("file:///gone"),
        FeatureFile("file:///3"),
        FeatureFile("file:///4"),
    ]
    clips = [
        scored_clip(
            f"c{n}",
            modalities={Modality.SKELETAL: result(score=1.0 - n / 10)},
            guidance=guidance(n, duration_s=1.2),
            style=StyleResult(style="tango" if n == 4 else "salsa", probability=0.9),
            **({} if source is None else {"features": source}),
        )
        for n, source in enumerate(sources)
    ]
    apply(store, clips)
    app = create_app(RankingService(store), lambda: ("text/plain", b""), drawing=Described(), feedback=Skeletons())
    said = Client(app).get("/v1/challenges/ch/tips/picture").text
    assert said == "png of ch, 5 clips of g1, 4. c3"
    assert Client(app).get("/v1/challenges/ch/tips/picture?style=tango").text.endswith("of style tango, 1. c4")


def test_without_what_draws_a_sentence_says_what_to_do(store: ScoreStore) -> None:
    for drawing, said in ((None, "dancerank serve"), (WithoutThePackage(), "install dancerank[pictures]")):
        answer = client(store, drawing).get("/v1/challenges/ch/tips/picture")
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_offered")
        assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("clips", "asked", "content"),
    [
        (12, "", "png by fused of 12: 1.c1+ 2.c2- 3.c3- 4.c4- 5.c5+; 8.c8+ 9.c9+ 10.c10+ 11.c11+ 12.c12+"),
        (12, "&by=skeletal", "by skeletal of 12: 1.c12+ 2.c11+ 3.c10+ 4.c9+ 5.c8+; 8.c5+ 9.c4- 10.c3- 11.c2- 12.c1+"),
        (10, "&format=svg", "svg by fused of 10: 1.c1+ 2.c2- 3.c3- 4.c4- 5.c5+; 6.c6+ 7.c7+ 8.c8+ 9.c9+ 10.c10+"),
        (3, "", "png by fused of 3: 1.c1+ 2.c2-; 3.c3-"),
        (1, "", "png by fused of 1: 1.c1+; "),
    ],
)
def test_strips_are_of_the_best_and_the_last_clips_none_of_them_twice(
    store: ScoreStore, clips: int, asked: str, content: str
) -> None:
    answer = ranked(store, clips).get(f"/v1/challenges/ch/strips/picture?window=all{asked}")
    assert (answer.status_code, answer.text.endswith(content)) == (200, True), answer.text


def test_strips_of_an_unknown_challenge_or_without_skeletons_are_refused_in_a_sentence(store: ScoreStore) -> None:
    answer = ranked(store, 1).get("/v1/challenges/none/strips/picture")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    answer = Client(create_app(RankingService(store), lambda: ("text/plain", b""))).get(
        "/v1/challenges/ch/strips/picture"
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_offered")


def test_clips_with_equal_scores_are_not_there_twice(store: ScoreStore) -> None:
    apply(store, [scored_clip(f"c{n}") for n in range(11)])
    found = challenge_strips(RankingService(store), Skeletons().skeleton, "ch", Dimension.FUSED)
    assert len({strip.clip_id for strip in [*found.best, *found.last]}) == 10

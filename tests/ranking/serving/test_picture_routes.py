"""Pictures over HTTP: those of the answers, in the format asked for; without what draws, a sentence."""

import pytest

from ranking.scores.store import ScoreStore
from ranking.serving.api.app import create_app
from ranking.serving.service import RankingService
from schemas.drawing import Drawing, StillFormat
from schemas.errors import NotOffered
from schemas.tips import ChallengeTips, TipsAnswer
from tests.ranking.examples import apply, guidance, scored_clip
from tests.ranking.serving.test_api import Client


class Described:
    """Says what it would draw."""

    def tips(self, tips: ChallengeTips | TipsAnswer, format: StillFormat) -> bytes:
        if isinstance(tips, TipsAnswer):
            return f"{format} of {', '.join(each.challenge_id for each in tips.challenges)}".encode()
        return f"{format} of {tips.challenge_id}, {tips.clips} clips of {tips.generation}".encode()


class WithoutThePackage(Described):
    def tips(self, tips: ChallengeTips | TipsAnswer, format: StillFormat) -> bytes:
        raise NotOffered("pictures need PIL, which is not installed; install dancerank[pictures]")


def client(store: ScoreStore, drawing: Drawing | None) -> Client:
    clips = [scored_clip(f"c{n}", guidance=guidance(n, duration_s=1.2)) for n in range(3)]
    clips += [
        scored_clip("alone", challenge_id="<b>", guidance=guidance(3)),
        scored_clip("plain", challenge_id="plain"),
    ]
    apply(store, [*clips, scored_clip("new", generation="g2", guidance=guidance(1, duration_s=0.5))])
    return Client(create_app(RankingService(store), lambda: ("text/plain", b""), drawing=drawing))


@pytest.mark.parametrize(
    ("path", "media_type", "content"),
    [
        ("/v1/challenges/ch/tips/picture", "image/png", "png of ch, 3 clips of g1"),
        ("/v1/challenges/ch/tips/picture?format=svg", "image/svg+xml", "svg of ch, 3 clips of g1"),
        ("/v1/challenges/ch/tips/picture?generation=g2", "image/png", "png of ch, 1 clips of g2"),
        ("/v1/tips/picture?format=svg", "image/svg+xml", "svg of <b>, ch"),
    ],
)
def test_pictures_of_tips_are_of_the_answer_in_the_format_asked_for(
    store: ScoreStore, path: str, media_type: str, content: str
) -> None:
    answer = client(store, Described()).get(path)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, media_type, content)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/challenges/ch/tips/picture?format=gif", 422, "invalid_query"),
        ("/v1/challenges/none/tips/picture", 404, "not_found"),
        ("/v1/challenges/plain/tips/picture", 404, "guidance_missing"),
        ("/v1/tips/picture?generation=g9", 404, "not_found"),
    ],
)
def test_what_cannot_be_drawn_is_answered_as_the_question_would_be(
    store: ScoreStore, path: str, status: int, code: str
) -> None:
    answer = client(store, Described()).get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_without_what_draws_a_sentence_says_what_to_do(store: ScoreStore) -> None:
    for drawing, said in ((None, "dancerank serve"), (WithoutThePackage(), "install dancerank[pictures]")):
        answer = client(store, drawing).get("/v1/challenges/ch/tips/picture")
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_offered")
        assert said in answer.json()["error"]["message"]

"""Styles over HTTP: rankings of one, and how many clips show each."""

from urllib.parse import quote

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api.app import create_app
from ranking.serving.service import RankingService
from schemas.events import StyleResult
from tests.ranking.examples import apply, guidance, scored_clip
from tests.ranking.serving.test_api import Client

SLOW = "slow & 'waltz'/é"


@pytest.fixture(scope="module")
def client(module_database: Database) -> Client:
    store = ScoreStore(module_database)
    styles = ["cha-cha", SLOW, SLOW, None]
    clips = [
        scored_clip(
            f"c{n}",
            fused_score=n / 10,
            style=StyleResult(style=style, probability=0.9),
            guidance=guidance(n, duration_s=1.0),
        )
        for n, style in enumerate(styles)
    ]
    apply(store, [*clips, scored_clip("plain"), scored_clip("else", challenge_id="ch2")])
    return Client(create_app(RankingService(store), lambda: ("text/plain", b"")))


def test_a_ranking_of_a_style_ranks_its_clips_among_themselves(client: Client) -> None:
    answer = client.get(f"/v1/challenges/ch/rankings?style={quote(SLOW, safe='')}").json()
    assert (answer["style"], answer["clips"]) == (SLOW, 2)
    assert [(entry["clip_id"], entry["rank"]) for entry in answer["entries"]] == [("c2", 1), ("c1", 2)]
    unknown = client.get("/v1/challenges/ch/rankings?style=unknown").json()
    assert [entry["clip_id"] for entry in unknown["entries"]] == ["c3"]


def test_the_distribution_and_the_neighbours_in_a_ranking_of_a_style(client: Client) -> None:
    style = quote(SLOW, safe="")
    counted = client.get(f"/v1/challenges/ch/distribution?bins=2&style={style}").json()
    assert (counted["style"], counted["clips"], counted["counts"]) == (SLOW, 2, [1, 1])
    beside = client.get(f"/v1/clips/c1/neighbours?style={style}").json()
    assert (beside["style"], beside["clips"], beside["clip"]["rank"]) == (SLOW, 2, 2)
    assert [each["clip_id"] for each in beside["above"]] == ["c2"]
    assert beside["below"] == []


def test_styles_of_a_challenge_and_of_all(client: Client) -> None:
    of_one = client.get("/v1/challenges/ch/styles").json()
    assert of_one["styles"] == [
        {"style": SLOW, "clips": 2}, {"style": "cha-cha", "clips": 1}, {"style": "unknown", "clips": 1}
    ]  # fmt: skip
    assert (of_one["clips"], of_one["not_judged"], of_one["challenge_id"]) == (5, 1, "ch")
    of_all = client.get("/v1/styles").json()
    assert (of_all["clips"], of_all["not_judged"], of_all["challenge_id"]) == (6, 2, None)
    assert of_all["styles"] == of_one["styles"]


def test_tips_of_a_style(client: Client) -> None:
    answer = client.get(f"/v1/challenges/ch/tips?style={quote(SLOW, safe='')}").json()
    assert (answer["style"], answer["clips"]) == (SLOW, 2)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/challenges/ch/rankings?style=samba", 404, "shows the style samba; its styles are slow"),
        ("/v1/challenges/ch/tips?style=samba", 404, "shows the style samba"),
        ("/v1/challenges/ch/distribution?style=samba", 404, "shows the style samba"),
        ("/v1/clips/c0/neighbours?style=samba", 404, "clip c0 does not show the style samba; it shows cha-cha"),
        ("/v1/clips/plain/neighbours?style=samba", 404, "its style was not judged"),
        ("/v1/distribution?style=samba", 422, "style"),
        ("/v1/challenges/none/styles", 404, "challenge none has no clips"),
        ("/v1/challenges/ch/rankings?style=", 422, "style"),
        (f"/v1/challenges/ch/rankings?style={'x' * 65}", 422, "style"),
        ("/v1/challenges/ch/rankings?style=a%00b", 422, "style"),
        ("/v1/styles?style=waltz", 422, "style"),
    ],
)
def test_what_cannot_be_answered_is_said(client: Client, path: str, status: int, said: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_a_clip_has_its_style(client: Client) -> None:
    answer = client.get("/v1/clips/c0").json()
    assert (answer["style"], answer["style_probability"]) == ("cha-cha", 0.9)

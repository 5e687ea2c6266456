"""Tips over HTTP: what the store sums, with names and units, and a sentence where there is nothing to sum."""

from urllib.parse import quote

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api.app import create_app
from ranking.serving.service import RankingService
from schemas.joints import LAYOUTS
from tests.ranking.examples import apply, guidance, scored_clip
from tests.ranking.serving.test_api import Client

ODD = ["a'b", 'a"b', "<script>alert(1)</script>".replace("/", "∕"), "🕺", "אתגר", "x';DROP", "%s"]


@pytest.fixture(scope="module")
def store(module_database: Database) -> ScoreStore:
    return ScoreStore(module_database)


@pytest.fixture(scope="module")
def client(store: ScoreStore) -> Client:
    clips = [scored_clip(f"c{n}", guidance=guidance(n, duration_s=1.2)) for n in range(3)]
    clips += [scored_clip(f"odd-{n}", challenge_id=name, guidance=guidance(n)) for n, name in enumerate(ODD)]
    clips += [scored_clip("plain", challenge_id="plain")]
    clips += [scored_clip("new", generation="g2", guidance=guidance(1, duration_s=0.5))]
    apply(store, clips)
    return Client(create_app(RankingService(store), lambda: ("text/plain", b"")))


def test_tips_of_a_challenge_name_joints_bins_and_unit(client: Client, store: ScoreStore) -> None:
    answer = client.get("/v1/challenges/ch/tips").json()
    held, layout = store.challenge_tips("ch", "g1"), LAYOUTS["mpii-16"]
    assert {name: value for name, value in answer.items() if name not in ("temporal", "overall", "bones")} == {
        "challenge_id": "ch",
        "generation": "g1",
        "clips": 3,
        "layout": "mpii-16",
        "joints": list(layout.joints),
        "bin_s": 0.5,
        "clips_by_bin": [3, 3, 3],
        "unit": "score per mean absolute deviation",
        "style": None,
    }
    assert (answer["temporal"], answer["overall"]) == (held.temporal, held.overall)
    assert [tuple(bone) for bone in answer["bones"]] == list(layout.edges)


def test_tips_of_all_challenges_are_those_of_each(client: Client) -> None:
    answer = client.get("/v1/tips").json()
    assert [each["challenge_id"] for each in answer["challenges"]] == sorted(["ch", *ODD])
    for each in answer["challenges"]:
        alone = client.get(f"/v1/challenges/{quote(each['challenge_id'], safe='')}/tips").json()
        assert (each["clips"], each["overall"]) == (alone["clips"], alone["overall"])


def test_tips_are_of_one_generation(client: Client) -> None:
    assert client.get("/v1/challenges/ch/tips?generation=g2").json()["clips_by_bin"] == [1]
    assert [each["clips"] for each in client.get("/v1/tips?generation=g2").json()["challenges"]] == [1]


def test_a_challenge_without_guidance_says_what_gives_it_some(client: Client) -> None:
    answer = client.get("/v1/challenges/plain/tips")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "guidance_missing")
    assert "no clip of challenge plain has guidance" in error["message"]
    assert "streamer.guidance_share" in error["message"]
    unknown = client.get("/v1/challenges/unknown/tips")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


def test_what_is_not_there_yet_is_an_answer_to_who_asks_so(client: Client) -> None:
    answer = client.get("/v1/challenges/plain/tips?or_none=true")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/v1/challenges/ch/tips?or_none=true").json() == client.get("/v1/challenges/ch/tips").json()
    assert client.get("/v1/challenges/unknown/tips?or_none=true").status_code == 404
    assert client.get("/v1/clips/plain/observed?or_none=true").status_code == 204
    assert client.get("/v1/clips/plain/observed").status_code == 404

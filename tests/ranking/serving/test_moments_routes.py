"""Moments over HTTP: what the store keeps of a routine, drawn on request, and a sentence for other clips."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from dancerank.answer_pictures import Drawings
from ranking.scores.store import ScoreStore
from ranking.serving.api.app import create_app
from ranking.serving.service import RankingService
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, routine, scored_clip
from tests.ranking.serving.test_api import Client


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RankingService]:
    with migrated(f"sqlite:///{tmp_path_factory.mktemp('moments') / 'ranking.db'}") as database:
        store = ScoreStore(database)
        apply(store, [routine("r1"), scored_clip("short"), routine("r1", generation="g2", seconds=61, seed=2)])
        yield RankingService(store)


@pytest.fixture(scope="module")
def client(service: RankingService) -> Client:
    return Client(create_app(service, lambda: ("text/plain", b""), drawing=Drawings()))


def test_a_routine_is_answered_with_its_curve_and_its_heaviest_moments_apart(client: Client) -> None:
    answer = client.get("/v1/clips/r1/moments").json()
    assert {name: answer[name] for name in ("clip_id", "generation", "score", "rate_hz", "seconds", "parts")} == {
        "clip_id": "r1",
        "generation": "g1",
        "score": 0.5,
        "rate_hz": 1.0,
        "seconds": 83.0,
        "parts": ["dynamic", "static"],
    }
    assert {part: len(weights) for part, weights in answer["weights"].items()} == {"dynamic": 83, "static": 83}
    moments = answer["moments"]
    assert len(moments) == 5
    assert [each["times_equal"] for each in moments] == sorted((e["times_equal"] for e in moments), reverse=True)
    ordered = sorted(moments, key=lambda each: each["start_s"])
    assert all(later["start_s"] - one["end_s"] >= 5 - 1e-6 for one, later in pairwise(ordered))
    first = client.get("/v1/clips/r1/moments?count=1&apart_s=0").json()["moments"]
    assert first == moments[:1]


def test_moments_are_of_one_generation(client: Client) -> None:
    answer = client.get("/v1/clips/r1/moments?generation=g2").json()
    assert (answer["generation"], answer["seconds"]) == ("g2", 61.0)


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        ("short/moments", 404, "moments_missing", "clip short is not a routine: it lasts 10 s"),
        ("short/moments/picture", 404, "moments_missing", "moments are of clips longer than 60 s"),
        ("none/moments", 404, "not_found", "clip none is not known"),
        ("r1/moments?count=21", 422, "invalid_query", "count"),
        ("r1/moments?apart_s=nan", 422, "invalid_query", "apart_s"),
        ("r1/moments?apart=2", 422, "invalid_query", "apart"),
        ("r1/moments/picture?format=webp", 422, "invalid_query", "format"),
    ],
)
def test_what_has_no_moments_is_said_in_a_sentence(
    client: Client, path: str, status: int, code: str, said: str
) -> None:
    answer = client.get(f"/v1/clips/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "media_type", "head"), [("", "image/png", b"\x89PNG"), ("?format=svg&count=9", "image/svg+xml", b"<")]
)
def test_moments_are_drawn_in_the_format_asked_for(client: Client, asked: str, media_type: str, head: bytes) -> None:
    answer = client.get(f"/v1/clips/r1/moments/picture{asked}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.content.startswith(head)


def test_without_what_draws_moments_are_numbers_only(service: RankingService) -> None:
    plain = Client(create_app(service, lambda: ("text/plain", b"")))
    assert plain.get("/v1/clips/r1/moments").status_code == 200
    answer = plain.get("/v1/clips/r1/moments/picture")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_offered")

"""Searches over HTTP: examples, exclusions and filters, and what is wrong with them by the parameter's name."""

from typing import Any

import pytest

from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.ranking.examples import NOW_MS, logged, result, scored_clip
from tests.ranking.pools.examples import POLICY, plain, rated
from tests.ranking.pools.rows import Pools
from tests.ranking.serving.test_api import Client, client_of

SKELETAL, SCENIC = Modality.SKELETAL, Modality.SCENIC
TIER = POLICY.tiers[0].name
# Clip: dancer, challenge, hours before NOW_MS, fused score, movement, room.
CLIPS: dict[str, tuple[str, str, int, float, list[float], list[float]]] = {
    "a": ("d1", "ch", 0, 0.9, [1, 0], [1, 0]),
    "b": ("d2", "ch", 1, 0.7, [4, 3], [1, 0]),
    "c": ("d3", "ch", 2, 0.5, [3, 4], [0, 1]),
    "d": ("d4", "other", 3, 0.3, [4, 3], [-1, 0]),
    "e": ("d2", "other", 4, 0.1, [0, 1], [0, 1]),
}


@pytest.fixture(scope="module")
def client(module_database: Database) -> Client:
    store = ScoreStore(module_database)
    index = IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS))
    clips = [
        scored_clip(
            name,
            dancer_id=dancer,
            challenge_id=challenge,
            uploaded_at_ms=NOW_MS - hours * 3_600_000,
            fused_score=score,
            modalities={SKELETAL: result(movement), SCENIC: result(room)},
        )
        for name, (dancer, challenge, hours, score, movement, room) in CLIPS.items()
    ]
    entries = logged(clips)
    for view in (store, index):
        view.apply(entries, positions_after(entry.record for entry in entries))
    pools = Pools(module_database, POLICY)
    pools.handle(rated("b"), plain("c"))
    pools.write()
    return client_of(RankingService(store, index, pools=PoolReader(module_database, ManualClock(start_ms=50))))


def posted(client: Client, **body: Any) -> list[str]:
    answer = client.request("POST", "/v1/similar", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["clip_id"] for hit in answer.json()["hits"]]


def got(client: Client, query: str) -> list[str]:
    answer = client.get(f"/v1/clips/a/similar?weights=skeletal&{query}")
    assert answer.status_code == 200, answer.text
    return [hit["clip_id"] for hit in answer.json()["hits"]]


def test_a_negative_weight_asks_for_clips_unlike_the_example(client: Client) -> None:
    answer = client.get("/v1/clips/a/similar?weights=skeletal:1,scenic:-1").json()
    assert [hit["clip_id"] for hit in answer["hits"]] == ["d", "c", "e", "b"]
    assert answer["weights"] == {"skeletal": 0.5, "scenic": -0.5}
    assert answer["hits"][0]["similarity"] == pytest.approx(0.9, abs=1e-3)


def test_filters_of_a_url(client: Client) -> None:
    hour = 3_600_000
    assert got(client, f"uploaded_from_ms={NOW_MS - 2 * hour}") == ["b", "c"]
    assert got(client, f"uploaded_before_ms={NOW_MS - 2 * hour}") == ["d", "e"]
    assert got(client, f"uploaded_from_ms={NOW_MS - 3 * hour}&uploaded_before_ms={NOW_MS - 2 * hour}") == ["d"]
    assert got(client, "percentile_from=50") == ["b", "d"], "of three in one challenge and two in the other"
    assert got(client, "percentile_to=49.9&challenge_id=ch") == ["c"]
    assert got(client, "percentile_from=50&percentile_to=50&challenge_id=ch") == ["b"]
    assert got(client, f"tier={TIER}") == ["b"]
    assert got(client, f"tier={TIER}&percentile_to=10") == []


def test_filters_and_exclusions_of_a_body(client: Client) -> None:
    example = {"clip_id": "a", "weights": {"skeletal": 1}}
    assert posted(client, **example, challenge_ids=["ch", "other"]) == ["b", "d", "c", "e"]
    assert posted(client, **example, challenge_ids=["other"], among_dancer_ids=["d2", "d3"]) == ["e"]
    assert posted(client, **example, exclude_clip_ids=["b", "never-uploaded"]) == ["d", "c", "e"]
    assert posted(client, **example, exclude_dancer_ids=["d2", "nobody"]) == ["d", "c"]


def test_several_examples_and_what_is_not_wanted(client: Client) -> None:
    assert posted(client, like=[{"clip_id": "a"}, {"clip_id": "b", "weight": 2}], weights={"skeletal": 1}) == ["d", "c"]
    unlike: dict[str, Any] = {"unlike": [{"dancer_id": "d3"}], "unlike_weight": 1}
    assert posted(client, clip_id="e", weights={"skeletal": 1}, **unlike) == ["d", "a"]
    embeddings = {"embeddings": {"scenic": [-1, 0]}}
    assert posted(client, like=[embeddings], generation="g1", k=1) == ["d"]


def test_pages_recency_and_diversity(client: Client) -> None:
    asked = "/v1/clips/a/similar?weights=skeletal"
    whole = got(client, "k=10")
    first = client.get(f"{asked}&k=3").json()
    second = client.get(f"{asked}&k=1&cursor={first['next_cursor']}").json()
    assert [hit["clip_id"] for hit in first["hits"] + second["hits"]] == whole
    assert (first["hits"][0]["score"], second["next_cursor"]) == (None, None)
    recent = client.get(f"{asked}&half_life_s=1800").json()["hits"]
    assert [hit["clip_id"] for hit in recent] == ["b", "c", "d", "e"], "c, an hour younger, stands before d"
    assert recent[0]["score"] == pytest.approx(0.8 / 4, abs=1e-3)
    assert recent[0]["similarity"] == pytest.approx(0.8, abs=1e-3)
    assert got(client, "mmr_lambda=0.3") == ["b", "e", "d", "c"], "d moves like b, which is there already"


def test_a_cursor_of_another_question_is_400(client: Client) -> None:
    cursor = client.get("/v1/clips/a/similar?weights=skeletal&k=1").json()["next_cursor"]
    for path in (f"a/similar?weights=scenic&cursor={cursor}", f"b/similar?weights=skeletal&cursor={cursor}"):
        answer = client.get(f"/v1/clips/{path}")
        assert answer.status_code == 400, answer.text
        assert (answer.json()["error"]["code"], answer.json()["error"]["parameter"]) == ("foreign_cursor", "cursor")
    body = {"clip_id": "a", "weights": {"skeletal": 1}, "cursor": cursor}
    assert client.request("POST", "/v1/similar", json=body).status_code == 200, "the same question by another path"


def test_near_duplicates_of_a_clip(client: Client) -> None:
    answer = client.get("/v1/clips/b/duplicates?threshold=0.4").json()
    assert [hit["clip_id"] for hit in answer["hits"]] == ["a", "c"]
    assert answer["hits"][0]["similarity"] == pytest.approx(0.9, abs=1e-3)
    assert (answer["clip_id"], answer["threshold"], answer["more"]) == ("b", 0.4, False)
    assert client.get("/v1/clips/b/duplicates?threshold=0.4&k=1").json()["more"]
    of_few = client.get("/v1/clips/b/duplicates").json()
    assert (of_few["hits"], of_few["threshold"]) == ([], 0.99999)


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("b/duplicates?threshold=1.1", 422, "threshold"),
        ("b/duplicates?threshold=nan", 422, "threshold"),
        ("b/duplicates?k=0", 422, "k"),
        ("z/duplicates", 404, "clip_id"),
        ("b/duplicates?generation=g9", 404, "generation"),
        ("b/duplicates?treshold=1", 422, "treshold"),
    ],
)
def test_misuse_of_duplicates_is_named(client: Client, query: str, status: int, parameter: str) -> None:
    answer = client.get(f"/v1/clips/{query}")
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["parameter"] == parameter


def test_similar_dancers(client: Client) -> None:
    by_profile = client.get("/v1/dancers/d4/similar-dancers?weights=skeletal").json()
    assert [(hit["dancer_id"], hit["clips"]) for hit in by_profile["hits"]] == [("d3", 1), ("d2", 2), ("d1", 1)]
    assert (by_profile["by"], by_profile["approximate"], by_profile["hits"][0]["clip_id"]) == ("profile", False, None)
    by_clips = client.get("/v1/dancers/d4/similar-dancers?weights=skeletal&by=clips&k=1").json()
    assert [(hit["dancer_id"], hit["clip_id"]) for hit in by_clips["hits"]] == [("d2", "b")]


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("d4/similar-dancers?by=looks", 422, "by"),
        ("d4/similar-dancers?k=0", 422, "k"),
        ("d4/similar-dancers?k=1001", 422, "k"),
        ("d4/similar-dancers?weights=elbow", 422, "weights"),
        ("d4/similar-dancers?weights=skeletal:0", 422, "weights"),
        ("d4/similar-dancers?weights=facial", 422, "weights"),
        ("nobody/similar-dancers", 404, "dancer_id"),
        ("nobody/similar-dancers?by=clips", 404, "dancer_id"),
        ("a%20b/similar-dancers", 422, "dancer_id"),
        ("d4/similar-dancers?generation=g9", 404, "generation"),
    ],
)
def test_misuse_of_similar_dancers_is_named(client: Client, query: str, status: int, parameter: str) -> None:
    answer = client.get(f"/v1/dancers/{query}")
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["parameter"] == parameter


MISUSE: list[tuple[str, Any, int, str]] = [
    ("uploaded_from_ms=5&uploaded_before_ms=5", None, 422, "uploaded_before_ms"),
    ("uploaded_from_ms=-1", None, 422, "uploaded_from_ms"),
    ("uploaded_from_ms=9007199254740992", None, 422, "uploaded_from_ms"),
    ("percentile_from=101", None, 422, "percentile_from"),
    ("percentile_to=nan", None, 422, "percentile_to"),
    ("percentile_from=60&percentile_to=50", None, 422, "percentile_to"),
    ("percentile_by=charm", None, 422, "percentile_by"),
    ("tier=nowhere", None, 404, "tier"),
    ("tier=a%20b", None, 422, "tier"),
    ("half_life_s=0", None, 422, "half_life_s"),
    ("half_life_s=inf", None, 422, "half_life_s"),
    ("mmr_lambda=1.01", None, 422, "mmr_lambda"),
    ("mmr_lambda=nan", None, 422, "mmr_lambda"),
    ("mmr_pool=0", None, 422, "mmr_pool"),
    ("cursor=AAAA", None, 400, "cursor"),
    ("cursor=%C3%A4", None, 400, "cursor"),
    ("weights=skeletal:-0", None, 422, "weights"),
    ("weights=skeletal:-inf", None, 422, "weights"),
    ("", {"like": []}, 422, "like"),
    ("", {"like": [{"clip_id": "a"}] * 101}, 422, "like"),
    ("", {"like": [{"clip_id": "a"}], "clip_id": "a"}, 422, "clip_id"),
    ("", {"like": [{"clip_id": "a"}, {}]}, 422, "like.1.clip_id"),
    ("", {"like": [{"clip_id": "a"}, {"clip_id": "z"}]}, 404, "like.1.clip_id"),
    ("", {"like": [{"clip_id": "a b"}]}, 422, "like.0.clip_id"),
    ("", {"like": [{"clip_id": "a", "weight": 0}]}, 422, "like.0.weight"),
    ("", {"like": [{"clip_id": "a", "wieght": 1}]}, 422, "like.0.wieght"),
    ("", {"like": [{"embeddings": {"scenic": [1, 0]}}]}, 422, "generation"),
    ("", {"like": [{"embeddings": {"scenic": [1]}}], "generation": "g1"}, 422, "like.0.embeddings.scenic"),
    ("", {"clip_id": "a", "unlike": [{"dancer_id": "z"}]}, 404, "unlike.0.dancer_id"),
    ("", {"clip_id": "a", "unlike": [{"clip_id": "a"}], "unlike_weight": 1}, 422, "weights"),
    ("", {"clip_id": "a", "unlike_weight": 2}, 422, "unlike_weight"),
    ("", {"clip_id": "a", "challenge_id": "ch", "challenge_ids": ["other"]}, 422, "challenge_ids"),
    ("", {"clip_id": "a", "challenge_ids": ["ch", "nowhere"]}, 404, "challenge_ids"),
    ("", {"clip_id": "a", "among_dancer_ids": ["nobody"]}, 404, "among_dancer_ids"),
    ("", {"clip_id": "a", "exclude_clip_ids": ["x"] * 10_001}, 422, "exclude_clip_ids"),
    ("", {"clip_id": "a", "exclude_clip_ids": ["b", "a b"]}, 422, "exclude_clip_ids.1"),
    ("", {"clip_id": "a", "weights": {"scenic": 0}}, 422, "weights"),
    ("", {"clip_id": "a", "uploaded_from_ms": 1.5}, 422, "uploaded_from_ms"),
]


@pytest.mark.parametrize(("query", "body", "status", "parameter"), MISUSE)
def test_what_is_wrong_is_named(client: Client, query: str, body: Any, status: int, parameter: str) -> None:
    if body is None:
        answer = client.get(f"/v1/clips/a/similar?{query}")
    else:
        answer = client.request("POST", "/v1/similar", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["parameter"] == parameter


def test_a_service_without_pools_says_that_tiers_are_not_here(sqlite_database: Database) -> None:
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    entries = logged([scored_clip("a")])
    index.apply(entries, positions_after(entry.record for entry in entries))
    client = client_of(RankingService(ScoreStore(sqlite_database), index))
    assert client.get("/v1/clips/a/similar?tier=x").status_code == 500

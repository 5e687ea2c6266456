"""Questions about the traffic pools over HTTP."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.clock import ManualClock
from schemas.modalities import Modality
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import apply, with_scores
from tests.ranking.pools.examples import POLICY, engaged, plain, rated, removed
from tests.ranking.pools.rows import ADOPTED_MS, Pools
from tests.ranking.serving.test_api import Client, client_of, get

TRY = "/v1/pools/try"


def asking(database: Database) -> Client:
    reader = PoolReader(database, ManualClock(start_ms=50))
    return client_of(RankingService(ScoreStore(database), pools=reader))


@pytest.fixture(scope="module")
def client(module_database: Database) -> Client:
    """Asks about ``pools_of``, which nothing changes."""
    pools_of(module_database)
    return asking(module_database)


def pools_of(database: Database) -> Pools:
    """``c1`` was promoted, ``c2`` is a candidate, ``c3`` was deleted."""
    made = Pools(database, POLICY)
    made.handle(rated("c1"), engaged("c1", 30, 100, at_ms=10), plain("c2"), rated("c3"), removed("c3", at_ms=20))
    made.write(published=2)
    return made


def posted(client: Client, body: Any) -> Any:
    answer = client.request("POST", TRY, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_clip_is_answered_with_its_tier_and_its_history(client: Client) -> None:
    clip = get(client, "/v1/clips/c1/pool")
    assert (clip["state"], clip["tier"], clip["nominated_by"], clip["granted"]) == ("in-tier", "t2", "fused", 500)
    assert clip["rate"] == {
        "reactions": 30, "views": 100, "rate": 0.3, "confidence": 0.95,
        "low": pytest.approx(0.2307, abs=1e-4), "high": pytest.approx(0.3798, abs=1e-4),
    }  # fmt: skip
    assert [decision["sentence"] for decision in clip["history"]] == [
        "nominated into t1 by its fused score (percentile 90 in its challenge, threshold 80); 100 impressions "
        "granted, 600 "
        "left for nominated clips in this window",
        "promoted from t1 to t2: at least 23.1% of viewers react (30 of 100; gate 10%); 400 impressions "
        "granted, 800 left "
        "there in this window",
    ]
    assert (get(client, "/v1/clips/c2/pool")["state"], get(client, "/v1/clips/c3/pool")["state"]) == (
        "candidate",
        "deleted",
    )


def test_the_pools_are_answered_with_their_budgets(client: Client) -> None:
    status = get(client, "/v1/pools")
    assert (status["policy_version"], status["adopted_at_ms"]) == ("p1", ADOPTED_MS)
    assert (status["decisions"], status["published"], status["candidates"]) == (5, 2, 1)
    assert [(tier["tier"], tier["clips"], tier["used"]) for tier in status["tiers"]] == [
        ("t1", 0, 200), ("t2", 1, 400), ("t3", 0, 0),
    ]  # fmt: skip


def test_the_past_of_the_pools_is_answered_by_window_and_by_decision(client: Client) -> None:
    (window,) = get(client, "/v1/pools/history?windows=1")["windows"]
    assert [(tier["tier"], tier["used"]) for tier in window["tiers"]] == [("t1", 200), ("t2", 400), ("t3", 0)]
    page = get(client, "/v1/pools/decisions?k=2")
    assert [decision["sequence"] for decision in page["decisions"]] == [5, 4]
    older = get(client, f"/v1/pools/decisions?k=5&after={page['next_cursor']}")
    assert ([each["decision"]["clip_id"] for each in older["decisions"]], older["next_cursor"]) == (
        ["c2", "c1", "c1"],
        None,
    )


def test_a_clip_that_is_made_up_is_answered_with_what_would_be_decided(client: Client) -> None:
    tried = posted(client, {"challenge_id": "x", "percentiles": {"skeletal": 95}, "challenge_clips": 20})
    assert (tried["decision"]["rule"], tried["decision"]["decided_by"], tried["afterwards"]) == (
        "nominated", "skeletal", None,
    )  # fmt: skip
    assert [budget["spends"] for budget in tried["budgets"]] == [100] * 4
    seen = {"challenge_id": "x", "percentiles": {"fused": 80}, "challenge_clips": 20, "reactions": 30, "views": 100}
    then = posted(client, seen)["afterwards"]
    assert (then["decision"]["rule"], then["decision"]["tier"]) == ("promoted", "t2")
    assert [budget["spends"] for budget in then["budgets"]] == [400] * 4
    few = posted(client, seen | {"reactions": 0, "views": 50})["afterwards"]
    assert (few["decision"], few["sentence"]) == (None, "stays in t1: judged from 100 impressions on; it has 50")


def test_scores_are_compared_with_the_clips_of_the_challenge(store: ScoreStore, sqlite_database: Database) -> None:
    pools_of(sqlite_database)
    client = asking(sqlite_database)
    apply(store, [with_scores(f"s{n}", {Modality.SKELETAL: 0.5}, n / 40) for n in range(39)])
    tried = posted(client, {"challenge_id": "ch", "scores": {"fused": 2}, "generation": "g1"})
    assert (tried["percentiles"], tried["challenge_clips"]) == ({"fused": 98.75}, 40)
    assert tried["decision"]["rule"] == "nominated"
    assert posted(client, {"challenge_id": "ch", "scores": {"fused": 2}}) == tried


PERCENTILES = {"percentiles": {"fused": 90}}
MISUSE = [
    ("GET", "/v1/clips/c9/pool", None, 404, "clip_id"),
    ("GET", "/v1/clips/a%20b/pool", None, 422, "clip_id"),
    ("GET", "/v1/clips/c1/pool?generation=g1", None, 422, "generation"),
    ("GET", "/v1/pools?tier=t1", None, 422, "tier"),
    ("POST", TRY, {}, 422, "challenge_id"),
    ("POST", TRY, {"challenge_id": "x"}, 422, "percentiles"),
    ("POST", TRY, {"challenge_id": "x", "percentiles": {}}, 422, "percentiles"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "scores": {"fused": 1}}, 422, "percentiles"),
    ("POST", TRY, {"challenge_id": "x", "percentiles": {"fused": 101}}, 422, "percentiles.fused"),
    ("POST", TRY, {"challenge_id": "x", "percentiles": {"charm": 1}}, 422, "percentiles.charm"),
    ("POST", TRY, {"challenge_id": "x", "percentiles": {"fused": "high"}}, 422, "percentiles.fused"),
    ("POST", TRY, b'{"challenge_id": "x", "scores": {"fused": NaN}}', 422, "scores.fused"),
    ("POST", TRY, {"challenge_id": "a b", **PERCENTILES}, 422, "challenge_id"),
    ("POST", TRY, {"challenge_id": "x", "dancer_id": "", **PERCENTILES}, 422, "dancer_id"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "challenge_clips": 0}, 422, "challenge_clips"),
    ("POST", TRY, {"challenge_id": "x", "scores": {"fused": 1}, "challenge_clips": 5}, 422, "challenge_clips"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "views": 5}, 422, "reactions"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "reactions": -1}, 422, "reactions"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "reactions": 1 << 60}, 422, "reactions"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "generation": "g9"}, 404, "generation"),
    ("POST", TRY, {"challenge_id": "x", **PERCENTILES, "tier": "t1"}, 422, "tier"),
    ("GET", TRY, None, 405, None),
    ("GET", "/v1/pools/history?windows=0", None, 422, "windows"),
    ("GET", "/v1/pools/history?windows=501", None, 422, "windows"),
    ("GET", "/v1/pools/decisions?k=201", None, 422, "k"),
    ("GET", "/v1/pools/decisions?after=0", None, 422, "after"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "parameter"), MISUSE)
def test_misuse_is_answered_with_the_parameter_to_blame(
    client: Client, method: str, path: str, body: Any, status: int, parameter: str | None
) -> None:
    content = (
        {"content": body, "headers": {"Content-Type": "application/json"}}
        if isinstance(body, bytes)
        else {"json": body}
    )
    answer = client.request(method, path, **({} if body is None else content))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["parameter"] == parameter


def _asked(client: Client) -> Iterator[Any]:
    yield client.get("/v1/clips/c1/pool")
    yield client.get("/v1/pools")
    yield client.get("/v1/pools/history")
    yield client.request("POST", TRY, json={"challenge_id": "x", **PERCENTILES})


def test_without_a_policy_the_answer_says_when_to_come_back(sqlite_database: Database) -> None:
    for answer in _asked(asking(sqlite_database)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert int(answer.headers["Retry-After"]) > 0


def test_a_service_built_without_pools_asks_no_client_to_retry(store: ScoreStore) -> None:
    for answer in _asked(client_of(RankingService(store))):
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "not_served_here")
        assert "Retry-After" not in answer.headers


def test_a_database_that_is_down_is_a_503_without_its_address(store: ScoreStore) -> None:
    reader = PoolReader(Database(UNREACHABLE), ManualClock())
    for answer in _asked(client_of(RankingService(store, pools=reader))):
        assert answer.status_code == 503
        assert "127.0.0.1" not in answer.text


def test_the_description_explains_every_field_of_what_is_asked_and_answered(client: Client) -> None:
    described = get(client, "/openapi.json")
    pools = {path: operations for path, operations in described["paths"].items() if "pool" in path}
    assert set(pools) == {
        "/v1/clips/{clip_id}/pool", "/v1/pools", "/v1/pools/history", "/v1/pools/decisions", "/v1/pools/policies",
        "/v1/pools/comparison", TRY,
    }  # fmt: skip
    schemas, seen = described["components"]["schemas"], set()
    wanted = {
        "PooledClipAnswer",
        "PoolsAnswer",
        "PoolTryAnswer",
        "PoolTryRequest",
        "PoolHistoryAnswer",
        "DecisionsAnswer",
    }
    while wanted:
        name = wanted.pop()
        seen.add(name)
        schema = schemas[name]
        assert schema["description"], name
        for field, said in schema.get("properties", {}).items():
            assert said.get("description"), f"{name}.{field}"
        wanted |= {other for other in schemas if f"'#/components/schemas/{other}'" in str(schema)} - seen
    assert {"ExplainedDecision", "ReactionRate", "Needs", "Waiting", "BudgetRoom", "TierUse", "LaneUse"} <= seen


def test_every_id_that_an_upload_may_have_can_be_asked_for(sqlite_database: Database) -> None:
    pools, client = pools_of(sqlite_database), asking(sqlite_database)
    ids = ["...", "a?b#c%d", "%2F", "日本-🕺", "pool"]
    pools.handle(*(rated(clip_id, challenge_id=clip_id) for clip_id in ids))
    pools.write()
    for clip_id in ids:
        answer = client.get(f"/v1/clips/{quote(clip_id, safe='')}/pool")
        assert (answer.status_code, answer.json().get("clip_id")) == (200, clip_id)

import asyncio
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.readiness import Readiness
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.errors import NotServedHere, QueryError
from schemas.modalities import Dimension, Modality
from schemas.observation import Observer
from schemas.questions.retrieval import Challenge, SimilarQuery
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import logged, result, scored_clip

SKELETAL, FACIAL = Modality.SKELETAL, Modality.FACIAL


class Client:
    """Sends requests to an application in this process."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://ranking") as client:
                return await client.request(method, path, **content)

        return asyncio.run(send())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)


class Ended:
    """A loop as the service sees it."""

    def __init__(
        self, *, caught_up: bool = True, failure: Exception | None = None, waiting_for: str | None = None
    ) -> None:
        self.loop, self.caught_up, self.failure = self, caught_up, failure
        self.waiting_for, self.undecided = waiting_for, None
        self.interrupted_s = 0.0 if waiting_for is None else 12.0


@pytest.fixture
def index() -> IndexView:
    return IndexView(NumpyBackend(), Observer(), ManualClock())


@pytest.fixture
def service(store: ScoreStore, index: IndexView) -> RankingService:
    return filled(store, index)


def filled(store: ScoreStore, index: IndexView) -> RankingService:
    """Four clips of three dancers in two challenges; ``c3`` has no face."""
    clips = [
        scored_clip(
            "c1", dancer_id="d1", fused_score=0.9, modalities={SKELETAL: result([1, 0]), FACIAL: result([1, 0])}
        ),
        scored_clip(
            "c2", dancer_id="d2", fused_score=0.5, modalities={SKELETAL: result([3, 4]), FACIAL: result([0, 1])}
        ),
        scored_clip("c3", dancer_id="d3", fused_score=0.5, modalities={SKELETAL: result([4, 3], attention=1.0)}),
        scored_clip("c4", dancer_id="d1", challenge_id="other", modalities={SKELETAL: result([1, 0])}),
    ]
    entries = logged(clips)
    for view in (store, index):
        view.apply(entries, positions_after(entry.record for entry in entries))
    return RankingService(store, index)


def client_of(service: RankingService) -> Client:
    return Client(create_app(service, lambda: ("text/plain; version=0.0.4", b"metric 1\n")))


@pytest.fixture(scope="module")
def client(module_database: Database) -> Client:
    return client_of(filled(ScoreStore(module_database), IndexView(NumpyBackend(), Observer(), ManualClock())))


def get(client: Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_similar_clips_come_with_their_similarity_by_modality(client: Client) -> None:
    answer = get(client, "/v1/clips/c1/similar?weights=skeletal:1,facial:0.5")
    assert (answer["generation"], answer["approximate"]) == ("g1", False)
    assert answer["weights"] == pytest.approx({"skeletal": 2 / 3, "facial": 1 / 3})
    assert [hit["clip_id"] for hit in answer["hits"]] == ["c3", "c2"]
    assert answer["hits"][0] == {
        "clip_id": "c3",
        "dancer_id": "d3",
        "challenge_id": "ch",
        "similarity": pytest.approx(0.8 * 2 / 3, abs=1e-3),
        "similarities": {"skeletal": pytest.approx(0.8, abs=1e-3)},
        "missing": ["facial"],
        "score": None,
    }


def test_searches_take_every_option(client: Client) -> None:
    own = get(client, "/v1/clips/c1/similar?include_own=true&k=1&weights=skeletal")
    assert [hit["clip_id"] for hit in own["hits"]] == ["c4"]
    assert get(client, "/v1/clips/c2/similar?challenge_id=other")["hits"][0]["clip_id"] == "c4"
    grouped = get(client, "/v1/clips/c2/similar?group_by=dancer&weights=skeletal:2")
    assert [hit["dancer_id"] for hit in grouped["hits"]] == ["d3", "d1"]
    of_dancer = get(client, "/v1/dancers/d1/similar?generation=g1")
    assert {hit["dancer_id"] for hit in of_dancer["hits"]} == {"d2", "d3"}


def test_a_search_can_be_posted_with_raw_embeddings(client: Client) -> None:
    posted = {"embeddings": {"skeletal": [0.6, 0.8]}, **OF_G1, "k": 1, "weights": {"skeletal": 3}}
    answer = client.request("POST", "/v1/similar", json=posted)
    assert answer.status_code == 200
    assert answer.json()["hits"][0]["clip_id"] == "c2"
    assert client.request("POST", "/v1/similar", json={"dancer_id": "d1"}).json() == get(
        client, "/v1/dancers/d1/similar"
    )


def test_rankings_and_attention_and_clips_are_those_of_the_store(client: Client) -> None:
    ranking = get(client, "/v1/challenges/ch/rankings")
    assert [(e["rank"], e["clip_id"], e["percentile"]) for e in ranking["entries"]] == [
        (1, "c1", pytest.approx(250 / 3)),
        (2, "c2", pytest.approx(100 / 3)),
        (2, "c3", pytest.approx(100 / 3)),
    ]
    faces = get(client, "/v1/challenges/ch/rankings?by=facial&order=bottom&k=1&generation=g1")
    assert (faces["dimension"], faces["order"], faces["clips"], len(faces["entries"])) == ("facial", "bottom", 2, 1)
    attention = get(client, "/v1/challenges/ch/attention")
    assert (attention["mean_attention"], attention["present"]) == (
        {"skeletal": 0.5, "facial": 0.25},
        {"skeletal": 3, "facial": 2},
    )
    assert get(client, "/v1/challenges") == [{"challenge_id": "ch", "clips": 3}, {"challenge_id": "other", "clips": 1}]
    clip = get(client, "/v1/clips/c3")
    assert (clip["missing"], clip["places"]["skeletal"]["rank"]) == (["holistic", "facial", "scenic"], 1)


def test_neighbours_are_those_of_the_store_and_windows_leave_out_what_is_older(client: Client) -> None:
    found = get(client, "/v1/clips/c2/neighbours?k=1")
    assert [clip["clip_id"] for clip in (*found["above"], found["clip"], *found["below"])] == ["c1", "c2", "c3"]
    assert (found["challenge_id"], found["clips"], found["clip"]["rank"]) == ("ch", 3, 2)
    assert get(client, "/v1/clips/c2/neighbours?by=skeletal&window=all")["since_ms"] is None
    recent = get(client, "/v1/challenges/ch/rankings?window=24h")
    assert (recent["window"], recent["clips"], recent["entries"]) == ("24h", 0, [])
    assert recent["since_ms"] % 3_600_000 == 0
    assert get(client, "/v1/challenges/ch/attention?window=7d")["clips"] == 0
    assert get(client, "/v1/clips/c2?window=1h")["places"] == {}


def test_a_challenge_is_paged_and_shown_as_a_whole(client: Client) -> None:
    following = get(client, "/v1/challenges/ch/rankings?k=2&after=c1")
    assert ([clip["clip_id"] for clip in following["entries"]], following["clips"]) == (["c2", "c3"], 3)
    found = get(client, "/v1/challenges/ch/distribution?by=fused&bins=2")
    assert (found["clips"], sum(found["counts"]), len(found["edges"])) == (3, 3, 3)
    assert get(client, "/v1/challenges/ch/distribution?window=1h")["counts"] == []
    assert get(client, "/v1/challenges/ch/unranked")["clips"] == []
    growth = get(client, "/v1/challenges/ch/growth?by=day")
    assert (growth["before"], growth["period_ms"], growth["clips"]) == (3, 86_400_000, [0] * 8)


def test_the_distribution_of_scores_states_its_error(client: Client) -> None:
    found = get(client, "/v1/distribution?by=facial&score=0.5")
    assert (found["dimension"], found["rank_error"], len(found["quantiles"])) == ("facial", 0.0, 9)
    assert 0 <= found["percentile"] <= 100


OF_G1 = {"generation": "g1"}
MISUSE = [
    ("GET", "/v1/clips/c9", None, 404, "clip_id"),
    ("GET", "/v1/clips/c9/similar", None, 404, "clip_id"),
    ("GET", "/v1/dancers/d9/similar", None, 404, "dancer_id"),
    ("GET", "/v1/challenges/none/rankings", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/none/attention", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/ch/attention?window=2h", None, 422, "window"),
    ("GET", "/v1/challenges/none/tips", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/ch/tips", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/ch/tips?generation=g9", None, 404, "generation"),
    ("GET", "/v1/challenges/ch/tips?window=7d", None, 422, "window"),
    ("GET", "/v1/challenges/a%20b/tips", None, 422, "challenge_id"),
    ("GET", "/v1/tips", None, 404, "generation"),
    ("GET", "/v1/tips?k=1", None, 422, "k"),
    ("GET", "/v1/challenges/ch/tips/picture?format=gif", None, 422, "format"),
    ("GET", "/v1/tips/picture?generation=g9", None, 404, "generation"),
    ("GET", "/v1/clips/none/neighbours", None, 404, "clip_id"),
    ("GET", "/v1/distribution?score=nan", None, 422, "score"),
    ("GET", "/v1/distribution?score=inf", None, 422, "score"),
    ("GET", "/v1/distribution?by=taste", None, 422, "by"),
    ("GET", "/v1/clips/c1/neighbours?window=1h", None, 404, "window"),
    ("GET", "/v1/clips/c1/neighbours?k=0", None, 422, "k"),
    ("GET", "/v1/clips/c1/neighbours?by=virality", None, 422, "by"),
    ("GET", "/v1/clips/c1/similar?challenge_id=none", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/ch/rankings?generation=g9", None, 404, "generation"),
    ("GET", "/v1/clips/c1/similar?k=0", None, 422, "k"),
    ("GET", "/v1/clips/c1/similar?k=1001", None, 422, "k"),
    ("GET", "/v1/clips/c1/similar?k=ten", None, 422, "k"),
    ("GET", "/v1/clips/c1/similar?weights=skeletal:x", None, 422, "weights"),
    ("GET", "/v1/clips/c1/similar?weights=skeletal:nan", None, 422, "weights"),
    ("GET", "/v1/clips/c1/similar?weights=skeletal:0", None, 422, "weights"),
    ("GET", "/v1/clips/c1/similar?weights=charm:1", None, 422, "weights"),
    ("GET", "/v1/clips/c1/similar?weights=", None, 422, "weights"),
    ("GET", "/v1/clips/c3/similar?weights=facial:1", None, 422, "weights"),
    ("GET", "/v1/clips/c1/similar?group_by=room", None, 422, "group_by"),
    ("GET", "/v1/clips/c1/similar?include_own=perhaps", None, 422, "include_own"),
    ("GET", "/v1/clips/c1/similar?wieghts=facial:1", None, 422, "wieghts"),
    ("GET", "/v1/clips/c1/similar?generation=g9", None, 404, "generation"),
    ("GET", "/v1/clips/c%00", None, 422, "clip_id"),
    ("GET", "/v1/clips/a%20b/similar", None, 422, "clip_id"),
    ("GET", f"/v1/clips/{'x' * 129}", None, 422, "clip_id"),
    ("GET", "/v1/challenges?generation=%00", None, 422, "generation"),
    ("GET", "/v1/challenges/ch/rankings?by=charm", None, 422, "by"),
    ("GET", "/v1/challenges/ch/rankings?order=middle", None, 422, "order"),
    ("GET", "/v1/challenges/ch/rankings?k=-1", None, 422, "k"),
    ("GET", "/v1/challenges/ch/rankings?after=none", None, 404, "after"),
    ("GET", "/v1/challenges/ch/distribution?bins=101", None, 422, "bins"),
    ("GET", "/v1/challenges/none/growth", None, 404, "challenge_id"),
    ("GET", "/v1/challenges/ch/growth?by=year", None, 422, "by"),
    ("GET", "/v1/challenges/ch/rankings?oder=top", None, 422, "oder"),
    ("POST", "/v1/similar", {}, 422, "clip_id"),
    ("POST", "/v1/similar", {"clip_id": "c1", "dancer_id": "d1"}, 422, "clip_id"),
    ("POST", "/v1/similar", {"clip_id": 7}, 422, "clip_id"),
    ("POST", "/v1/similar", {"clip_id": "c1", "colour": "red"}, 422, "colour"),
    ("POST", "/v1/similar", {"clip_id": "c1", "weights": {"charm": 1}}, 422, "weights.charm"),
    ("POST", "/v1/similar", {"embeddings": {"skeletal": [1]}, **OF_G1}, 422, "embeddings.skeletal"),
    ("POST", "/v1/similar", {"embeddings": {"skeletal": [0, 0]}, **OF_G1}, 422, "embeddings.skeletal"),
    ("POST", "/v1/similar", {"embeddings": {"skeletal": ["a", 0]}, **OF_G1}, 422, "embeddings.skeletal.0"),
    ("POST", "/v1/similar", {"embeddings": {"scenic": [1, 0]}, **OF_G1}, 422, "embeddings.scenic"),
    ("POST", "/v1/similar", {"embeddings": {}, **OF_G1}, 422, "embeddings"),
    ("POST", "/v1/similar", {"embeddings": {"skeletal": [1, 0]}}, 422, "generation"),
    ("POST", "/v1/similar", {"embeddings": {"skeletal": [1, 0]}, "generation": "g9"}, 404, "generation"),
    ("GET", "/v1/generations?k=1", None, 422, "k"),
    ("POST", "/v1/similar", b"{not json", 422, "body"),
    ("POST", "/v1/similar", b'{"embeddings": {"skeletal": [NaN, 1]}, "generation": "g1"}', 422, "embeddings.skeletal"),
    ("POST", "/v1/similar", b'{"clip_id": "\\ud800"}', 422, "clip_id"),
    ("POST", "/v1/similar", b"", 422, "body"),
    ("GET", "/v1/nothing", None, 404, None),
    ("DELETE", "/v1/clips/c1", None, 405, None),
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
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "parameter"}
    assert error["parameter"] == parameter
    assert error["message"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "text", ["'", '"', "x'OR'1'='1", "x';DROP TABLE clips;--", "c1'--", "%", "_1", "\\'", "$1", ":p", "?"]
)
def test_what_is_sql_to_a_database_is_an_unknown_name(client: Client, text: str) -> None:
    before, name = get(client, "/v1/challenges"), quote(text, safe="")
    for path in (
        f"/v1/clips/{name}",
        f"/v1/clips/{name}/similar",
        f"/v1/dancers/{name}/similar",
        f"/v1/challenges/{name}/rankings",
        f"/v1/challenges/{name}/attention",
        f"/v1/challenges/{name}/tips",
        f"/v1/challenges/ch/rankings?generation={name}",
        f"/v1/clips/c1/similar?challenge_id={name}",
    ):
        assert client.get(path).status_code in (404, 422), path
    assert get(client, "/v1/challenges") == before


def test_nothing_unforeseen_leaks(service: RankingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "challenges", lambda **_: 1 / 0)
    answer = client_of(service).get("/v1/challenges")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "ZeroDivision" not in answer.text


def test_what_is_not_ready_says_when_to_come_back(store: ScoreStore, index: IndexView) -> None:
    client = client_of(RankingService(store, index, loops=[Ended(caught_up=False)]))  # type: ignore[list-item]
    assert client.get("/readyz").status_code == 503
    for path in ("/v1/clips/c1/similar", "/v1/challenges", "/v1/clips/c1"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.tried(
    kind="readiness by memory",
    given="questions to a process that is ready and whose log is empty",
    outcome="404, no 503",
)
def test_over_an_empty_log_a_process_is_ready_and_knows_nothing(store: ScoreStore, index: IndexView) -> None:
    client = client_of(RankingService(store, index, loops=[Ended()]))  # type: ignore[list-item]
    assert client.get("/readyz").json() == {"ready": True, "reasons": [], "waiting": []}
    assert get(client, "/v1/challenges") == []
    for path in ("/v1/clips/c1/similar", "/v1/clips/c1/similar?generation=g1", "/v1/clips/c1", "/v1/dancers/d/similar"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path


def test_a_request_that_finds_no_free_connection_waits_and_is_then_a_503_that_says_so(
    sqlite_url: str, index: IndexView
) -> None:
    with closing(Database(sqlite_url, connections=2, wait_s=0.1)) as database, ExitStack() as held:
        client = client_of(RankingService(ScoreStore(database), index))
        for _ in range(2):
            held.enter_context(database.reading())
        for path in ("/v1/challenges", "/v1/challenges?generation=g1", "/v1/clips/c1/similar"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_busy")
            assert "Retry-After" in answer.headers
        assert client.get("/readyz").json()["reasons"] == ["every connection to the database is in use (database_busy)"]


def test_a_database_that_is_down_is_a_503_without_its_address(index: IndexView) -> None:
    store = ScoreStore(Database(UNREACHABLE))
    client = client_of(RankingService(store, index))
    for path in ("/v1/challenges?generation=g1", "/readyz"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert "127.0.0.1" not in answer.text
    assert client.get("/healthz").status_code == 200


def test_health_and_readiness_follow_the_loops(store: ScoreStore) -> None:
    def with_loop(loop: Ended) -> Client:
        return client_of(RankingService(store, loops=[loop]))  # type: ignore[list-item]

    fine, behind, dead = with_loop(Ended()), with_loop(Ended(caught_up=False)), with_loop(Ended(failure=ValueError()))
    assert [client.get("/healthz").status_code for client in (fine, behind, dead)] == [200, 200, 503]
    assert [client.get("/readyz").status_code for client in (fine, behind, dead)] == [200, 503, 503]
    assert "not been read to its end" in behind.get("/readyz").json()["reasons"][0]
    waits = with_loop(Ended(waiting_for="Kafka does not answer")).get("/readyz")
    assert waits.status_code == 200, "what is held can be asked for"
    assert waits.json() == {"ready": True, "reasons": [], "waiting": ["Kafka does not answer"]}


def test_metrics_come_from_the_exporter(client: Client) -> None:
    answer = client.get("/metrics")
    assert (answer.text, answer.headers["Content-Type"]) == ("metric 1\n", "text/plain; version=0.0.4")


def test_the_description_covers_every_parameter_and_error(client: Client) -> None:
    described = get(client, "/openapi.json")
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert all(p["description"] for p in operation.get("parameters", [])), path
            if path.startswith("/v1"):
                assert {"200", "422", "503"} <= operation["responses"].keys(), path
                assert "ErrorAnswer" in str(operation["responses"]["422"]), path
    assert client.get("/docs").status_code == 200


def test_the_service_answers_without_an_index_view(store: ScoreStore, service: RankingService) -> None:
    alone = RankingService(store)
    assert alone.challenges() == service.challenges() == [Challenge("ch", 3), Challenge("other", 1)]
    assert alone.place("c1", Dimension.FUSED).rank == 1
    assert alone.readiness() == Readiness(True, [], [])
    with pytest.raises(NotServedHere):
        alone.similar(SimilarQuery(clip_id="c1"))
    with pytest.raises(QueryError):
        alone.clip("no clip")


def test_every_id_that_an_upload_may_have_can_be_asked_for(service: RankingService, store: ScoreStore) -> None:
    client = client_of(service)
    ids = ["...", ".a", "a?b#c%d", "%2F", "a\\\\b", "日本-🕺", "a:b;c=d&e+f"]
    examples = logged([scored_clip(clip_id, challenge_id=clip_id) for clip_id in ids], start=1000)
    store.apply(examples, positions_after(entry.record for entry in examples))
    for clip_id in ids:
        answer = client.get(f"/v1/clips/{quote(clip_id, safe='')}")
        assert (answer.status_code, answer.json().get("clip_id")) == (200, clip_id)
        assert client.get(f"/v1/challenges/{quote(clip_id, safe='')}/rankings").json()["challenge_id"] == clip_id

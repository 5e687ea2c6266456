"""Access to the API over HTTP: keys, rates and sizes."""

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Response

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key, revoke_key
from ranking.serving.api.bodies import JsonRoute
from ranking.serving.api.errors import install_error_handlers
from ranking.serving.api.guard import install_guards
from ranking.serving.api.search_parameters import SimilarRequest
from ranking.serving.service import RankingService
from schemas.clock import ManualClock
from schemas.observation import Observer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT_BYTES = 10_000
KIB, MIB, GIB = 2**10, 2**20, 2**30


class Refusals(Observer):
    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def request_refused(self, reason: str) -> None:
        self.count[reason] += 1


def small_app(access: Access) -> FastAPI:
    """Some paths of the API, which are there at once; the whole takes a while to build."""
    app = FastAPI()
    app.router.route_class = JsonRoute
    install_error_handlers(app)
    app.get("/healthz")(lambda: "ok")
    app.get("/metrics", response_class=Response)(lambda: Response("metric 1\n"))
    app.post("/v1/similar")(read_similar)
    install_guards(app, access)
    return app


def read_similar(asked: SimilarRequest) -> str:
    asked.query()
    return "read"


def whole_app(access: Access) -> FastAPI:
    return create_app(RankingService(ScoreStore(Database("sqlite://"))), lambda: ("text/plain", b"metric 1\n"), access)


class Guarded:
    """An API that asks for keys: ``key`` is unlimited, ``slow`` may ask twice at once and 30 times a minute."""

    def __init__(self, folder: Path, build: Callable[[Access], FastAPI] = small_app, **access: Any) -> None:
        self.path, self.clock, self.refusals = folder / "keys", ManualClock(), Refusals()
        self.key = create_key(self.path, "app", created=NOW)
        self.slow = create_key(self.path, "slow", created=NOW, requests_per_minute=30, burst=2)
        limits = {"max_request_bytes": LIMIT_BYTES, "clock": self.clock, "observer": self.refusals}
        self.app = build(Access(keys=KeyRing(self.path), **limits, **access))

    def ask(self, method: str, path: str, key: str | None = None, **content: Any) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return request(self.app, method, path, headers=headers | content.pop("headers", {}), **content)


def request(app: FastAPI, method: str, path: str, **content: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, f"http://ranking{path}", **content)  # "//" begins a path here

    return asyncio.run(send())


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


@pytest.fixture
def whole(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path, whole_app)


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert found.keys() == {"code", "message", "parameter"}
    return found


def test_every_path_of_the_application_but_a_few_asks_for_a_key(whole: Guarded) -> None:
    described = whole.app.openapi()["paths"]
    open_paths = {"/healthz", "/readyz"}
    assert len(described) > len(open_paths)
    for path, operations in described.items():
        for method, operation in operations.items():
            answer = whole.ask(method.upper(), path.replace("{", "").replace("}", ""))
            assert (answer.status_code == 401) is (path not in open_paths), path
            assert ("security" in operation) is (path not in open_paths), path
            assert ({"401", "429"} <= operation["responses"].keys()) is (path not in open_paths), path


@pytest.mark.parametrize(
    "path", ["/healthz/", "//healthz", "/healthz/../v1/challenges", "/Healthz", "/v1/challenges?/healthz", "/nothing"]
)
def test_no_spelling_of_an_open_path_opens_another(guarded: Guarded, path: str) -> None:
    assert guarded.ask("GET", path).status_code == 401


def test_the_pages_that_describe_the_api_are_open_and_offer_to_take_a_key(whole: Guarded) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert whole.ask("GET", path).status_code == 200
    schemes = whole.ask("GET", "/openapi.json").json()["components"]["securitySchemes"]
    assert (schemes["key"]["type"], schemes["key"]["scheme"]) == ("http", "bearer")


def test_metrics_are_open_only_where_the_settings_say_so(guarded: Guarded, tmp_path: Path) -> None:
    assert guarded.ask("GET", "/metrics").status_code == 401
    assert guarded.ask("GET", "/metrics", guarded.key).text == "metric 1\n"
    (tmp_path / "open").mkdir()
    assert Guarded(tmp_path / "open", metrics_are_open=True).ask("GET", "/metrics").status_code == 200


def test_without_a_file_of_keys_none_is_needed_and_the_description_says_that_one_may_be_sent() -> None:
    app = create_app(RankingService(ScoreStore(Database("sqlite://"))), lambda: ("text/plain", b""))
    assert request(app, "GET", "/metrics").status_code == 200
    described = app.openapi()
    assert described["components"]["securitySchemes"].keys() == {"key"}
    assert described["paths"]["/v1/challenges"]["get"]["security"] == [{}, {"key": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-API-Key": "KEY"},
        [("Authorization", "Bearer KEY"), ("Authorization", "Bearer KEY")],
    ],
)
def test_a_request_without_a_key_is_answered_with_how_to_send_one(guarded: Guarded, headers: Any) -> None:
    sent = [(name, value.replace("KEY", guarded.key)) for name, value in dict(headers).items()]
    if isinstance(headers, list):
        sent = [(name, value.replace("KEY", guarded.key)) for name, value in headers]
    answer = request(guarded.app, "GET", "/metrics", headers=sent)
    assert (answer.status_code, error(answer)["code"]) == (401, "no_key")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="dancerank"'
    assert guarded.refusals.count == {"no_key": 1}


def test_a_revoked_key_and_one_that_never_existed_are_refused_alike(guarded: Guarded) -> None:
    assert guarded.ask("GET", "/metrics", guarded.slow).status_code == 200
    revoke_key(guarded.path, "slow")
    answers = [guarded.ask("GET", "/metrics", key) for key in (guarded.slow, "dr_never", guarded.key + "x")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({tuple(answer.headers.items()) for answer in answers}) == 1
    assert error(answers[0])["code"] == "unknown_key"
    assert 'error="invalid_token"' in answers[0].headers["WWW-Authenticate"]
    assert guarded.refusals.count == {"unknown_key": 3}
    assert "slow" not in answers[0].text


def test_the_scheme_is_read_in_any_case(guarded: Guarded) -> None:
    for scheme in ("bearer", "BEARER"):
        sent = {"Authorization": f"{scheme} {guarded.key}"}
        assert request(guarded.app, "GET", "/metrics", headers=sent).status_code == 200


def test_a_key_beyond_its_limit_waits_and_others_do_not(guarded: Guarded) -> None:
    assert [guarded.ask("GET", "/metrics", guarded.slow).status_code for _ in range(3)] == [200, 200, 429]
    answer = guarded.ask("GET", "/metrics", guarded.slow)
    assert (error(answer)["code"], answer.headers["Retry-After"]) == ("rate_limited", "2")
    assert guarded.ask("GET", "/metrics", guarded.key).status_code == 200
    assert guarded.ask("GET", "/healthz").status_code == 200
    guarded.clock.advance(2.0)
    assert [guarded.ask("GET", "/metrics", guarded.slow).status_code for _ in range(2)] == [200, 429]
    assert guarded.refusals.count == {"rate_limited": 3}


def test_a_limit_outlives_a_change_of_the_file_and_a_changed_limit_counts_at_once(guarded: Guarded) -> None:
    for expected in (200, 200, 429):
        assert guarded.ask("GET", "/metrics", guarded.slow).status_code == expected
    create_key(guarded.path, "more", created=NOW)
    assert guarded.ask("GET", "/metrics", guarded.slow).status_code == 429
    guarded.path.write_text(guarded.path.read_text().replace('"burst":2', '"burst":3'))
    assert guarded.ask("GET", "/metrics", guarded.slow).status_code == 200


def test_the_settings_limit_keys_that_have_no_limit_of_their_own(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, requests_per_minute=1)
    assert [guarded.ask("GET", "/metrics", guarded.key).status_code for _ in range(2)] == [200, 429]
    assert [guarded.ask("GET", "/metrics", guarded.slow).status_code for _ in range(2)] == [200, 200]


def test_no_more_is_counted_than_there_are_keys(guarded: Guarded) -> None:
    for n in range(20):
        key = create_key(guarded.path, f"k{n}", created=NOW, requests_per_minute=5)
        assert guarded.ask("GET", "/metrics", key).status_code == 200
        revoke_key(guarded.path, f"k{n}")
        guarded.ask("GET", "/metrics", f"unknown-{n}")
    guard = guarded.app.middleware_stack
    while not hasattr(guard, "_buckets"):
        guard = guard.app  # type: ignore[union-attr]
    assert len(guard._buckets) <= 2


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(guarded: Guarded) -> None:
    def post(size: int) -> httpx.Response:
        body = json.dumps({"clip_id": "c"}).encode().ljust(size)
        return guarded.ask(
            "POST", "/v1/similar", guarded.key, content=body, headers={"Content-Type": "application/json"}
        )

    assert post(LIMIT_BYTES).json() == "read"
    answer = post(LIMIT_BYTES + 1)
    assert (answer.status_code, error(answer)["code"]) == (413, "too_large")
    assert str(LIMIT_BYTES) in error(answer)["message"]


def test_a_body_of_unknown_length_is_read_no_further_than_the_limit(guarded: Guarded) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while given < GIB:
            given += KIB
            yield b" " * KIB

    sent = {"Content-Type": "application/json"}
    answer = guarded.ask("POST", "/v1/similar", guarded.key, content=endless(), headers=sent)
    assert (answer.status_code, error(answer)["code"]) == (413, "too_large")
    assert given <= LIMIT_BYTES + 2 * KIB
    assert guarded.refusals.count == {"too_large": 1}


@pytest.mark.parametrize(
    "body", [b"[" * 9000, b'{"k": ' + b"9" * 9000 + b"}", b'{"weights": {"facial": 1e99999}}', b"\xff"]
)
def test_a_body_made_to_hurt_the_reader_is_an_error_of_the_caller(guarded: Guarded, body: bytes) -> None:
    sent = {"Content-Type": "application/json"}
    answer = guarded.ask("POST", "/v1/similar", guarded.key, content=body, headers=sent)
    assert answer.status_code in (400, 422)
    assert error(answer)["message"]


class Served:
    """The API on a port."""

    def __init__(self, app: FastAPI) -> None:
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.address = self.server.servers[0].sockets[0].getsockname()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def address(guarded: Guarded) -> Iterator[tuple[str, int]]:
    served = Served(guarded.app)
    yield served.address
    served.close()


def first_line(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    with connection.makefile("rb") as answer:
        return answer.readline()


def test_a_gibibyte_is_refused_before_it_is_sent(guarded: Guarded, address: tuple[str, int]) -> None:
    for key, expected in ((guarded.key, b"HTTP/1.1 413"), ("wrong", b"HTTP/1.1 401")):
        with socket.create_connection(address) as connection:
            connection.sendall(
                f"POST /v1/similar HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {GIB}\r\n\r\n".encode()
            )
            assert first_line(connection).startswith(expected)
            with suppress(ConnectionError):
                connection.sendall(b" " * 64 * MIB)
                pytest.fail("the server went on receiving")


def test_a_gibibyte_in_chunks_is_cut_off_early(guarded: Guarded, address: tuple[str, int]) -> None:
    chunk, sent = b"10000\r\n" + b" " * 0x10000 + b"\r\n", 0
    with socket.create_connection(address) as connection:
        connection.settimeout(10)
        connection.sendall(
            f"POST /v1/similar HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {guarded.key}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        with suppress(ConnectionError):
            while sent < GIB:
                connection.sendall(chunk)
                sent += len(chunk)
    assert sent < 64 * MIB  # what the sockets of both sides hold, and no more
    assert guarded.refusals.count == {"too_large": 1}

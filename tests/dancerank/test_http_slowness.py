"""Clients that are slow, or many: each is bounded in time and number, and the others are answered meanwhile."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Final

import pytest

from dancerank.listening import ConnectionLimits, answer_on_thread, bound
from ranking.serving.api.file_paths import SCORE_FILE
from tests.dancerank.http_ports import WITHIN_S, Port, api_port, exchange, process_port, received, status_and_error

QUICK: Final = ConnectionLimits(
    header_timeout_s=0.5, body_timeout_s=0.7, response_timeout_s=0.7, idle_timeout_s=0.5, connections=8
)
ASK: Final = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST: Final = b"POST /v1/similar HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=[api_port, process_port], ids=["api", "process"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    with request.param(QUICK) as made:
        yield made


@pytest.fixture
def api() -> Iterator[Port]:
    with api_port(QUICK) as made:
        yield made


def dripped(address: tuple[str, int], head: bytes, drop: bytes) -> bytes:
    """What is answered to a client that sends ``head``, and then ``drop`` every 50 ms for as long as it may."""
    with socket.create_connection(address, timeout=WITHIN_S) as connection:
        connection.sendall(head)
        answered = list[bytes]()
        reader = threading.Thread(target=lambda: answered.append(received(connection)))
        reader.start()
        with suppress(ConnectionError):
            while reader.is_alive():
                connection.sendall(drop)
                assert exchange(address, ASK).startswith(b"HTTP/1.1 200 "), "others are answered meanwhile"
                time.sleep(0.05)
        reader.join()
    return answered[0]


@pytest.mark.tried(kind="HTTP edges", given="headers that arrive byte by byte", outcome="408 request_timeout")
def test_headers_have_a_time_in_all(port: Port) -> None:
    assert status_and_error(dripped(port.address, b"GET /healthz HTTP/1.1\r\nX: ", b"x")) == (408, "request_timeout")
    assert port.refused == ["request_timeout"]


@pytest.mark.tried(kind="HTTP edges", given="a body that arrives byte by byte", outcome="408 request_timeout")
def test_a_body_has_a_time_in_all(api: Port) -> None:
    answered = dripped(api.address, POST + b"Content-Length: 5000\r\n\r\n", b" ")
    assert status_and_error(answered) == (408, "request_timeout")


@pytest.mark.tried(kind="HTTP edges", given="one chunk after another without an end", outcome="408 request_timeout")
def test_a_body_in_chunks_has_a_time_in_all(api: Port) -> None:
    answered = dripped(api.address, POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")
    assert status_and_error(answered) == (408, "request_timeout")


@pytest.mark.tried(kind="HTTP edges", given="a connection on which nothing comes", outcome="closed after 5 s")
def test_a_connection_without_a_request_is_closed(port: Port) -> None:
    with socket.create_connection(port.address) as connection:
        assert ended(connection)
    assert port.refused == []


@pytest.mark.tried(kind="HTTP edges", given="a connection kept open after an answer", outcome="closed after 5 s")
def test_a_connection_that_is_not_used_again_is_closed(port: Port) -> None:
    assert exchange(port.address, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.tried(kind="HTTP edges", given="half a request after an answer", outcome="408 request_timeout")
@pytest.mark.parametrize("together", [True, False], ids=["in one packet", "later"])
def test_the_next_request_of_a_connection_has_its_own_time(port: Port, together: bool) -> None:
    whole, half = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /healthz HTTP/1.1\r\n"
    with socket.create_connection(port.address) as connection:
        connection.settimeout(WITHIN_S)
        connection.sendall(whole + half if together else whole)
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 200 ")
        if not together:
            connection.sendall(half)
        assert b"408 Request Timeout" in first + received(connection)


@pytest.mark.tried(kind="HTTP edges", given="answers that are not read", outcome="aborted after 30 s; others answered")
@pytest.mark.parametrize("opened", [api_port, process_port], ids=["api", "process"])
def test_a_client_that_does_not_read_is_aborted(opened: Callable[..., object]) -> None:
    large = b"x" * (64 << 20)
    with opened(QUICK, lambda: ("text/plain", large)) as port:  # type: ignore[attr-defined]
        with socket.create_connection(port.address) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
            assert exchange(port.address, ASK).startswith(b"HTTP/1.1 200 ")
            time.sleep(3 * QUICK.response_timeout_s)  # to look whether the end is there would be to read
            got = 0
            connection.settimeout(WITHIN_S)
            with suppress(ConnectionError):
                while part := connection.recv(1 << 20):
                    got += len(part)
            assert got < len(large), "the rest was dropped with the connection"
        assert len(exchange(port.address, ASK.replace(b"/healthz", b"/metrics"))) > len(large), "who reads gets all"


@pytest.mark.tried(kind="HTTP edges", given="more connections than allowed", outcome="the oldest is closed")
def test_who_only_waits_makes_room(port: Port) -> None:
    with ExitStack() as held:
        waiting = [held.enter_context(socket.create_connection(port.address)) for _ in range(QUICK.connections)]
        assert exchange(port.address, ASK).startswith(b"HTTP/1.1 200 ")
        assert ended(waiting[0])


@pytest.mark.tried(
    kind="HTTP edges", given="more requests than connections allowed", outcome="503 too_many_connections"
)
@pytest.mark.parametrize("opened", [api_port, process_port], ids=["api", "process"])
def test_requests_under_way_are_not_given_up_for_others(opened: Callable[..., object]) -> None:
    begun, goes_on = threading.Semaphore(0), threading.Event()

    def render() -> tuple[str, bytes]:
        begun.release()
        goes_on.wait(WITHIN_S)
        return "text/plain", b"late"

    ask = b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    with opened(QUICK, render) as port, ExitStack() as held:  # type: ignore[attr-defined]
        clients = [held.enter_context(socket.create_connection(port.address)) for _ in range(QUICK.connections)]
        for client in clients:
            client.sendall(ask)
        assert all(begun.acquire(timeout=WITHIN_S) for _ in clients)
        answer = exchange(port.address, b"")
        assert status_and_error(answer) == (503, "too_many_connections")
        assert b"Retry-After: 5" in answer
        goes_on.set()
        assert [received(client)[-4:] for client in clients] == [b"late"] * len(clients)
        assert exchange(port.address, ask).endswith(b"late")


async def reads_all(_: Any, receive: Any, send: Any) -> None:
    """Answers once the body is there."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"read"})


@pytest.mark.parametrize(("path", "begins"), [(SCORE_FILE, b"HTTP/1.1 200 "), ("/v1/similar", b"HTTP/1.1 408 ")])
def test_a_file_has_longer_to_arrive_than_other_bodies(path: str, begins: bytes) -> None:
    limits = ConnectionLimits(body_timeout_s=0.1, file_timeout_s=WITHIN_S)
    with bound("127.0.0.1", 0) as taken:
        stop = answer_on_thread(reads_all, taken, limits=limits)
        with socket.create_connection(taken.getsockname(), timeout=WITHIN_S) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx".encode())
            time.sleep(0.5)
            with suppress(ConnectionError):
                connection.sendall(b"x")
            answer = received(connection)
        stop()
    assert answer.startswith(begins)


@pytest.mark.tried(kind="HTTP edges", given="a file that arrives too slowly", outcome="408 request_timeout")
def test_a_file_has_a_time_in_all() -> None:
    limits = ConnectionLimits(body_timeout_s=WITHIN_S, file_timeout_s=0.3)
    head = f"POST {SCORE_FILE} HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n".encode()
    with bound("127.0.0.1", 0) as taken:
        stop = answer_on_thread(reads_all, taken, limits=limits)
        answer = exchange(taken.getsockname(), head)
        stop()
    assert status_and_error(answer) == (408, "request_timeout")


def ended(connection: socket.socket) -> bool:
    """Whether the server ends the connection without an answer."""
    connection.settimeout(WITHIN_S)
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True

"""What clients send to the ports, byte by byte: one reading of each request, or a named refusal and an end."""

import socket
from collections.abc import Iterator

import pytest

from dancerank.listening import ConnectionLimits
from tests.dancerank.http_ports import Port, api_port, exchange, process_port, status_and_error

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

LIMITS = ConnectionLimits(idle_timeout_s=1)


@pytest.fixture(params=[api_port, process_port], ids=["api", "process"], scope="module")
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    with request.param(LIMITS) as made:
        yield made


@pytest.fixture(scope="module")
def api() -> Iterator[Port]:
    with api_port(LIMITS) as made:
        yield made


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="Content-Length and Transfer-Encoding together",
                outcome="400 ambiguous_length, closed",
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\ntransfer-ENCODING: Chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="the same in the other order and case", outcome="400 ambiguous_length, closed"
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="both lengths in a GET", outcome="400 ambiguous_length, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="Transfer-Encoding in HTTP/1.0", outcome="400 ambiguous_length, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="two lengths that differ", outcome="400 ambiguous_length, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 30\r\n\r\n",
            400,
            "ambiguous_length",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="two lengths that differ in one header", outcome="400 ambiguous_length, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n12345",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a length with a sign", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n12345",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a length in hexadecimal", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a length of 4,000 digits", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "unsupported_transfer_encoding",
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="another transfer encoding",
                outcome="501 unsupported_transfer_encoding, closed",
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            501,
            "unsupported_transfer_encoding",
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="an obfuscated transfer encoding",
                outcome="501 unsupported_transfer_encoding, closed",
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
            501,
            "unsupported_transfer_encoding",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="Transfer-Encoding twice", outcome="501 unsupported_transfer_encoding, closed"
            ),
        ),
        pytest.param(
            b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="white space before the colon of a header",
                outcome="400 malformed_request, closed",
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a carriage return within a header", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="NUL in a header", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a header without a colon", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(kind="HTTP edges", given="no Host", outcome="400 malformed_request, closed"),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(kind="HTTP edges", given="two Hosts", outcome="400 malformed_request, closed"),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: a/b\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a Host with a path", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path}\xff HTTP/1.1\r\nHost: h\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="bytes above 127 in the target", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path}\0 HTTP/1.1\r\nHost: h\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="NUL in the target", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET  {path} HTTP/1.1\r\nHost: h\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="two spaces in the request line", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"\r\n\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="blank lines and no request", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path}\r\n\r\n",
            400,
            "malformed_request",
            marks=pytest.mark.tried(kind="HTTP edges", given="HTTP/0.9", outcome="400 malformed_request, closed"),
        ),
        pytest.param(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            505,
            "unsupported_http_version",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="HTTP/2 with prior knowledge", outcome="505 unsupported_http_version, closed"
            ),
        ),
        pytest.param(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
            400,
            "malformed_request",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="TLS on the port of HTTP", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"GET {path}?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
            414,
            "url_too_long",
            marks=pytest.mark.tried(kind="HTTP edges", given="a target of 9 KiB", outcome="414 url_too_long, closed"),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\nCookie: " + b"a" * 33_000 + b"\r\n\r\n",
            431,
            "headers_too_large",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="headers of 33 KiB", outcome="431 headers_too_large, closed"
            ),
        ),
        pytest.param(
            b"GET {path} HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
            431,
            "headers_too_large",
            marks=pytest.mark.tried(kind="HTTP edges", given="10,000 headers", outcome="431 headers_too_large, closed"),
        ),
    ],
)
def test_what_has_several_readings_or_none_is_refused_by_name_and_the_connection_closed(
    port: Port, sent: bytes, status: int, code: str
) -> None:
    port.refused.clear()
    received = exchange(port.address, sent.replace(b"{path}", port.path) + SMUGGLED)
    assert status_and_error(received) == (status, code)
    assert received.count(b"HTTP/1.1 ") == 1, "what follows is not read as a request"
    assert b"\r\nConnection: close\r\n" in received
    assert port.refused == [code]


@pytest.mark.tried(kind="HTTP edges", given="a target without an end", outcome="414 url_too_long, closed")
def test_a_target_is_bounded_although_its_end_is_not_there(port: Port) -> None:
    assert status_and_error(exchange(port.address, b"GET /?" + b"a" * 60_000)) == (414, "url_too_long")


@pytest.mark.tried(kind="HTTP edges", given="headers without an end", outcome="431 headers_too_large, closed")
def test_headers_are_bounded_although_their_end_is_not_there(port: Port) -> None:
    sent = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
    assert status_and_error(exchange(port.address, sent)) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            b"-1\r\n",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a negative chunk", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"zz\r\nab\r\n0\r\n\r\n",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a chunk size that is not a number", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"2\r\nabcd\r\n0\r\n\r\n",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a chunk longer than its size", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"f" * 40 + b"\r\n",
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a chunk size of 40 digits", outcome="400 malformed_request, closed"
            ),
        ),
        pytest.param(
            b"1;" + b"x" * 60_000,
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a chunk extension without an end", outcome="400 malformed_request, closed"
            ),
        ),
    ],
)
def test_a_chunk_that_cannot_be_read_ends_the_request(api: Port, chunks: bytes) -> None:
    head = (
        b"POST /v1/similar HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    received = exchange(api.address, head + chunks + SMUGGLED)
    assert status_and_error(received) == (400, "malformed_request")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.tried(kind="HTTP edges", given="pipelined requests", outcome="answered in order")
def test_pipelined_requests_are_answered_in_order(port: Port) -> None:
    paths = [b"/healthz", b"/nothing", b"/healthz", b"/nothing"]
    requests = [b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n" for path in paths]
    requests.append(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    received = exchange(port.address, b"".join(requests))
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"404", b"200"]


@pytest.mark.tried(kind="HTTP edges", given="HTTP/1.0 without Host", outcome="200, closed")
def test_http_1_0_is_answered_and_closed(port: Port) -> None:
    received = exchange(port.address, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b'{"status":"ok"}')


@pytest.mark.tried(kind="HTTP edges", given="an upgrade to WebSocket or HTTP/2", outcome="ignored")
@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_an_upgrade_is_ignored(port: Port, protocol: bytes) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: " + protocol + b"\r\n\r\n"
    assert exchange(port.address, head).startswith(b"HTTP/1.1 200 ")


def test_head_leaves_the_connection_usable(port: Port) -> None:
    received = exchange(
        port.address,
        b"HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\nHEAD /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200"]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"", b"", b'{"status":"ok"}']
    assert b"content-length: 15" in answers[0].lower()


@pytest.mark.tried(kind="HTTP edges", given="Expect: 100-continue", outcome="100, then the answer")
def test_a_body_that_is_offered_is_asked_for(api: Port) -> None:
    body = b"{not JSON"
    with socket.create_connection(api.address) as connection:
        connection.settimeout(20)
        connection.sendall(
            b"POST /v1/similar HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 422 ")


@pytest.mark.tried(kind="HTTP edges", given="OPTIONS *", outcome="404 no_such_path")
def test_the_server_as_a_whole_has_no_options(port: Port) -> None:
    received = exchange(port.address, b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert status_and_error(received) == (404, "no_such_path")


@pytest.mark.tried(kind="HTTP edges", given="CONNECT to another host", outcome="400 malformed_url")
def test_nothing_is_proxied(port: Port) -> None:
    received = exchange(port.address, b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\nConnection: close\r\n\r\n")
    assert status_and_error(received) == (400, "malformed_url")

"""A length that a request declares is believed where that is a refusal; where it makes no sense, what comes counts."""

import asyncio

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from ranking.api import Access
from ranking.api.errors import install_error_handlers
from ranking.api.guard import install_guards

LIMIT_BYTES = 100


def status_of(declared: str | None, *chunks: bytes) -> tuple[int, dict[str, str], int]:
    """Status and headers of the answer, and how many chunks of the body were asked for."""
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    install_guards(app, Access(max_request_bytes=LIMIT_BYTES))
    given, sent = 0, list[Message]()

    async def receive() -> Message:
        nonlocal given
        given += 1
        return {"type": "http.request", "body": chunks[given - 1], "more_body": given < len(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/read",
        "raw_path": b"/read",
        "query_string": b"",
        "headers": [] if declared is None else [(b"content-length", declared.encode("latin-1"))],
    }
    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, given


@pytest.mark.parametrize("declared", ["101", "1" + "0" * 17, "9" * 19, "9" * 5_000], ids=len)
def test_a_length_beyond_the_limit_is_refused_unread_however_many_digits_it_has(declared: str) -> None:
    status, headers, given = status_of(declared, b"never read")
    assert (status, given) == (413, 0)
    assert headers["connection"] == "close"  # else the server would go on receiving what is left


@pytest.mark.parametrize("declared", [None, "", "-1", "+5", "1e9", "0x10", "\u00b2", "ten"])
def test_where_the_length_makes_no_sense_what_comes_is_counted(declared: str | None) -> None:
    assert status_of(declared, b"x" * 60, b"x" * 40)[0] == 200
    status, headers, given = status_of(declared, b"x" * 60, b"x" * 41, b"x" * 60)
    assert (status, given) == (413, 2)
    assert headers["connection"] == "close"


def test_a_length_that_was_a_lie_does_not_help() -> None:
    assert status_of("5", b"x" * 101)[0] == 413

"""A declared length is enough to refuse a request; an invalid one is ignored, and the received bytes count."""

import pytest
from fastapi import FastAPI, Request

from ranking.serving.api import Access
from ranking.serving.api.errors import install_error_handlers
from ranking.serving.api.guard import install_guards
from tests.ranking.serving.asgi import Answer, request

LIMIT_BYTES = 100


def answer_to(declared: str | None, *chunks: bytes) -> Answer:
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/read")
    async def read(body: Request) -> int:
        return len(await body.body())

    install_guards(app, Access(max_request_bytes=LIMIT_BYTES))
    headers = {} if declared is None else {"content-length": declared}
    return request(app, "POST", "/read", headers, *chunks)


@pytest.mark.parametrize("declared", ["101", "1" + "0" * 17, "9" * 19, "9" * 5_000], ids=len)
def test_a_length_beyond_the_limit_is_refused_unread_however_many_digits_it_has(declared: str) -> None:
    status, headers, given, _ = answer_to(declared, b"never read")
    assert (status, given) == (413, 0)
    assert headers["connection"] == "close"  # else the server would go on receiving what is left


@pytest.mark.parametrize("declared", [None, "", "-1", "+5", "1e9", "0x10", "\u00b2", "ten"])
def test_where_the_length_makes_no_sense_what_comes_is_counted(declared: str | None) -> None:
    assert answer_to(declared, b"x" * 60, b"x" * 40)[0] == 200
    status, headers, given, _ = answer_to(declared, b"x" * 60, b"x" * 41, b"x" * 60)
    assert (status, given) == (413, 2)
    assert headers["connection"] == "close"


def test_a_length_that_was_a_lie_does_not_help() -> None:
    assert answer_to("5", b"x" * 101)[0] == 413

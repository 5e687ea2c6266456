"""Requests to an application without a server, as a server would hand them on."""

import asyncio
import json
from typing import NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    """``asked``: how many chunks of the request's body were asked for."""

    status: int
    headers: dict[str, str]
    asked: int
    body: bytes


def request(app: ASGIApp, method: str, target: str, headers: dict[str, str], *chunks: bytes) -> Answer:
    """``target`` as it stands in the request line; header names in lower case; ``chunks`` are the body."""
    path, _, query = target.partition("?")
    body, asked, sent = chunks or (b"",), 0, list[Message]()

    async def receive() -> Message:
        nonlocal asked
        if asked == len(body):
            await asyncio.Event().wait()  # nothing more comes, nor does the client leave
        asked += 1
        return {"type": "http.request", "body": body[asked - 1], "more_body": asked < len(body)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, asked, b"".join(message["body"] for message in sent[1:]))


def refusal(answer: Answer) -> tuple[int, str, str | None]:
    """Status, code and parameter of an answer that has the body of an error."""
    error = json.loads(answer.body)["error"]
    assert error.keys() == {"code", "message", "parameter"}
    assert error["message"]
    return answer.status, error["code"], error["parameter"]

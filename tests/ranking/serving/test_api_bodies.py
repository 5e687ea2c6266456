"""Bodies at the edges of HTTP: each read in one way or refused by name."""

import json
from typing import Any

import pytest
from fastapi import FastAPI

from tests.ranking.serving.asgi import JSON, refusal, request


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            b"{not json",
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a body that is not JSON", outcome="422 malformed_json"),
        ),
        pytest.param(
            b"\xff",
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a body that is not UTF-8", outcome="422 malformed_json"),
        ),
        pytest.param(
            '{"clip_id": "c1"}'.encode("utf-16"),
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a body in UTF-16", outcome="422 malformed_json"),
        ),
        pytest.param(
            b"[" * 100_000,
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="100,000 opened brackets", outcome="422 malformed_json"),
        ),
        pytest.param(
            b'{"clip_id": "c1", "k": ' + b"9" * 5000 + b"}",
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a number of 5,000 digits", outcome="422 malformed_json"),
        ),
        pytest.param(
            b'{"clip_id": "c1", "clip_id": "c2"}',
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a name twice in one JSON object", outcome="422 malformed_json"
            ),
        ),
        pytest.param(
            b"{" + b",".join(b'"%x": 1' % number for number in (*range(200_000), 199_999)) + b"}",
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="an object of 200,000 names, the last of which is there twice",
                outcome="422 malformed_json, at once",
            ),
            id="very many names",
        ),
        pytest.param(
            b'\xef\xbb\xbf{"clip_id": "c1"}',
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a body with a byte-order mark", outcome="422 malformed_json"
            ),
        ),
        pytest.param(
            b'{"clip_id": "c1"} {}',
            (422, "malformed_json", "body"),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="text after the JSON document", outcome="422 malformed_json"
            ),
        ),
        pytest.param(
            b"",
            (422, "invalid_query", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="an empty body", outcome="422 invalid_query"),
        ),
        pytest.param(
            b"[]",
            (422, "invalid_query", "body"),
            marks=pytest.mark.tried(kind="HTTP edges", given="JSON that is a list", outcome="422 invalid_query"),
        ),
        pytest.param(
            b'{"\\ud800": 1}',
            (422, "invalid_query", "body"),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="half a surrogate pair as a name", outcome="422 invalid_query"
            ),
        ),
        pytest.param(
            b'{"embeddings": {"skeletal": [NaN, 1]}, "generation": "g1"}',
            (422, "invalid_query", "embeddings.skeletal"),
            marks=pytest.mark.tried(kind="HTTP edges", given="NaN as an embedding", outcome="422 invalid_query"),
        ),
        pytest.param(
            b'{"clip_id": "c1", "weights": {"skeletal": 1e999}}',
            (422, "invalid_query", "weights"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a weight of 1e999", outcome="422 invalid_query"),
        ),
        pytest.param(
            b'{"clip_id": "c1", "k": 18446744073709551617}',
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(kind="HTTP edges", given="k beyond 64 bits", outcome="422 invalid_query"),
        ),
    ],
)
def test_a_body_is_read_in_one_way_or_refused_by_name(
    app: FastAPI, body: bytes, expected: tuple[int, str, str | None]
) -> None:
    assert refusal(request(app, "POST", "/v1/similar", JSON, body)) == expected


FILE = {"kind": "file", "uri": "file:///a.safetensors"}
MADE_UP = {"challenge_id": "ch", "percentiles": {"fused": 50}}


@pytest.mark.parametrize("wrong", [True, "1"], ids=repr)
@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/similar", {"clip_id": "c1"}, "k"),
        ("/v1/similar", {"clip_id": "c1"}, "half_life_s"),
        ("/v1/similar", {"clip_id": "c1"}, "uploaded_from_ms"),
        ("/v1/similar", {"clip_id": "c1", "weights": {}}, "weights.skeletal"),
        ("/v1/similar", {"generation": "g", "embeddings": {"skeletal": [0.0]}}, "embeddings.skeletal.0"),
        ("/v1/similar", {"like": [{"clip_id": "c1"}]}, "like.0.weight"),
        ("/v1/pools/try", MADE_UP, "views"),
        ("/v1/pools/try", {"challenge_id": "ch", "scores": {}}, "scores.fused"),
        ("/v1/pools/comparison", {"policies": ["four-tiers"], "seeds": [0]}, "seeds.0"),
        ("/v1/pools/comparison", {"policies": ["four-tiers"]}, "clips"),
        ("/v1/pools/comparison", {"policies": ["four-tiers"]}, "days"),
        ("/v1/score", {"features": FILE}, "duration_s"),
        ("/v1/guidance", {"features": FILE}, "rate_hz"),
    ],
)
@pytest.mark.tried(kind="HTTP edges", given='true or "1" in place of a number', outcome="422 invalid_query")
def test_a_number_is_neither_a_boolean_nor_a_text(
    app: FastAPI, path: str, body: dict[str, Any], place: str, wrong: object
) -> None:
    *outer, last = place.split(".")
    made = json.loads(json.dumps(body))
    inner: Any = made
    for name in outer:
        inner = inner[int(name) if name.isdigit() else name]
    inner[int(last) if last.isdigit() else last] = wrong
    answer = request(app, "POST", path, JSON, json.dumps(made).encode())
    assert refusal(answer) == (422, "invalid_query", place)


@pytest.mark.tried(kind="HTTP edges", given="1 in place of true", outcome="422 invalid_query")
def test_a_number_is_no_boolean(app: FastAPI) -> None:
    answer = request(app, "POST", "/v1/similar", JSON, b'{"clip_id": "c1", "include_own": 1}')
    assert refusal(answer) == (422, "invalid_query", "include_own")


@pytest.mark.tried(kind="HTTP edges", given="5.0 in place of 5", outcome="an answer")
def test_a_number_is_whole_however_it_is_written(app: FastAPI) -> None:
    bodies = (
        b'{"clip_id": "c1", "k": 5.0, "half_life_s": 5}',
        b'{"clip_id": "c1", "k": 5e0, "uploaded_from_ms": -0.0}',
    )
    for body in bodies:
        assert request(app, "POST", "/v1/similar", JSON, body).status == 200


def test_what_a_refusal_quotes_is_bounded(app: FastAPI) -> None:
    answer = request(app, "POST", "/v1/similar", JSON, json.dumps({"x" * 100_000: 1}).encode())
    assert refusal(answer)[:2] == (422, "invalid_query")
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(
            {"content-type": "text/plain"},
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a body of another content type", outcome="415 unsupported_media_type"
            ),
        ),
        pytest.param(
            {},
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a body without a content type", outcome="415 unsupported_media_type"
            ),
        ),
        pytest.param(
            {"content-type": "application/x-www-form-urlencoded"},
            marks=pytest.mark.tried(kind="HTTP edges", given="a form", outcome="415 unsupported_media_type"),
        ),
        pytest.param(
            {"content-type": "json"},
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a content type that is not one", outcome="415 unsupported_media_type"
            ),
        ),
        pytest.param(
            {"content-type": "application/json; charset=utf-16"},
            marks=pytest.mark.tried(
                kind="HTTP edges", given="JSON declared as UTF-16", outcome="415 unsupported_media_type"
            ),
        ),
        pytest.param(
            {"content-type": "application/json", "content-encoding": "gzip"},
            marks=pytest.mark.tried(kind="HTTP edges", given="a compressed body", outcome="415 unsupported_media_type"),
        ),
    ],
)
def test_a_body_that_is_not_declared_as_json_is_not_read_as_json(app: FastAPI, headers: dict[str, str]) -> None:
    answer = request(app, "POST", "/v1/similar", headers, b'{"clip_id": "c1"}')
    assert refusal(answer) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize("declared", ["application/json", "APPLICATION/JSON; charset=UTF-8", "application/x+json"])
def test_json_may_be_declared_in_each_way_that_means_json(app: FastAPI, declared: str) -> None:
    sent = {"content-type": declared, "content-encoding": "identity"}
    assert request(app, "POST", "/v1/similar", sent, b'{"clip_id": "c1"}').status == 200

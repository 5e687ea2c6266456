"""Requests at the edges of HTTP: each refused by name, with one code and status for each meaning, or answered whole."""

import json

import pytest
from fastapi import FastAPI

from tests.ranking.serving.asgi import JSON, refusal, request

OF_A_BUNDLE = ("/v1/score", "/v1/guidance")
NOT_OFFERED_EVERYWHERE = (*OF_A_BUNDLE, "/v1/pools/comparison")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(
            "/v1/clips/c%",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="an incomplete percent-encoding in a path", outcome="400 malformed_url"
            ),
        ),
        pytest.param(
            "/v1/challenges?generation=%zz",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges",
                given="a percent-encoding that is not hexadecimal in a query",
                outcome="400 malformed_url",
            ),
        ),
        pytest.param(
            "/v1/clips/%ff",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="bytes that are not UTF-8 in a path", outcome="400 malformed_url"
            ),
        ),
        pytest.param(
            "/v1/challenges?generation=%c0%ae",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="an overlong UTF-8 encoding in a query", outcome="400 malformed_url"
            ),
        ),
        pytest.param(
            "/v1/clips/%ed%a0%80",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="half a surrogate pair in a path", outcome="400 malformed_url"
            ),
        ),
        pytest.param(
            "/v1/clips/c1%2Fsimilar",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(kind="HTTP edges", given="an encoded slash in an id", outcome="400 malformed_url"),
        ),
        pytest.param(
            "v1/challenges",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(kind="HTTP edges", given="a target that is no path", outcome="400 malformed_url"),
        ),
        pytest.param(
            "ftp://h/v1/challenges",
            (400, "malformed_url", None),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="an absolute target of another scheme", outcome="400 malformed_url"
            ),
        ),
        pytest.param(
            "/v1/clips/c%00",
            (422, "invalid_query", "clip_id"),
            marks=pytest.mark.tried(kind="HTTP edges", given="NUL in an id", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/" + "x" * 4000,
            (422, "invalid_query", "clip_id"),
            marks=pytest.mark.tried(kind="HTTP edges", given="an id of 4,000 characters", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/%2e",
            (422, "invalid_query", "clip_id"),
            marks=pytest.mark.tried(kind="HTTP edges", given="an id of one dot", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/c1/similar?k=1&k=2",
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a query parameter twice", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/c1/similar?k=1&%6b=2",
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(
                kind="HTTP edges", given="a query parameter twice, once encoded", outcome="422 invalid_query"
            ),
        ),
        pytest.param(
            "/v1/clips/c1/similar?k=1000000000000000000000000000000000000000",
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(kind="HTTP edges", given="k of 40 digits", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/c1/similar?k=NaN",
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(kind="HTTP edges", given="k of NaN", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/c1/similar?k=%D9%A7",
            (422, "invalid_query", "k"),
            marks=pytest.mark.tried(kind="HTTP edges", given="k in Arabic digits", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/clips/c1/similar?weights=skeletal:inf",
            (422, "invalid_query", "weights"),
            marks=pytest.mark.tried(kind="HTTP edges", given="a weight of infinity", outcome="422 invalid_query"),
        ),
        pytest.param(
            "/v1/challenges/",
            (404, "no_such_path", None),
            marks=pytest.mark.tried(kind="HTTP edges", given="a trailing slash", outcome="404 no_such_path"),
        ),
        pytest.param(
            "//v1/challenges",
            (404, "no_such_path", None),
            marks=pytest.mark.tried(kind="HTTP edges", given="two slashes", outcome="404 no_such_path"),
        ),
        pytest.param(
            "/healthz/../v1/challenges",
            (404, "no_such_path", None),
            marks=pytest.mark.tried(kind="HTTP edges", given="dot segments", outcome="404 no_such_path"),
        ),
    ],
)
def test_a_target_is_read_in_one_way_or_refused_by_name(
    app: FastAPI, target: str, expected: tuple[int, str, str | None]
) -> None:
    assert refusal(request(app, "GET", target, {})) == expected


@pytest.mark.tried(kind="HTTP edges", given="an absolute target", outcome="as its path")
@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
def test_a_target_in_absolute_form_is_answered_as_its_path(app: FastAPI, scheme: str) -> None:
    answer = request(app, "GET", f"{scheme}://elsewhere:9/v1/challenges?generation=g1", {})
    assert (answer.status, json.loads(answer.body)) == (200, [{"challenge_id": "ch", "clips": 1}])
    assert request(app, "GET", "http://elsewhere/v1", {}).status == 404


@pytest.mark.tried(kind="HTTP edges", given="k of 1e9, of 1.5, of 2,000", outcome="422 with the rule in words")
@pytest.mark.parametrize(
    ("k", "said"),
    [
        ("1e9", "k: must be an integer"),
        ("1.5", "k: must be an integer"),
        ("", "k: must be an integer"),
        ("2000", "k: must be less than or equal to 1000"),
        ("0", "k: must be greater than or equal to 1"),
    ],
)
def test_a_number_that_is_refused_is_answered_with_the_rule_in_words(app: FastAPI, k: str, said: str) -> None:
    answer = request(app, "GET", f"/v1/clips/c1/similar?k={k}", {})
    assert json.loads(answer.body)["error"]["message"] == said


@pytest.mark.tried(kind="HTTP edges", given="a generation that is unknown", outcome="404 not_found, on every path")
def test_an_unknown_generation_is_the_same_error_on_every_path(app: FastAPI) -> None:
    paths = [
        (path.format(clip_id="c1", dancer_id="d1", challenge_id="ch"), method)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "generation" in str(operation.get("parameters", "")) or method == "post"
        if not path.startswith((*NOT_OFFERED_EVERYWHERE, "/v1/model"))  # this app has no bundle and no measurements
    ]
    assert len(paths) == 24
    bodies = {
        "/v1/similar": {"clip_id": "c1", "generation": "g9"},
        "/v1/pools/try": {"challenge_id": "ch", "percentiles": {"fused": 90}, "generation": "g9"},
    }
    for path, method in paths:
        if method == "post":
            answer = request(app, "POST", path, JSON, json.dumps(bodies[path]).encode())
        else:
            answer = request(app, "GET", f"{path}?generation=g9", {})
        assert refusal(answer) == (404, "not_found", "generation"), path


@pytest.mark.tried(kind="HTTP edges", given="HEAD", outcome="as GET, without a body")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/clips/c1",
        "/v1/clips/c9",
        "/v1/clips/c1/similar?k=0",
        "/v1/challenges",
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/nothing",
        "/v1/clips/%ff",
    ],
)
def test_head_is_answered_as_get_without_a_body(app: FastAPI, path: str) -> None:
    answers = [request(app, method, path, {}) for method in ("GET", "HEAD")]
    assert answers[0].status == answers[1].status
    assert answers[0].headers == answers[1].headers
    assert answers[0].body
    assert not answers[1].body


@pytest.mark.tried(kind="HTTP edges", given="OPTIONS, TRACE, PUT, BREW", outcome="405 with Allow")
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "BREW"])
def test_a_method_that_a_path_lacks_is_refused_with_those_that_it_has(app: FastAPI, method: str) -> None:
    for path, allowed in (("/v1/clips/c1", "GET, HEAD"), ("/v1/similar", "POST"), ("/metrics", "GET, HEAD")):
        answer = request(app, method, path, {})
        assert refusal(answer) == (405, "method_not_allowed", None)
        assert answer.headers["allow"] == allowed


@pytest.mark.tried(kind="HTTP edges", given="HEAD of a path that takes POST only", outcome="405 with Allow")
def test_head_of_a_path_without_get_is_refused(app: FastAPI) -> None:
    answer = request(app, "HEAD", "/v1/similar", {})
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")


@pytest.mark.tried(kind="HTTP edges", given="Expect: 200-ok", outcome="417 expectation_failed")
def test_an_expectation_that_is_not_met_is_refused(app: FastAPI) -> None:
    answer = request(app, "POST", "/v1/similar", JSON | {"expect": "200-ok"}, b"{}")
    assert refusal(answer) == (417, "expectation_failed", None)


@pytest.mark.tried(kind="HTTP edges", given="conditional and range headers", outcome="200, as without them")
def test_conditions_are_not_looked_at_because_answers_have_no_tags(app: FastAPI) -> None:
    plain = request(app, "GET", "/v1/challenges", {})
    for headers in ({"if-none-match": "*"}, {"if-match": '"x"'}, {"if-modified-since": "?"}, {"range": "bytes=0-1"}):
        assert request(app, "GET", "/v1/challenges", headers) == plain


WITHOUT_404 = (
    "/v1/guidance",
    "/v1/guidance/picture",
    "/v1/events",
    "/v1/generations",
    "/v1/pools",
    "/v1/pools/comparison",
    "/v1/pools/decisions",
    "/v1/pools/history",
    "/v1/pools/policies",
    "/v1/score/offer",
)


@pytest.mark.tried(kind="HTTP edges", given="the description of the API", outcome="every error of every path")
def test_the_description_has_each_error_with_one_model_and_the_key(app: FastAPI) -> None:
    described = app.openapi()
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            expected = {"400", "500", "503"}
            if path not in ("/healthz", "/readyz"):
                expected |= {"401", "429"}
                assert {"key": []} in operation["security"]
            if path.startswith("/v1/"):
                expected |= {"422"} | ({"404"} if path not in WITHOUT_404 else set())
            if method == "post":
                expected |= {"413", "415"} | ({"501"} if path.startswith(NOT_OFFERED_EVERYWHERE) else set())
            if path.endswith(("/picture", "/skeleton", "/guidance")):
                expected |= {"501"}
            errors = {status for status in operation["responses"] if not status.startswith("2")}
            assert errors == expected, path
            may_be_none = any(each["name"] == "or_none" for each in operation.get("parameters", []))
            assert ("204" in operation["responses"]) == may_be_none, path
            for status in errors - ({"503"} if path in ("/healthz", "/readyz") else set()):
                content = operation["responses"][status]["content"]
                assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}

"""The pages that describe the API work without the internet, and let no script in from elsewhere."""

import re
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key
from ranking.serving.service import RankingService
from tests.ranking.serving.asgi import request


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Asks for keys, which the pages have to do without."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    create_key(keys, "app", created=datetime(2026, 3, 1, tzinfo=UTC))
    access = Access(keys=KeyRing(keys))
    return create_app(RankingService(ScoreStore(Database("sqlite://"))), lambda: ("text/plain", b""), access)


@pytest.mark.tried(kind="HTTP edges", given="/docs and /redoc without internet", outcome="the API, to try and to read")
@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_has_everything_from_here(app: FastAPI, path: str) -> None:
    page = request(app, "GET", path, {})
    assert page.status == 200
    named = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    scripts = [each for each in named if each.endswith(".js")]
    assert scripts
    for each in named:
        assert "//" not in each
        asset = request(app, "GET", f"/{each}", {})
        assert (asset.status, bool(asset.body)) == (200, True)
        assert asset.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)", page.body.decode()), "no script within the page"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_admits_no_script_and_no_connection_but_to_here(app: FastAPI, path: str) -> None:
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in request(app, "GET", path, {}).headers["content-security-policy"].split(";")
    )
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert not any("http" in sources or "*" in sources for sources in policy.values())
    assert policy["frame-ancestors"] == "'none'"


def test_the_pages_read_the_description_where_it_is(app: FastAPI) -> None:
    assert b'url: "openapi.json"' in request(app, "GET", "/docs/assets/start.js", {}).body
    assert b'spec-url="openapi.json"' in request(app, "GET", "/redoc", {}).body
    assert request(app, "GET", "/openapi.json", {}).status == 200

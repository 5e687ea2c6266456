"""The files of the page: open without a key, kept by the browser until they change, with nothing from elsewhere."""

import gzip
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key
from ranking.serving.api.page_routes import PAGE_PATHS, ROOT
from ranking.serving.service import RankingService
from tests.ranking.serving.asgi import refusal, request

VENDOR = ROOT / "vendor"
OURS = sorted(path for path in ROOT.rglob("*") if path.is_file() and VENDOR not in path.parents)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Asks for keys, which the page's files have to do without."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    create_key(keys, "app", created=datetime(2026, 3, 1, tzinfo=UTC))
    service = RankingService(ScoreStore(Database("sqlite://")))
    return create_app(service, lambda: ("text/plain", b""), Access(keys=KeyRing(keys)))


def test_every_file_is_open_and_says_what_it_is(app: FastAPI) -> None:
    assert len(PAGE_PATHS) > 20
    for path in PAGE_PATHS:
        answer = request(app, "GET", path, {})
        assert answer.status == 200, path
        assert answer.body, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|http|\*", policy)
    assert request(app, "GET", "/", {}).headers["content-type"] == "text/html; charset=utf-8"
    assert request(app, "GET", "/page/app/main.js", {}).headers["content-type"] == "text/javascript; charset=utf-8"


def test_a_file_is_sent_again_only_once_it_has_changed(app: FastAPI) -> None:
    first = request(app, "GET", "/page/app/main.js", {})
    again = request(app, "GET", "/page/app/main.js", {"if-none-match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = request(app, "GET", "/page/app/main.js", {"if-none-match": '"0123456789abcdef"'})
    assert (other.status, other.body) == (200, first.body)


def test_a_file_is_packed_for_who_can_unpack_it(app: FastAPI) -> None:
    plain = request(app, "GET", "/page/vendor/d3.min.js", {})
    packed = request(app, "GET", "/page/vendor/d3.min.js", {"accept-encoding": "gzip, br"})
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip;q=0", False),
        ("br, gzip; q=0.000", False),
        ("GZIP;q=0.5", True),
        ("br,gzip;q=1.0", True),
        ("gzipped", False),
    ],
)
def test_what_a_client_refuses_it_is_not_sent(app: FastAPI, accepted: str, is_packed: bool) -> None:
    answer = request(app, "GET", "/page/app/main.js", {"accept-encoding": accepted})
    assert ("content-encoding" in answer.headers) == is_packed


def test_head_answers_as_get_without_the_body(app: FastAPI) -> None:
    head, get = request(app, "HEAD", "/", {}), request(app, "GET", "/", {})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize(
    "path",
    ["/page", "/page/", "/page/index.html", "/page/app", "/page/none.js", "/page/../pyproject.toml", "/challenges"],
)
def test_what_is_no_file_of_the_page_is_refused_as_everywhere(app: FastAPI, path: str) -> None:
    status, code, _ = refusal(request(app, "GET", path, {}))
    assert (status, code) in {(401, "no_key"), (404, "no_such_path")}


def test_the_page_names_only_what_is_there(app: FastAPI) -> None:
    for named in re.findall(r'(?:src|href)="([^"]+)"', (ROOT / "index.html").read_text()):
        assert request(app, "GET", f"/{named}", {}).status == 200, named


@pytest.mark.parametrize("file", OURS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_loads_nothing_from_elsewhere_and_writes_no_markup(file: Path) -> None:
    text = file.read_text()
    elsewhere = [each for each in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text) if "www.w3.org" not in each]
    assert elsewhere == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=\"", text), "the policy allows none within the page"


def test_the_libraries_are_those_that_were_pinned() -> None:
    sums = dict(reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    held = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert held - {"SHA256SUMS"} == sums.keys()
    for name, expected in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected, name
    for library in ("preact", "htm", "d3", "plot"):
        assert len((VENDOR / "licences" / f"{library}.txt").read_text()) > 500

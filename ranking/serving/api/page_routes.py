"""``/``: the page where people look at rankings, clips and pools, from files of this package.

Its addresses are behind ``#``, so that every other path remains the API's. The page loads scripts, styles, pictures and
answers from this server only, and allows no script or style within itself.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response

ROOT: Final = Path(str(files("ranking.serving") / "page"))
_START: Final = "index.html"
_PLACE: Final = "<!-- modules -->"
_NOT_AT_ONCE: Final = frozenset({"theme.js", "d3.min.js", "plot.min.js"})
"""A script that is not a module and runs before the page is drawn, and what only pages with charts need."""
_OF_ONE_PAGE: Final = frozenset({"pages", "skeletons"})
"""Folders of modules that not every page needs."""
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # it is kept, and asked for whether it is still the same
    "Vary": "Accept-Encoding",
}


def _served() -> dict[str, Path]:
    """The file of each path."""
    found = (path for path in sorted(ROOT.rglob("*")) if path.suffix in _MEDIA_TYPES)
    paths = {f"/page/{path.relative_to(ROOT).as_posix()}": path for path in found}
    start = paths.pop(f"/page/{_START}")
    return {"/": start} | paths


_FILES: Final = _served()
PAGE_PATHS: Final = frozenset(_FILES)
"""All paths of this module, for who lets them be read without a key: the API asks for it."""


@dataclass(frozen=True)
class _Content:
    plain: bytes
    packed: bytes
    tag: str


@cache
def _content(path: Path) -> _Content:
    plain = path.read_bytes()
    if path.name == _START:
        plain = plain.replace(_PLACE.encode(), _preloads().encode())
    return _Content(plain, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:32])


def _preloads() -> str:
    """Names the modules that every page needs to the browser at once: found import by import, each level would wait for
    the one before.
    """
    found = (path for folder in ("app", "vendor") for path in sorted((ROOT / folder).rglob("*.js")))
    names = (
        path.relative_to(ROOT).as_posix()
        for path in found
        if path.name not in _NOT_AT_ONCE and not _OF_ONE_PAGE.intersection(path.relative_to(ROOT).parts)
    )
    return "\n".join(f'<link rel="modulepreload" href="page/{name}">' for name in names)


def _takes_gzip(accepted: str) -> bool:
    """Whether the header Accept-Encoding names gzip; with a weight of 0 it refuses it (RFC 9110 §12.5.3)."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def add_page(app: FastAPI) -> None:
    """The page's files, each on its path of ``app``."""

    def add(path: str, file: Path) -> None:
        media_type = f"{_MEDIA_TYPES[file.suffix]}; charset=utf-8"

        @app.get(path, include_in_schema=False)
        async def page_file(request: Request) -> Response:
            content = _content(file)
            is_packed = _takes_gzip(request.headers.get("accept-encoding", ""))
            # RFC 9110 §8.8.3: each encoding is a representation of its own.
            tag = f'"{content.tag}{"-gzip" if is_packed else ""}"'
            headers = _HEADERS | {"ETag": tag}
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=headers)
            if not is_packed:
                return Response(content.plain, headers=headers, media_type=media_type)
            return Response(content.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=media_type)

    for path, file in _FILES.items():
        add(path, file)

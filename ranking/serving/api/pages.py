"""``/docs`` and ``/redoc``: the API to try out and to read, from files of a package; nothing comes from elsewhere.

The scripts are those that ``fastapi-offline`` ships. The pages allow no other script, not even one within them, and no
connection to another host.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

_ASSETS: Final = Path(str(files("fastapi_offline") / "static"))
_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_DOCS: Final = "/docs"
_REDOC: Final = "/redoc"
_UNDER: Final = f"{_DOCS}/assets"
_START: Final = f"{_UNDER}/start.js"
PAGES: Final = frozenset({_DOCS, _REDOC, _START, *(f"{_UNDER}/{name}" for name in _FILES)})
"""All paths of this module, for who lets them be read without a key."""
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # both pages make their styles while they run
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",  # the search of Redoc
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# Paths are relative, so that the pages work below a prefix that a proxy takes from them.
_SCRIPT: Final = """\
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
  });
});
"""
_DOCS_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dancerank: the API</title>
<link rel="icon" href="docs/assets/favicon.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
_REDOC_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dancerank: the API</title>
<link rel="icon" href="docs/assets/favicon.png">
<style>body { margin: 0 } img[src^="https:"] { display: none }</style>
</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<script src="docs/assets/redoc.standalone.js"></script>
</body>
</html>
"""


def add_pages(app: FastAPI) -> None:
    """The pages that describe ``app``; it must have none of its own."""

    def page(path: str, content: str) -> None:
        @app.get(path, include_in_schema=False)
        def described() -> HTMLResponse:
            return HTMLResponse(content, headers={"Content-Security-Policy": _POLICY, **_HEADERS})

    def asset(name: str, media_type: str) -> None:
        @app.get(f"{_UNDER}/{name}", include_in_schema=False)
        def file() -> FileResponse:
            return FileResponse(_ASSETS / name, media_type=media_type, headers=_HEADERS)

    page(_DOCS, _DOCS_PAGE)
    page(_REDOC, _REDOC_PAGE)
    for name, media_type in _FILES.items():
        asset(name, media_type)

    @app.get(_START, include_in_schema=False)
    def start() -> Response:
        return Response(_SCRIPT, media_type="text/javascript", headers=_HEADERS)

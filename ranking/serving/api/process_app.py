"""HTTP of a process that has no API: ``/metrics``, ``/healthz`` and ``/readyz``."""

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ranking.serving.api.bodies import JsonRoute
from ranking.serving.api.errors import RETRY_AFTER_S, install_error_handlers, refusal_answer
from ranking.serving.api.guard import Access, install_guards
from ranking.serving.api.refusals import NO_SUCH_PATH
from schemas.observation import Observer

_PATHS: Final = ("/metrics", "/healthz", "/readyz")


def create_process_app(
    metrics: Callable[[], tuple[str, bytes]], waiting: Callable[[], Sequence[str]], observer: Observer
) -> FastAPI:
    """``metrics`` gives content type and body of ``/metrics``. ``waiting`` names, a sentence each, what the process
    waits for: if there is any, ``/readyz`` answers 503 and lists them. ``/healthz`` answers 200 while the process runs.
    """
    app = FastAPI(title="dancerank", openapi_url=None, redirect_slashes=False)
    app.router.route_class = JsonRoute
    install_error_handlers(app)

    @app.get("/metrics")
    def prometheus_metrics() -> Response:
        content_type, body = metrics()
        return Response(body, headers={"Content-Type": content_type})

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        found = list(waiting())
        status, headers = (503, {"Retry-After": str(RETRY_AFTER_S)}) if found else (200, None)
        return JSONResponse({"ready": not found, "waiting": found}, status, headers)

    @app.exception_handler(NO_SUCH_PATH.status)
    async def no_such_path(_: Request, __: Exception) -> Response:
        return refusal_answer(NO_SUCH_PATH, f"the paths are {', '.join(_PATHS)}")

    install_guards(app, Access(observer=observer))
    return app

"""HTTP of a process that has no API: ``/metrics``, ``/healthz`` and ``/readyz``."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

Render = Callable[[], tuple[str, bytes]]
Waiting = Callable[[], Sequence[str]]


def serve_process(host: str, port: int, render: Render, waiting: Waiting) -> Callable[[], None]:
    """Answer requests on a thread; call the function that is returned to stop it. Raises ``OSError`` if the port is
    not free.

    ``render`` gives content type and body of ``/metrics``. ``waiting`` names, a sentence each, what the process waits
    for: if there is any, ``/readyz`` answers 503 and lists them. ``/healthz`` answers 200 while the process runs.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        status, (content_type, body) = _answer(environ["PATH_INFO"], render, waiting)
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind: type[WSGIServer] = type("ProcessServer", (_Server,), {"address_family": family})
    server = make_server(host, port, application, server_class=kind, handler_class=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, name="process-http", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _answer(path: str, render: Render, waiting: Waiting) -> tuple[str, tuple[str, bytes]]:
    if path == "/metrics":
        return "200 OK", render()
    if path == "/healthz":
        return "200 OK", _json({"status": "ok"})
    if path == "/readyz":
        found = list(waiting())
        return "503 Service Unavailable" if found else "200 OK", _json({"ready": not found, "waiting": found})
    return "404 Not Found", _json({"paths": ["/metrics", "/healthz", "/readyz"]})


def _json(content: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Scrapes are not logged."""

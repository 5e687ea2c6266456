"""What a process without an API says over HTTP: its metrics, that it runs, and whether it waits for something."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from exporters.prometheus import PrometheusObserver
from exporters.prometheus.server import serve_process
from schemas.modalities import Modality
from tests.servers import free_port


class Process:
    def __init__(self, host: str) -> None:
        self.waits: list[str] = []
        observer, self.port = PrometheusObserver(), free_port()
        observer.index_size(Modality.SCENIC, 7)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.stop = observer.start_server(self.port, host=host, waiting=lambda: self.waits)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=10)


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process("127.0.0.1")
    yield made
    made.stop()


def test_metrics_are_served(process: Process) -> None:
    answer = process.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'dancerank_index_vectors{modality="scenic"} 7.0' in answer.text


def test_it_is_ready_unless_it_waits_and_says_for_what(process: Process) -> None:
    assert (process.get("/readyz").status_code, process.get("/readyz").json()) == (200, {"ready": True, "waiting": []})
    process.waits += ["the database did not answer", "no broker"]
    answer = process.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "waiting": process.waits})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.content))


def test_who_waits_is_not_to_be_started_again(process: Process) -> None:
    process.waits.append("no broker")
    answer = process.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_who_asks_is_not_logged(process: Process, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("/metrics", "/readyz", "/nothing"):
        process.get(path)
    assert capsys.readouterr() == ("", "")


def test_an_answer_that_takes_long_holds_up_neither_the_others_nor_the_end() -> None:
    asked, goes_on = threading.Event(), threading.Event()

    def render() -> tuple[str, bytes]:
        asked.set()
        goes_on.wait(60)
        return "text/plain", b"late"

    port = free_port()
    stop = serve_process("127.0.0.1", port, render, tuple)
    with ThreadPoolExecutor(2) as pool:
        try:
            slow = pool.submit(httpx.get, f"http://127.0.0.1:{port}/metrics", timeout=60)
            assert asked.wait(10)
            assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).json()["ready"]
            pool.submit(stop).result(10)
        finally:
            goes_on.set()
        assert slow.result(10).text == "late"


def test_any_other_path_names_those_that_there_are(process: Process) -> None:
    answer = process.get("/ready")
    assert (answer.status_code, answer.json()["paths"]) == (404, ["/metrics", "/healthz", "/readyz"])


def test_it_answers_on_ipv6_and_is_gone_when_stopped() -> None:
    process = Process("::1")
    assert process.get("/healthz").status_code == 200
    process.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", process.port), timeout=5)

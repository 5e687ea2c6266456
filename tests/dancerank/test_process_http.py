"""What a process without an API says over HTTP: its metrics, that it runs, and whether it waits for something."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from dancerank.listening import answer_on_thread, bound
from exporters.prometheus import PrometheusObserver
from ranking.serving.api.process_app import create_process_app
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.servers import free_port


class Process:
    def __init__(self, host: str) -> None:
        self.waits: list[str] = []
        observer, self.port = PrometheusObserver(), free_port()
        self._held = ExitStack()
        observer.index_size(Modality.SCENIC, 7)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        taken = self._held.enter_context(bound(host, self.port))
        app = create_process_app(observer.render, lambda: self.waits, observer)
        self._held.callback(answer_on_thread(app, taken))

    def stop(self) -> None:
        self._held.close()

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
    with bound("127.0.0.1", port) as taken, ThreadPoolExecutor(2) as pool:
        stop = answer_on_thread(create_process_app(render, tuple, Observer()), taken)
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
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["parameter"]) == (404, "no_such_path", None)
    assert error["message"] == "the paths are /metrics, /healthz, /readyz"


def test_it_answers_on_ipv6_and_is_gone_when_stopped() -> None:
    process = Process("::1")
    assert process.get("/healthz").status_code == 200
    process.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", process.port), timeout=5)

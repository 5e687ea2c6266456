"""What a process without an API says over HTTP: its metrics, that it runs, and whether it waits for something."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from exporters.prometheus import PrometheusObserver
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
    process.waits.append("the database did not answer")
    answer = process.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "waiting": ["the database did not answer"]})
    assert process.get("/healthz").json() == {"status": "ok"}


def test_any_other_path_names_those_that_there_are(process: Process) -> None:
    answer = process.get("/ready")
    assert (answer.status_code, answer.json()["paths"]) == (404, ["/metrics", "/healthz", "/readyz"])


def test_it_answers_on_ipv6_and_is_gone_when_stopped() -> None:
    process = Process("::1")
    assert process.get("/healthz").status_code == 200
    process.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", process.port), timeout=5)

"""Ports are bound early, answer once announced, and are named if they cannot be bound."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from dancerank.commands import serve
from dancerank.listening import Watched, answer, bound, metrics, process_http
from dancerank.processes import Processes
from exporters.prometheus import PrometheusObserver
from schemas.errors import ConfigurationError
from tests.servers import free_port


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_names_setting_and_variable(occupied: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"server\.port is {occupied}.*DANCERANK_SERVER__PORT"):
        bound("127.0.0.1", occupied).__enter__()


def test_a_host_that_is_not_ours_is_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1.*server\.host"):
        bound("192.0.2.1", 0).__enter__()


@pytest.mark.parametrize("setting", ["stream_metrics_port", "rank_metrics_port"])
def test_a_metrics_port_in_use_names_setting_and_variable(occupied: int, setting: str) -> None:
    variable = f"DANCERANK_SERVER__{setting.upper()}"
    with pytest.raises(ConfigurationError, match=rf"server\.{setting} is {occupied}.*0 for none.*{variable}"):
        metrics(PrometheusObserver(), "rank", "127.0.0.1", occupied, setting).__enter__()


def test_port_zero_serves_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_http, "answer_on_thread", lambda *_, **__: pytest.fail("a server was started"))
    with metrics(PrometheusObserver(), "rank", "127.0.0.1", 0, "rank_metrics_port"):
        pass


@pytest.fixture
def default_interrupt() -> Iterator[None]:
    """Python's own handler of SIGINT, whatever an earlier test has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_interrupt")
def test_serving_is_announced_once_connections_are_accepted_and_not_before() -> None:
    announced: list[object] = []

    def announce() -> None:
        socket.create_connection(address).close()
        announced.append(address)
        signal.raise_signal(signal.SIGINT)

    with bound("127.0.0.1", 0) as taken:
        address = taken.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with pytest.raises(KeyboardInterrupt):  # uvicorn raises the signal again when it has shut down
            answer(FastAPI(), taken, announce)
    assert announced == [address]


class Part:
    """What does the work of a process."""

    def __init__(self) -> None:
        self.waiting_for: str | None = None
        self.interrupted_s = 0.0
        self.ready: list[bool] = []

    def run(self, stop: object) -> None: ...


def test_a_process_is_ready_once_its_part_is_there_and_waits_for_nothing() -> None:
    port, part = free_port(), Part()
    address = f"http://127.0.0.1:{port}"

    def said() -> tuple[int, list[str]]:
        answered = httpx.get(f"{address}/readyz", timeout=60)
        return answered.status_code, answered.json()["waiting"]

    with metrics(PrometheusObserver(), "rank", "127.0.0.1", port, "rank_metrics_port") as watched:
        assert said() == (503, ["it is starting"])
        watched.started(part)
        assert said() == (200, [])
        part.waiting_for = "the database did not answer"
        assert said() == (503, ["the database did not answer"])
        part.waiting_for = None
        assert said() == (200, [])
    with pytest.raises(httpx.ConnectError):
        said()


@pytest.mark.parametrize(
    ("command", "process", "opens", "setting"),
    [
        (serve.stream, "stream", "streamer", "stream_metrics_port"),
        (serve.rank, "rank", "ranker", "rank_metrics_port"),
        (serve.run_pools, "pools run", "pools", "pools_metrics_port"),
    ],
    ids=["stream", "rank", "pools run"],
)
def test_the_readiness_of_a_process_is_that_of_the_part_that_works(
    command: Callable[[], None], process: str, opens: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, part, served = Watched(), Part(), list[tuple[str, str]]()

    @contextmanager
    def watching(_observer: object, process: str, _host: str, _port: int, setting: str) -> Iterator[Watched]:
        served.append((process, setting))
        yield watched

    @contextmanager
    def opened(*_: object) -> Iterator[Part]:
        assert watched.waiting() == ["it is starting"]
        yield part
        assert part.ready == [True]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, opens, opened)
    monkeypatch.setattr(part, "run", lambda _: part.ready.append(watched.waiting() == []))
    monkeypatch.setattr(serve, "metrics", watching)
    for replaced in ("check_start", "stop_on_signals", "configure_logs"):
        monkeypatch.setattr(serve, replaced, lambda *_: None)
    command()
    assert served == [(process, setting)]

"""Ports are bound early, answer once announced, and are named if they cannot be bound."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dancerank.commands import serve
from dancerank.listening import bound, metrics, process_http
from dancerank.processes import Processes
from exporters.prometheus import PrometheusObserver
from schemas.errors import ConfigurationError
from schemas.questions.readiness import ProcessState, Reason, WaitsFor
from tests.servers import free_port

READY = ProcessState(ready=True, reasons=[], interrupted_s=0.0)


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
        metrics(PrometheusObserver(), "rank", "127.0.0.1", occupied, setting, lambda: READY).__enter__()


def test_port_zero_serves_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_http, "answer_on_thread", lambda *_, **__: pytest.fail("a server was started"))
    with metrics(PrometheusObserver(), "rank", "127.0.0.1", 0, "rank_metrics_port", lambda: READY):
        pass


def test_what_is_written_is_sent_at_once_not_when_the_client_has_acknowledged_what_came_before() -> None:
    async def no_delay() -> int:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        with bound("127.0.0.1", 0) as taken:
            server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), sock=taken)
            async with server:
                _, client = await asyncio.open_connection(*taken.getsockname())
                ours = await accepted.get()
                option: int = ours.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                for writer in (client, ours):
                    writer.close()
                    await writer.wait_closed()
        return option

    assert asyncio.run(no_delay())


ANNOUNCING = """
import signal, socket
from fastapi import FastAPI
from dancerank.listening import answer, bound

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background

def announce():
    socket.create_connection(address).close()
    print("accepted", flush=True)
    signal.raise_signal(signal.SIGINT)

with bound("127.0.0.1", 0) as taken:
    address = taken.getsockname()
    try:
        socket.create_connection(address)
    except ConnectionRefusedError:
        print("refused", flush=True)
    try:
        answer(FastAPI(), taken, announce)
    except KeyboardInterrupt:  # uvicorn raises the signal again when it has shut down
        print("interrupted", flush=True)
"""


def test_serving_is_announced_once_connections_are_accepted_and_not_before() -> None:
    # In a process of its own: the signal is for this server alone, whatever handlers other tests have left.
    ran = subprocess.run([sys.executable, "-c", ANNOUNCING], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.stdout.split(), ran.returncode) == (["refused", "accepted", "interrupted"], 0), ran.stderr


def test_a_process_is_ready_while_its_state_is_and_says_what_it_waits_for() -> None:
    port, states = free_port(), [READY]
    address = f"http://127.0.0.1:{port}"

    def said() -> tuple[int, list[str]]:
        answered = httpx.get(f"{address}/readyz", timeout=60)
        return answered.status_code, answered.json()["waiting"]

    def metric(name: str) -> str:
        lines = httpx.get(f"{address}/metrics", timeout=60).text.splitlines()
        return next(line.rpartition(" ")[2] for line in lines if line.startswith(name))

    with metrics(PrometheusObserver(), "rank", "127.0.0.1", port, "rank_metrics_port", lambda: states[-1]):
        assert said() == (200, [])
        states.append(ProcessState(False, [Reason(WaitsFor.DATABASE, "the database did not answer")], 3.5))
        assert said() == (503, ["the database did not answer"])
        assert metric('dancerank_waiting{process="rank",reason="database"}') == "1.0"
        assert metric("dancerank_interrupted_seconds{") == "3.5"
        states.append(READY)
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
def test_the_state_that_a_process_serves_is_that_of_the_loops_that_it_runs(
    command: Callable[[], None], process: str, opens: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, str]] = []
    states: list[Callable[[], ProcessState]] = []

    @contextmanager
    def serving(
        _observer: object, process: str, _host: str, _port: int, setting: str, state: Callable[[], ProcessState]
    ) -> Iterator[None]:
        served.append((process, setting))
        states.append(state)
        yield

    class Part:
        def run(self, stop: object) -> None: ...

    @contextmanager
    def opened(processes: Processes, *_: object) -> Iterator[Part]:
        assert states == [processes.state]
        assert [each.sentence for each in processes.state().reasons] == ["it is starting"]
        yield Part()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, opens, opened)
    monkeypatch.setattr(serve, "metrics", serving)
    for replaced in ("check_start", "stop_on_signals", "configure_logs"):
        monkeypatch.setattr(serve, replaced, lambda *_: None)
    command()
    assert served == [(process, setting)]

"""Ports: taken early, answered when announced, and named when they cannot be had."""

import signal
import socket
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from dancerank.listening import answer, bound, metrics
from exporters.prometheus import PrometheusObserver
from schemas.errors import ConfigurationError


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
        metrics(PrometheusObserver(), "127.0.0.1", occupied, setting).__enter__()


def test_port_zero_serves_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    observer = PrometheusObserver()
    monkeypatch.setattr(observer, "start_server", lambda *_, **__: pytest.fail("a server was started"))
    with metrics(observer, "127.0.0.1", 0, "rank_metrics_port"):
        pass


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

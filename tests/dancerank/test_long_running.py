"""``stream``, ``rank`` and ``serve`` on the embedded broker: what they say, and how they end."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from dancerank.commands import serve
from dancerank.processes import Processes
from dancerank.settings import ServerSettings, Settings, shipped_bundle
from ranking.views.loop import ViewLoop
from schemas.bundle import SYNTHETIC_WARNING
from tests.servers import free_port
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, groups_without_members: None) -> Iterator[KafkaConnection]:
    with EmbeddedBroker() as connection:
        monkeypatch.setattr(Processes, "connection", connection)
        yield connection


@pytest.fixture(autouse=True)
def ended_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(serve, "stop_on_signals", lambda *_: stop)
    monkeypatch.setattr(serve, "configure_logs", lambda _: None)
    monkeypatch.chdir(tmp_path)
    for port in ("PORT", "STREAM_METRICS_PORT", "RANK_METRICS_PORT"):
        monkeypatch.setenv(f"DANCERANK_SERVER__{port}", "0" if "METRICS" in port else str(free_port()))


@pytest.mark.usefixtures("broker")
def test_stream_says_once_which_bundle_it_runs_and_on_what(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    serve.stream()
    line, warning = [record.getMessage() for record in caplog.records if "generation" in record.getMessage()]
    manifest = Processes(Settings()).bundle.manifest
    assert warning == f"generation {manifest.generation}: {SYNTHETIC_WARNING}"
    assert str(shipped_bundle()) in line
    assert manifest.generation in line
    for name in (*(stream.modality for stream in manifest.streams), "fusion"):
        assert f"{name} on CPUExecutionProvider" in line


@pytest.mark.usefixtures("broker")
def test_a_view_that_ended_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> NoReturn:
        raise OSError("disk full")

    monkeypatch.setattr(ViewLoop, "run", end)
    monkeypatch.setattr(serve, "answer", lambda *_, **__: None)
    with pytest.raises(serve.ViewEnded, match="disk full") as caught:
        serve.serve()
    assert caught.value.code == "view_ended"


def test_two_processes_of_one_machine_have_metrics_ports_of_their_own() -> None:
    server = ServerSettings()
    assert len({server.port, server.stream_metrics_port, server.rank_metrics_port}) == 3

"""``dancerank serve`` with API keys, as an operator runs it: keys come and go, and SIGTERM comes under load."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port
from tests.waiting import STANDSTILL_S, wait_until
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CLIENTS = 4


@dataclass
class Operator:
    """Runs commands with settings of its own."""

    folder: Path
    settings: dict[str, str]
    url: str = field(init=False)

    def __post_init__(self) -> None:
        port = free_port()
        self.settings["DANCERANK_SERVER__PORT"] = str(port)
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "dancerank", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=STANDSTILL_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "serve.log").open("wb") as log:
            command = [sys.executable, "-m", "dancerank", "serve", "--with-rank"]
            process = subprocess.Popen(command, cwd=self.folder, env=self._environment(), stdout=log, stderr=log)
        try:
            wait_until(lambda: self.status("/readyz") == 200)
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def status(self, path: str, key: str | None = None) -> int:
        try:
            return self.ask(path, key).status_code
        except httpx.ConnectError:
            return 0

    def ask(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(self.url + path, headers=headers, timeout=STANDSTILL_S)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}


@pytest.fixture
def operator(tmp_path: Path, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> Operator:
    named = {
        "KAFKA__BOOTSTRAP_SERVERS": f'["{kafka_connection.servers[0]}"]',
        "KAFKA__RANKING_GROUP": fresh_name("ranking"),
        "STREAMER__UPLOADS_TOPIC": fresh_name("uploads"),
        "STREAMER__SCORED_TOPIC": fresh_name("scored"),
        "SERVER__API_KEYS": str(tmp_path / "keys"),
        "SERVER__SHUTDOWN_TIMEOUT_S": "20",
    }
    return Operator(tmp_path, {f"DANCERANK_{name}": value for name, value in named.items()})


def test_keys_come_and_go_while_it_serves_and_a_stop_under_load_breaks_no_answer(operator: Operator) -> None:
    first = operator.run("keys", "create", "first")
    with operator.serving() as process:
        assert [operator.status("/metrics", key) for key in (first, None, first + "x")] == [200, 401, 401]
        second = operator.run("keys", "create", "second", "--per-minute", "60", "--burst", "2")
        assert [operator.status("/metrics", second) for _ in range(3)] == [200, 200, 429]
        operator.run("keys", "revoke", "second")
        assert operator.status("/metrics", second) == 401
        refused = operator.ask("/metrics", first).text
        assert 'dancerank_requests_refused_total{reason="rate_limited"} 1.0' in refused
        assert 'dancerank_requests_refused_total{reason="unknown_key"} 2.0' in refused

        outcomes: Counter[str] = Counter()
        clients = [
            threading.Thread(target=ask_until_it_is_gone, args=(operator, first, outcomes)) for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        wait_until(lambda: outcomes["200"] > 5 * CLIENTS)
        started_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STANDSTILL_S) == 0, operator.log()
        assert time.monotonic() - started_s < 20
        for client in clients:
            client.join()
        assert outcomes.keys() <= {"200", "gone", "never taken up"}, outcomes
        assert outcomes["never taken up"] <= CLIENTS
    assert not any(key in operator.log() or key[3:] in operator.log() for key in (first, second))


def ask_until_it_is_gone(operator: Operator, key: str, outcomes: Counter[str]) -> None:
    """A connection for each request. One that the process never took up may be reset; no answer is broken off."""
    while not outcomes["gone"]:
        try:
            outcomes[str(operator.ask("/metrics", key).status_code)] += 1
        except httpx.ConnectError:
            outcomes["gone"] += 1
        except httpx.TransportError as error:
            never = isinstance(error, httpx.ReadError) or "without sending a response" in str(error)
            outcomes["never taken up" if never else repr(error)] += 1


def test_a_file_of_keys_that_cannot_be_read_stops_it_at_the_start(operator: Operator) -> None:
    (operator.folder / "keys").write_text("nonsense\n")
    with pytest.raises(AssertionError, match=r"server\.api_keys.*line 1"):
        operator.run("serve")

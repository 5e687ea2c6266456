"""Processes that are asked to stop finish what is in flight, and end in time."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from dancerank.running.signals import OVERDUE
from tests.servers import free_port

SERVER = """
import logging, sys, time
from fastapi import FastAPI
from dancerank.listening import answer, bound
from dancerank.running.signals import stop_on_signals

logging.basicConfig(stream=sys.stdout, format="%(message)s")
app = FastAPI()

@app.get("/takes/{seconds}")
def take(seconds: float) -> str:
    print("begun\\n", end="", flush=True)
    time.sleep(seconds)
    return "done"

with bound("127.0.0.1", int(sys.argv[1])) as taken:
    stop_on_signals()
    answer(app, taken, lambda: print("serving", flush=True), float(sys.argv[2]))
print("ended", flush=True)
"""
LOOP = """
import logging, sys, time
from dancerank.running.signals import stop_on_signals

logging.basicConfig(stream=sys.stdout, format="%(message)s")
stop = stop_on_signals(float(sys.argv[1]))
print("running", flush=True)
stop.wait()
time.sleep(float(sys.argv[2]))
print("ended", flush=True)
"""


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script that says in one line when it is there."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


def ended(started: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = started.communicate(timeout=60)
    return started.returncode, said


def asking(server: subprocess.Popen[str], url: str, count: int = 1) -> tuple[list[threading.Thread], list[Any]]:
    """Threads that ask for ``url``, once all of their requests are under way, and the answers that they get."""
    answers: list[Any] = []

    def ask() -> None:
        with suppress(httpx.HTTPError):
            answers.append(httpx.get(url, timeout=60))

    clients = [threading.Thread(target=ask) for _ in range(count)]
    for client in clients:
        client.start()
    assert server.stdout is not None
    assert [server.stdout.readline() for _ in clients] == ["begun\n"] * count
    return clients, answers


def test_requests_under_way_at_the_signal_are_answered_and_the_process_ends_well() -> None:
    port = free_port()
    with process(SERVER, port, 30) as server:
        clients, answers = asking(server, f"http://127.0.0.1:{port}/takes/1.0", 12)
        server.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
        assert ended(server) == (0, "ended\n")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, "done")] * 12


def test_a_request_that_never_ends_does_not_hold_the_process_beyond_its_time() -> None:
    port = free_port()
    with process(SERVER, port, 2) as server:
        (client,), answers = asking(server, f"http://127.0.0.1:{port}/takes/600")
        started_s = time.monotonic()
        server.send_signal(signal.SIGTERM)
        status, said = ended(server)
        client.join()
    assert time.monotonic() - started_s < 10
    assert status == OVERDUE
    assert not [answer for answer in answers if answer.is_success]
    assert "2 s after it was asked to stop (server.shutdown_timeout_s)" in said


def test_a_loop_that_ends_in_time_ends_well() -> None:
    with process(LOOP, 20, 0.2) as loop:
        loop.send_signal(signal.SIGTERM)
        assert ended(loop) == (0, "ended\n")


def test_a_loop_that_hangs_is_ended_with_a_line_in_the_log() -> None:
    with process(LOOP, 0.5, 600) as loop:
        loop.send_signal(signal.SIGINT)
        status, said = ended(loop)
    assert (status, "still busy 0.5 s after" in said, "ended\n" in said) == (OVERDUE, True, False)


@pytest.mark.parametrize("code", [LOOP, SERVER], ids=["loop", "server"])
def test_a_second_signal_ends_the_process_at_once(code: str) -> None:
    port = free_port()
    arguments = (60, 600) if code == LOOP else (port, 60)
    with process(code, *arguments) as started:
        clients = asking(started, f"http://127.0.0.1:{port}/takes/600")[0] if code == SERVER else []
        started.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        again_s = time.monotonic()
        started.send_signal(signal.SIGTERM)
        assert ended(started)[0] == -signal.SIGTERM
        for client in clients:
            client.join()
    assert time.monotonic() - again_s < 10  # of the 30 that requests under way would have

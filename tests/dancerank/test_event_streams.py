"""Live events over HTTP, on a port: who may listen, how it ends, and what a client that stalls costs."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from dancerank.listening import ConnectionLimits, answer_on_thread, bound
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key, event_routes, revoke_key
from ranking.serving.live.broadcast import CLIP, Broadcast, LiveEvent
from ranking.serving.service import RankingService
from schemas.observation import Observer
from tests.dancerank.http_ports import rendered
from tests.waiting import wait_until

LIMITS: Final = ConnectionLimits(response_timeout_s=2.0, connections=16)
ASK: Final = b"GET /v1/events HTTP/1.1\r\nHost: h\r\n\r\n"


class Port:
    def __init__(self, access: Access | None = None, *, limits: ConnectionLimits = LIMITS, listeners: int = 2) -> None:
        self.counts = Counts()
        self.events = Broadcast(self.counts, most_listeners=listeners)
        access = replace(access or Access(), observer=self.counts)
        service = RankingService(ScoreStore(Database("sqlite://")))
        self.app = create_app(service, rendered, access, events=self.events)
        self.limits = limits

    @contextmanager
    def answering(self) -> Iterator["Port"]:
        with bound("127.0.0.1", 0) as taken:
            self.address = taken.getsockname()
            self.url = f"http://127.0.0.1:{self.address[1]}"
            stop = answer_on_thread(self.app, taken, limits=self.limits, observer=self.counts)
            try:
                yield self
            finally:
                self.events.close()
                stop()


class Counts(Observer):
    def __init__(self) -> None:
        self.listeners, self.refused = 0, list[str]()

    def event_listeners(self, listeners: int) -> None:
        self.listeners = listeners

    def request_refused(self, reason: str) -> None:
        self.refused.append(reason)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    monkeypatch.setattr(event_routes, "HEARTBEAT_S", 0.1)
    with Port().answering() as made:
        yield made


def event(number: int, challenge_id: str = "ch") -> LiveEvent:
    return LiveEvent(CLIP, challenge_id, json.dumps({"n": number}).encode())


@contextmanager
def listening(port: Port, query: str = "", **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Events as they come: by their fields, data decoded; a heartbeat is one without fields."""
    with httpx.stream("GET", f"{port.url}/v1/events{query}", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"

        def events() -> Iterator[dict[str, Any]]:
            fields: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and not line.startswith(":"):
                    fields[name] = json.loads(value) if name == "data" else value
                elif not line:
                    yield fields
                    fields = {}

        found = events()
        assert next(found) == {"retry": "3000"}
        yield found


def next_event(found: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return next(fields for fields in found if fields)


def test_events_are_streamed_with_ids_and_a_listener_that_comes_back_continues(port: Port) -> None:
    with listening(port) as found:
        port.events.publish([event(1), event(2)])
        first, second = next_event(found), next_event(found)
        assert (first["event"], first["data"], second["data"]) == ("clip", {"n": 1}, {"n": 2})
    port.events.publish([event(3, "other"), event(4)])
    with listening(port, "?challenge=ch", **{"Last-Event-ID": first["id"]}) as found:
        assert [next_event(found)["data"]["n"] for _ in range(2)] == [2, 4]
    with listening(port, **{"Last-Event-ID": "ffffffff-1"}) as found:
        assert next_event(found) == {"event": "skipped", "data": {"events": None}}
    wait_until(lambda: port.counts.listeners == 0, what="a listener that left is still counted")


def test_a_silent_stream_is_kept_open_by_heartbeats(port: Port) -> None:
    with listening(port) as found:
        assert [next(found) for _ in range(3)] == [{}] * 3


def test_a_listener_too_many_is_refused_and_everything_else_answered(port: Port) -> None:
    with listening(port), listening(port):
        refused = httpx.get(f"{port.url}/v1/events", timeout=60)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_listeners")
        assert int(refused.headers["retry-after"]) > 0
        assert httpx.get(f"{port.url}/metrics", timeout=60).status_code == 200
    assert port.counts.refused == ["too_many_listeners"]


def test_a_client_that_takes_nothing_is_cut_and_others_get_everything(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_routes, "PACE_S", 0.0)
    with socket.socket() as stalled, listening(port) as found:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(port.address)
        stalled.sendall(ASK)
        wait_until(lambda: port.counts.listeners == 2)
        sent, content, got = 0, "x" * 60_000, list[int]()
        while port.counts.listeners == 2:  # until the response timeout cuts it
            lot = range(sent, sent + 4)
            contents = (json.dumps({"n": number, "x": content}).encode() for number in lot)
            port.events.publish([LiveEvent(CLIP, "ch", each) for each in contents])
            got += [next_event(found)["data"]["n"] for _ in lot]
            sent += 4
        assert got == list(range(sent))
        port.events.publish([event(-1)])
        assert next_event(found)["data"] == {"n": -1}


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [("?challenge=a%20b", 422, "challenge"), ("?challenge=", 422, "challenge"), ("?clip=c1", 422, "clip")],
)
def test_misuse_is_answered_with_the_parameter_to_blame(port: Port, query: str, status: int, parameter: str) -> None:
    answer = httpx.get(f"{port.url}/v1/events{query}", timeout=60)
    assert (answer.status_code, answer.json()["error"]["parameter"]) == (status, parameter)


def test_head_has_the_headers_and_ends(port: Port) -> None:
    answer = httpx.head(f"{port.url}/v1/events", timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert port.counts.listeners == 0


def test_a_key_is_asked_for_and_its_revocation_ends_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_routes, "HEARTBEAT_S", 0.1)
    keys = tmp_path / "keys"
    key = create_key(keys, "page", created=datetime(2026, 3, 1, tzinfo=UTC))
    with Port(Access(keys=KeyRing(keys))).answering() as port:
        assert httpx.get(f"{port.url}/v1/events", timeout=60).status_code == 401
        with listening(port, Authorization=f"Bearer {key}") as found:
            port.events.publish([event(1)])
            assert next_event(found)["data"] == {"n": 1}
            revoke_key(keys, "page")
            assert [fields for fields in found if fields] == []


def test_without_events_the_answer_says_whom_to_ask() -> None:
    app = create_app(RankingService(ScoreStore(Database("sqlite://"))), rendered)
    with bound("127.0.0.1", 0) as taken:
        stop = answer_on_thread(app, taken)
        answer = httpx.get(f"http://127.0.0.1:{taken.getsockname()[1]}/v1/events", timeout=60)
        stop()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "not_served_here")


ENDING = """
import signal, socket, threading
from dancerank.listening import answer, bound
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background

def listen():
    with socket.create_connection(address) as client:
        client.sendall(b"GET /v1/events HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
        while part := client.recv(65536):
            if b"events follow" in part:
                signal.raise_signal(signal.SIGINT)
        print("ended", flush=True)

events = Broadcast()
app = create_app(RankingService(ScoreStore(Database("sqlite://"))), lambda: ("text/plain", b""), events=events)
with bound("127.0.0.1", 0) as taken:
    address = taken.getsockname()
    listener = threading.Thread(target=listen)
    try:
        answer(app, taken, listener.start, 600, on_stop=events.close)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    listener.join()
"""


def test_a_process_that_stops_does_not_wait_for_those_who_listen() -> None:
    began_s = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=240, check=False)
    assert (sorted(ran.stdout.split()), ran.returncode) == (["ended", "stopped"], 0), ran.stderr
    assert time.monotonic() - began_s < 240, "half of the 600 s that requests under way have"

"""Real servers for tests, on loopback addresses only, started from what ``deploy/test-servers.sh`` brings."""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import pytest

PROJECT = Path(__file__).resolve().parents[2]
_FIRST_PORT: Final = 20_000
_PORTS_END: Final = 32_768
_MOST_WORKERS: Final = 16
_drawn = itertools.count(random.SystemRandom().randrange(_PORTS_END))
"""Begins anywhere: two runs of the tests on one machine rarely draw the same port."""


class ServerUnavailable(Exception):
    """The server cannot be had on this machine; the message names it and the remedy."""


class ServerFailed(Exception):
    """The server is installed but did not start; the message ends with the tail of its log."""


def servers_are_required() -> bool:
    """Under ``CI=true`` a missing server fails the tests that need it; elsewhere they are skipped by name."""
    return os.environ.get("CI", "").lower() == "true"


def unavailable(error: ServerUnavailable) -> NoReturn:
    """Ends the test that needs the server, as ``servers_are_required`` says."""
    if servers_are_required():
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


def free_port() -> int:
    """A port that nothing listens on, and that neither connections nor other test processes draw meanwhile.

    The kernel gives outgoing connections, and whoever binds port 0, ports of its ephemeral range (from 32768 on, where
    nobody changed that); a server that starts seconds later must not find one of those on its port.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    for port in _ports(worker):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailed(f"no port of {_FIRST_PORT} to {_PORTS_END - 1} is free")


def _ports(worker: int) -> Iterator[int]:
    """Of this process and worker, each at most once before any comes again."""
    share = range(_FIRST_PORT + worker % _MOST_WORKERS, _PORTS_END, _MOST_WORKERS)
    for _ in share:
        yield share[next(_drawn) % len(share)]


def log_tail(log: Path, lines: int = 40) -> str:
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

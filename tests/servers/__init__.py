"""Real servers for tests, on loopback addresses only, started from what ``deploy/test-servers.sh`` brings."""

import os
import socket
from pathlib import Path
from typing import NoReturn

import pytest

PROJECT = Path(__file__).resolve().parents[2]


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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_tail(log: Path, lines: int = 40) -> str:
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

"""Commands configure the whole process; each test gives it back as it was."""

import logging
import signal
from collections.abc import Iterator

import pytest
import stamina

from dancerank.checks import start


@pytest.fixture(autouse=True)
def process_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    stamina.instrumentation.set_on_retry_hooks(None)
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def groups_without_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded broker does not describe groups: a process that starts asks it in vain for ten seconds."""
    monkeypatch.setattr(start, "members_of", lambda *_: [])

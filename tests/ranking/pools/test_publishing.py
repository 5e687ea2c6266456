"""The publishing thread loses no request, and no failure ends it."""

import logging
import threading

import pytest

from ranking.pools.service.publishing import publishing
from schemas.errors import StoreUnavailable

WAIT_S = 60.0


class Publisher:
    """Counts its calls; each may be held up, or fail."""

    def __init__(self, errors: list[Exception] | None = None) -> None:
        self.calls = 0
        self.errors = errors or []
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Event()
        self.may_go_on.set()

    def __call__(self) -> None:
        self.calls += 1
        self.begun.release()
        assert self.may_go_on.wait(WAIT_S)
        if self.errors:
            raise self.errors.pop(0)


def test_what_is_wished_while_it_publishes_is_published_next() -> None:
    publisher = Publisher()
    publisher.may_go_on.clear()
    with publishing(publisher) as announce:
        announce()
        assert publisher.begun.acquire(timeout=WAIT_S)
        announce()
        publisher.may_go_on.set()
        assert publisher.begun.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ValueError("a defect")])
def test_whatever_goes_wrong_is_logged_and_the_next_wish_is_heard(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher([error])
    with publishing(publisher) as announce:
        for _ in range(2):
            announce()
            assert publisher.begun.acquire(timeout=WAIT_S)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert publisher.calls >= 2


def test_what_was_decided_while_it_published_the_last_time_is_published_before_the_end() -> None:
    publisher = Publisher()
    publisher.may_go_on.clear()
    with publishing(publisher) as announce:
        announce()
        assert publisher.begun.acquire(timeout=WAIT_S)
        threading.Timer(0.2, publisher.may_go_on.set).start()  # the end is reached while it is busy
    assert publisher.calls == 2

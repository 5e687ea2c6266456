"""Periodic work continues until the stop, through any failure."""

import logging
import threading
import time

import pytest

from ranking.views.periodic import every

WAIT_S = 60.0


def test_it_is_repeated_though_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Semaphore(0)

    def act() -> None:
        done.release()
        raise ValueError("a defect")

    with every(0.001, act, name="acting"):
        for _ in range(3):
            assert done.acquire(timeout=WAIT_S)
    assert "acting" not in [thread.name for thread in threading.enumerate()]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "acting failed; retrying in 0.001 s" in caplog.text


def test_it_waits_for_its_interval_unless_it_is_wanted_at_once() -> None:
    for at_once in (False, True):
        done = threading.Event()
        with every(WAIT_S, done.set, name="acting", at_once=at_once):
            assert done.wait(WAIT_S if at_once else 0.05) == at_once


def test_the_stop_waits_for_the_run_in_progress() -> None:
    begun, ended = threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        time.sleep(0.1)
        ended.set()

    with every(0.001, act, name="acting"):
        assert begun.wait(WAIT_S)
    assert ended.is_set()

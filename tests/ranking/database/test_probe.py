"""A database that refuses or hangs is noticed within the bound, and blocks no thread that looks up."""

import threading

import pytest

from ranking.database.probe import ANSWERED_WITHIN_S, Probe
from schemas.clock import ManualClock
from schemas.errors import DancerankError, DatabaseBusy, StoreRefused, StoreUnavailable
from schemas.questions.readiness import WaitsFor

WAIT_S = 60.0


class Database:
    def __init__(self) -> None:
        self.error: DancerankError | None = None
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.asked


def said(probe: Probe[int]) -> list[str]:
    reasons = list(probe.reasons())
    assert {reason.waits_for for reason in reasons} <= {WaitsFor.DATABASE}
    return [reason.sentence for reason in reasons]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DatabaseBusy("10 in use"), "every connection to the database is in use (database_busy)"),
        (StoreUnavailable("refused"), "the database does not answer (store_unavailable)"),
        (StoreRefused("no such table"), "the database cannot be used (store); the log says why"),
    ],
)
def test_an_error_is_known_at_once_and_the_last_answer_stays(error: DancerankError, sentence: str) -> None:
    database, clock = Database(), ManualClock()
    probe = Probe(database, clock)
    probe.ask()
    assert (probe.found().answer, said(probe)) == (1, [])
    database.error = error
    probe.ask()
    assert (probe.found().answer, said(probe)) == (1, [sentence])
    database.error = None
    probe.ask()
    assert (probe.found().answer, said(probe)) == (3, [])


@pytest.mark.tried(kind="readiness by memory", given="a database that hangs", outcome="not ready within the bound")
def test_a_database_that_hangs_is_noticed_within_the_bound_and_keeps_one_thread() -> None:
    clock, asked, goes_on = ManualClock(), threading.Event(), threading.Event()

    def hang() -> int:
        asked.set()
        goes_on.wait(WAIT_S)
        return 7

    probe = Probe(hang, clock)
    asking = threading.Thread(target=probe.ask)
    asking.start()
    assert asked.wait(WAIT_S)
    probe.ask()  # returns, because the question is under way
    assert said(probe) == []
    clock.advance(ANSWERED_WITHIN_S + 1)
    assert said(probe) == ["the database has not answered for 6 s"]
    goes_on.set()
    asking.join(WAIT_S)
    assert said(probe) == ["the database has not answered for 6 s"], "an answer after the bound is too late"
    probe.ask()
    assert said(probe) == []


def test_an_error_is_logged_when_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    database = Database()
    database.error = StoreUnavailable("connection refused")
    probe = Probe(database, ManualClock())
    for _ in range(3):
        probe.ask()
    assert [record.message for record in caplog.records] == ["the database is not usable: connection refused"]

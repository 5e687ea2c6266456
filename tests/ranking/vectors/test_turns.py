"""Changes are carried out between questions, and soon even if these never end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

import ranking.vectors.turns
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.turns import MANY, PATIENCE_S, Turns
from ranking.vectors.view import IndexView
from schemas.clock import SystemClock
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply_entries, logged, result, scored_clip
from tests.waiting import wait_until

LONG_S = 60.0
"""Patience that no test waits for."""


@contextmanager
def thread(run: Callable[[], object]) -> Iterator[threading.Thread]:
    made = threading.Thread(target=run)
    made.start()
    try:
        yield made
    finally:
        made.join()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.vectors.turns, "PATIENCE_S", LONG_S)


@pytest.mark.usefixtures("patient")
def test_a_change_goes_between_the_question_that_is_under_way_and_the_next() -> None:
    turns, order = Turns(), list[str]()

    def change() -> None:
        with turns.change(1):
            order.append("change")
            time.sleep(0.05)  # a question that does not wait comes first
            order.append("changed")

    first = turns.question()
    first.__enter__()
    with thread(change):
        wait_until(lambda: turns._is_awaited, what="the change waits")
        with turns.question():  # beside one that is under way another begins
            order.append("beside")
        first.__exit__(None, None, None)
        with turns.question():
            order.append("next")
    assert order == ["beside", "change", "changed", "next"]


@pytest.mark.usefixtures("patient")
def test_a_question_that_waited_for_a_change_comes_before_the_next_change() -> None:
    turns, order = Turns(), list[str]()

    def question() -> None:
        with turns.question():
            order.append("question")

    with ExitStack() as stack:
        with turns.change(1):
            stack.enter_context(thread(question))
            wait_until(lambda: turns._waiting, what="the question waits")
        with turns.change(1):
            order.append("change")
    assert order == ["question", "change"]


def test_a_change_begins_in_time_while_questions_never_end() -> None:
    turns = Turns()
    with turns.question():
        started_s = time.monotonic()
        with turns.change(1), turns.question():  # nobody waits for it: it has no turn
            waited_s = time.monotonic() - started_s
    assert waited_s >= PATIENCE_S
    with turns.question():  # and none is left over
        pass


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("records", [MANY, 10 * MANY])
def test_for_a_change_of_many_records_nobody_waits(records: int) -> None:
    turns = Turns()
    with turns.question(), turns.change(records), turns.question():
        pass
    with turns.change(records), turns.question():
        pass


@pytest.mark.usefixtures("patient")
def test_a_change_that_fails_leaves_its_turn() -> None:
    turns = Turns()
    with pytest.raises(OSError, match="full"), turns.change(1):
        raise OSError("full")
    with turns.question():
        pass


def test_a_change_that_is_interrupted_while_it_waits_leaves_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with turns.question():
        with monkeypatch.context() as patched:
            patched.setattr(turns._moved, "wait_for", interrupted)
            with pytest.raises(KeyboardInterrupt), turns.change(1):
                pytest.fail("it has not begun")
        assert not turns._is_awaited
    assert not turns._is_changing


@pytest.mark.usefixtures("patient")
def test_a_question_that_fails_is_not_under_way_any_more() -> None:
    turns = Turns()
    with pytest.raises(OSError, match="gone"), turns.question():
        raise OSError("gone")
    with turns.change(1):
        pass


def test_what_comes_is_found_soon_while_there_is_always_a_question_under_way() -> None:
    assert PATIENCE_S <= 0.1 / 3, "what is collected while one change waits, and then waits itself, is found in 100 ms"
    view = IndexView(NumpyBackend(), Observer(), SystemClock())
    modalities = {Modality.SKELETAL: result((1.0, 0.0))}
    question = SimilarQuery(embeddings={Modality.SKELETAL: [1.0, 0.0]}, k=100)
    with view._turns.question():
        for number in range(5):
            apply_entries(view, *logged([scored_clip(f"c{number}", modalities=modalities)], start=number))
            assert len(view.similar(question).hits) == number + 1

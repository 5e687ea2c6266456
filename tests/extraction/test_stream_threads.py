"""The streams run beside the tracker, and nothing else comes of it than without threads."""

import threading
import time

import numpy as np
import pytest

from extraction.frames import Frame
from extraction.stream_threads import BATCHES_BEHIND, StreamThreads, _Turns
from extraction.streams import ExtractedStream
from schemas.modalities import Modality
from tests.waiting import wait_until


def batches(count):
    image = np.zeros((2, 2, 3), np.uint8)
    return [[Frame(2 * i + k, 0.0, image) for k in range(2)] for i in range(count)]


class Recorder:
    """Its stream is the numbers of the frames that it saw. Waits for ``gate`` before each batch."""

    def __init__(self, gate=None, error=None):
        self.gate, self.error = gate, error
        self.seen, self.thread = [], None

    def add(self, frames, people):
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        assert len(frames) == len(people)
        self.seen += [frame.index for frame in frames]
        self.thread = threading.current_thread().name

    def finish(self):
        return ExtractedStream(np.array(self.seen, np.float32), "recorder/1")


def test_every_stream_sees_every_frame_in_order_on_a_thread_of_its_own():
    recorders = {Modality.HOLISTIC: Recorder(), Modality.FACIAL: Recorder()}
    with StreamThreads(recorders) as threads:
        for batch in batches(50):
            threads.add(batch, [None] * 2)
        results = threads.finish()
    for modality, result in results.items():
        assert result.frames.tolist() == list(range(100))
        assert recorders[modality].thread.startswith(f"extract-{modality}")
    assert set(threads.seconds) == set(recorders)


def test_the_pass_waits_for_a_stream_that_is_behind():
    gate = threading.Event()
    held, free = Recorder(gate), Recorder()
    given = []
    with StreamThreads({Modality.HOLISTIC: held, Modality.FACIAL: free}) as threads:

        def give():
            for batch in batches(10):
                threads.add(batch, [None] * 2)
                given.append(batch)

        giving = threading.Thread(target=give)
        giving.start()
        wait_until(lambda: len(given) >= BATCHES_BEHIND, what="batches that fit", progress=lambda: len(given))
        assert not giving.join(0.2)
        assert len(given) == BATCHES_BEHIND
        gate.set()
        giving.join()
        assert threads.finish()[Modality.HOLISTIC].frames.tolist() == list(range(20))


def test_an_error_of_a_stream_ends_the_pass():
    broken = Recorder(error=RuntimeError("the network failed"))
    with StreamThreads({Modality.HOLISTIC: broken}) as threads:
        threads.add(batches(1)[0], [None] * 2)
        with pytest.raises(RuntimeError, match="the network failed"):
            threads.finish()


def test_a_pass_that_ends_early_leaves_no_thread():
    recorder = Recorder()
    threads = StreamThreads({Modality.SCENIC: recorder})
    with threads:
        threads.add(batches(1)[0], [None] * 2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("extract-scenic")]


class Counted(Recorder):
    """Counts the streams that run at the same time."""

    running, most, lock = 0, 0, threading.Lock()

    def add(self, frames, people):
        with self.lock:
            Counted.running += 1
            Counted.most = max(Counted.most, Counted.running)
        super().add(frames, people)
        time.sleep(0.001)
        with self.lock:
            Counted.running -= 1


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_streams_leave_a_core_to_who_follows_the_dancer_and_take_it_at_the_end(cores, monkeypatch):
    monkeypatch.setattr("extraction.stream_threads.cores", lambda: cores)
    Counted.most = 0
    gate, modalities = threading.Event(), (Modality.SKELETAL, Modality.HOLISTIC, Modality.FACIAL, Modality.SCENIC)
    counted = {modality: Counted(gate) for modality in modalities}
    with StreamThreads(counted) as threads:
        threads.add(batches(1)[0], [None] * 2)
        others = max(1, cores - 1)
        wait_until(lambda: Counted.running == others, what="streams that run", progress=lambda: Counted.running)
        time.sleep(0.02)
        assert Counted.most == others
        finishing = threading.Thread(target=threads.finish)
        finishing.start()
        wait_until(lambda: Counted.running == others + 1, what="one more", progress=lambda: Counted.running)
        gate.set()
        finishing.join()
    assert Counted.most == others + 1


class Gated(Recorder):
    """Notes in ``begun`` that it runs, then waits for its gate."""

    def __init__(self, name, begun, gate):
        super().__init__()
        self.name, self.begun, self.own_gate = name, begun, gate

    def add(self, frames, people):
        self.begun.append(self.name)
        self.own_gate.wait()
        super().add(frames, people)


def test_while_the_pass_waits_for_a_stream_another_one_has_its_core():
    gate, begun = threading.Event(), []
    gated = {modality: Gated(modality, begun, gate) for modality in (Modality.HOLISTIC, Modality.FACIAL)}
    with StreamThreads(gated, at_once=1) as threads:

        def give():
            for batch in batches(BATCHES_BEHIND + 1):
                threads.add(batch, [None] * 2)

        giving = threading.Thread(target=give)
        giving.start()
        wait_until(lambda: len(begun) == 2, what="streams that run", progress=lambda: len(begun))
        assert set(begun) == set(gated)
        gate.set()
        giving.join()
        threads.finish()


def test_the_stream_that_is_furthest_behind_goes_first():
    turns, order = _Turns(0), []

    def take(name, urgency):
        turns.take(urgency)
        order.append(name)
        turns.give()

    waiting = [threading.Thread(target=take, args=each) for each in (("near", 1), ("far", 3), ("between", 2))]
    for thread in waiting:
        thread.start()
    wait_until(lambda: len(turns._waiting) == 3, what="threads that wait", progress=lambda: len(turns._waiting))
    turns.give()
    for thread in waiting:
        thread.join()
    assert order == ["far", "between", "near"]


def test_who_is_interrupted_while_waiting_for_a_turn_does_not_stand_in_the_way(monkeypatch):
    turns = _Turns(0)

    def interrupted(timeout=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(turns._changed, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turns.take(5)
    turns.give()
    taken = threading.Thread(target=turns.take, args=(1,), daemon=True)
    taken.start()
    taken.join(30)
    assert not taken.is_alive()

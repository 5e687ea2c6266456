"""The state of a process: that of the loops that it runs, and of what they need."""

from collections.abc import Callable

from dancerank.running.loop_monitoring import MonitoredLoops, state_of
from schemas.clock import SystemClock
from schemas.observation import Observer
from schemas.ports import TopicPartition
from schemas.questions.readiness import Reason, WaitsFor
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.lag_monitor import Reader
from transport.reading_progress import ReadingProgress
from transport.topics import TopicSpec, ensure_topics

RECONNECTION = Reason(WaitsFor.RECONNECTION, "the database did not answer")
STORE = Reason(WaitsFor.FEATURE_STORE, "a feature file has been loading for 99 s")


class Loop:
    """One that reads every partition."""

    def __init__(self, topic: str, partitions: int) -> None:
        self.waiting_for: str | None = None
        self.interrupted_s = 0.0
        self.needs: list[Reason] = []
        progress = ReadingProgress()
        progress.assigned(TopicPartition(topic, number) for number in range(partitions))
        self.reader = Reader([topic], None, progress)


def test_a_process_is_starting_until_its_loops_are_monitored(embedded_broker: KafkaConnection) -> None:
    assert [each.waits_for for each in state_of([]).reasons] == [WaitsFor.START]
    loops = MonitoredLoops(embedded_broker, Observer(), SystemClock())
    state = state_of([loops])
    assert (state.ready, [each.waits_for for each in state.reasons]) == (False, [WaitsFor.START])


def test_the_state_of_a_process_is_that_of_its_loops_and_of_what_they_need(
    embedded_broker: KafkaConnection, fresh_name: Callable[[str], str]
) -> None:
    topic = fresh_name("clips")
    ensure_topics(embedded_broker, [TopicSpec(name=topic, partitions=2)])
    first, second = Loop(topic, 2), Loop(topic, 2)
    parts = [MonitoredLoops(embedded_broker, Observer(), SystemClock()) for _ in range(2)]
    for part, loop in zip(parts, (first, second), strict=True):
        part.add(loop, loop.reader, lambda loop=loop: loop.needs)
    with parts[0].monitored():
        assert not state_of(parts).ready  # the other one is starting
        with parts[1].monitored():
            wait_until(lambda: state_of(parts).ready, what="it was never ready", progress=lambda: state_of(parts))
            assert state_of(parts) == (True, [], 0.0)
            first.waiting_for, first.interrupted_s, second.interrupted_s = RECONNECTION.sentence, 7.0, 3.0
            second.needs.append(STORE)
            assert state_of(parts) == (False, [RECONNECTION, STORE], 7.0)

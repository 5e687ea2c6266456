"""Ready means that Kafka has answered lately and that somebody reads every partition, now and not once."""

import pytest

from schemas.questions.readiness import WaitsFor
from tests.transport.lag_scene import FIRST, GROUP, SECOND, LagScene
from transport.broker_offsets import Span
from transport.lag_monitor import MEASURE_INTERVAL_S
from transport.reading_readiness import ANSWERED_WITHIN_S, STEP_WITHIN_S, ReadingReadiness

BOTH = [FIRST, SECOND]


class Scene(LagScene):
    def __init__(self, group: str | None = GROUP, stored: dict[object, int] | None = None) -> None:
        super().__init__(group=group, stored=stored)  # type: ignore[arg-type]
        self.readiness = ReadingReadiness(self.monitor, self.clock)

    def works(self) -> "Scene":
        """A member that holds both partitions."""
        self.progress.assigned(BOTH)
        self.progress.stepped(self.clock.monotonic_s(), is_member=True)
        self.offsets.replace(held={GROUP: frozenset(BOTH)})
        self.monitor.measure()
        return self

    def passes(self, seconds: float) -> "Scene":
        """Time, in which the monitor goes on."""
        while seconds > 0:
            self.clock.advance(min(seconds, MEASURE_INTERVAL_S))
            self.monitor.measure()
            seconds -= MEASURE_INTERVAL_S
        return self

    def reasons(self) -> list[tuple[WaitsFor, str]]:
        readers = [self.reader]
        found = [*self.readiness.kafka(), *self.readiness.partitions(readers), *self.readiness.steps(readers)]
        return [(each.waits_for, each.sentence) for each in found]


def test_a_member_that_holds_its_partitions_is_ready() -> None:
    assert Scene().works().reasons() == []


def test_before_kafka_has_answered_and_a_share_is_given_a_process_is_not_ready() -> None:
    assert [waits_for for waits_for, _ in Scene().reasons()] == [WaitsFor.KAFKA, WaitsFor.PARTITIONS]


@pytest.mark.tried(
    kind="readiness by memory",
    given="a broker that stops answering and returns",
    outcome="not ready within the bound, ready at the next answer",
)
def test_a_broker_that_does_not_answer_is_noticed_within_the_bound_and_its_return_at_the_next_question() -> None:
    scene = Scene().works()
    scene.offsets.fails = True
    scene.passes(ANSWERED_WITHIN_S - 1)
    assert scene.reasons() == []
    scene.passes(2)
    assert scene.reasons() == [(WaitsFor.KAFKA, "Kafka has not answered for 6 s")]
    scene.offsets.fails = False
    scene.passes(1)
    assert scene.reasons() == []


@pytest.mark.tried(
    kind="readiness by memory", given="a question to the broker that hangs", outcome="not ready within the bound"
)
def test_a_question_that_hangs_counts_from_when_it_was_asked() -> None:
    scene = Scene().works()
    scene.clock.advance(ANSWERED_WITHIN_S + 1)  # and the monitor waits for an answer
    assert scene.reasons() == [(WaitsFor.KAFKA, "Kafka has not answered for 6 s")]


def test_a_partition_whose_leader_does_not_answer_is_named_once_an_election_would_be_over() -> None:
    scene = Scene().works()
    scene.offsets.replace(spans={SECOND: Span(0, 10)}, unanswered={FIRST: "it has no leader"})
    scene.passes(ANSWERED_WITHIN_S - 1)
    assert scene.reasons() == []
    scene.passes(4)
    assert scene.reasons() == [(WaitsFor.KAFKA, "not every partition answers: clips[0]: it has no leader")]


@pytest.mark.tried(
    kind="readiness by memory",
    given="a process restarted after SIGKILL, whose old member still counts",
    outcome="not ready before it is a member",
)
def test_who_has_no_share_of_its_group_yet_is_not_ready_though_others_still_count_as_members() -> None:
    scene = Scene().passes(1)
    scene.offsets.replace(held={GROUP: frozenset(BOTH)})  # by a member that was killed
    scene.passes(20)
    assert scene.reasons() == [(WaitsFor.PARTITIONS, "it is not a member of group readers yet")]


def test_a_member_without_partitions_stands_by_while_others_hold_them_all() -> None:
    scene = Scene()
    scene.progress.stepped(scene.clock.monotonic_s(), is_member=True)
    scene.offsets.replace(held={GROUP: frozenset(BOTH)})
    assert scene.passes(20).reasons() == []
    scene.offsets.replace(held={GROUP: frozenset({FIRST})})
    assert scene.passes(20).reasons() == [(WaitsFor.PARTITIONS, "no member of readers reads clips[1]")]


@pytest.mark.tried(
    kind="readiness by memory",
    given="partitions that were added and have no reader",
    outcome="not ready, with the partition named",
)
def test_partitions_that_were_added_and_have_no_reader_are_named() -> None:
    scene = Scene().works()
    scene.offsets.replace(spans={FIRST: Span(0, 0), SECOND: Span(0, 0), FIRST._replace(partition=2): Span(0, 3)})
    assert scene.passes(20).reasons() == [(WaitsFor.PARTITIONS, "no member of readers reads clips[2]")]


def test_while_a_group_rebalances_only_what_is_held_here_is_known() -> None:
    scene = Scene()
    scene.progress.assigned([FIRST])
    scene.progress.stepped(scene.clock.monotonic_s(), is_member=True)
    scene.offsets.replace(held={GROUP: frozenset()}, settled=[])
    assert scene.passes(20).reasons() == []


def test_a_reader_without_a_group_reads_every_partition_or_names_it() -> None:
    scene = Scene(group=None, stored={FIRST: 0, SECOND: 0})
    scene.progress.assigned([FIRST])
    assert scene.passes(20).reasons() == [(WaitsFor.PARTITIONS, "this process does not read clips[1]")]
    scene.progress.assigned([SECOND])
    scene.progress.released()  # it reconnects, and keeps what it has read
    assert scene.passes(2).reasons() == []


@pytest.mark.tried(
    kind="readiness by memory",
    given="a loop that stands still within a step",
    outcome="not ready after a minute, with the loop named",
)
def test_a_loop_that_stands_still_within_a_step_is_named() -> None:
    scene = Scene().works().passes(STEP_WITHIN_S)
    assert scene.reasons() == []
    scene.passes(2)
    assert scene.reasons() == [(WaitsFor.STEP, "the loop that reads clips has not moved for 62 s")]
    scene.progress.stepped(scene.clock.monotonic_s(), is_member=True)
    assert scene.reasons() == []


@pytest.mark.parametrize("group", [GROUP, None])
def test_looking_readiness_up_asks_the_broker_nothing(group: str | None) -> None:
    scene = Scene(group, {FIRST: 0, SECOND: 0}).works()
    scene.offsets.look = lambda *_: pytest.fail("the broker was asked")  # type: ignore[method-assign]
    scene.reasons()

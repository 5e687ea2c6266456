"""Waits grow over all failures until a success, and few lines are logged."""

import logging
from collections.abc import Callable

import pytest

from schemas.clock import ManualClock
from schemas.errors import AccessDenied, Fenced, MembershipLost, RetriableError, StoreUnavailable, TransportError
from schemas.observation import Observer
from tests.stopping import Stop
from transport.reconnecting import Reconnecting, Waits, close_quietly


class Scene(Observer):
    """What ``Reconnecting`` calls, in order. Steps and connections raise the errors listed for them; steps that follow
    fail for want of a broker, connections succeed.
    """

    def __init__(self, *, jitter: float = 0.0) -> None:
        self.clock = ManualClock()
        self.calls: list[str] = []
        self.failing: dict[str, list[Exception | None]] = {"step": [], "connect": []}
        self.reconnecting = Reconnecting(
            self,
            self.clock,
            disconnect=lambda: self.calls.append("disconnect"),
            connect=self.doing("connect"),
            position="what is committed",
            waits=Waits(first_s=1.0, longest_s=8.0, jitter=jitter),
        )

    def doing(self, name: str) -> Callable[[], None]:
        def act() -> None:
            self.calls.append(name)
            by_default = no_broker() if name == "step" else None
            error = self.failing[name].pop(0) if self.failing[name] else by_default
            if error is not None:
                raise error

        return act

    def interrupted(self, reason: str) -> None:
        self.calls.append(reason)

    def run(self, stop: Stop) -> None:
        self.reconnecting.run(self.doing("step"), stop)


class Moving(Stop):
    """A stop event whose waits move the clock."""

    def __init__(self, clock: ManualClock, waits: int) -> None:
        super().__init__(waits)
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.advance(timeout or 0.0)
        return super().wait(timeout)


def no_broker() -> TransportError:
    return TransportError("no broker")


def test_it_disconnects_waits_and_connects_until_that_works_and_then_steps_again() -> None:
    scene, stop = Scene(), Stop(waits=4)
    scene.failing["step"] = [None, no_broker(), StoreUnavailable("down")]
    scene.failing["connect"] = [no_broker()]
    scene.run(stop)
    assert scene.calls == [
        *("step", "step", "disconnect", "transport", "connect", "connect"),
        *("step", "disconnect", "store_unavailable", "connect"),
        *("step", "disconnect", "transport"),
    ]


@pytest.mark.tried(
    kind="waits that forget",
    given="failures of several things in turn, with connections that succeed in between",
    outcome="waits grow over all of them",
)
def test_waits_grow_over_steps_connections_and_attempts_alike_until_something_succeeds() -> None:
    scene, stop = Scene(), Stop(waits=7)
    scene.failing["connect"] = [None, no_broker()]
    scene.reconnecting.wait(StoreUnavailable("down"), stop)
    scene.run(stop)
    assert stop.waited_s == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    scene.reconnecting.succeeded()
    stop = Stop(waits=2)
    scene.run(stop)
    assert stop.waited_s == [1.0, 2.0]


@pytest.mark.tried(
    kind="waits that forget",
    given="a consumer that its group removes again and again",
    outcome="rejoins at once the first time, then waits grow",
)
def test_a_member_that_its_group_gave_up_rejoins_at_once_but_not_again_before_a_success() -> None:
    scene, stop, lost = Scene(), Stop(waits=3), MembershipLost("the group rebalanced")
    scene.failing["step"] = [lost, lost, lost]
    scene.run(stop)
    assert stop.waited_s == [0.0, 1.0, 2.0]


@pytest.mark.tried(
    kind="waits that forget",
    given="processes that lose a broker at one moment",
    outcome="they return at different ones",
)
def test_waits_of_processes_that_failed_together_differ_by_no_more_than_the_jitter() -> None:
    stops = [Stop(waits=6) for _ in range(8)]
    for stop in stops:
        Scene(jitter=0.25).run(stop)
    for attempt, longest_s in enumerate([1.0, 2.0, 4.0, 8.0, 8.0, 8.0]):
        waited_s = [stop.waited_s[attempt] or 0.0 for stop in stops]
        assert len(set(waited_s)) == len(stops)
        assert 0.75 * longest_s <= min(waited_s) <= max(waited_s) <= longest_s


@pytest.mark.parametrize("place", ["step", "connect"])
def test_a_final_error_is_raised(place: str) -> None:
    scene = Scene()
    scene.failing[place] = [Fenced("taken")]
    with pytest.raises(Fenced, match="taken"):
        scene.run(Stop(waits=9))


def test_after_the_wish_to_stop_it_only_disconnects(caplog: pytest.LogCaptureFixture) -> None:
    scene, stop = Scene(), Stop()
    stop.set()
    scene.reconnecting.reconnect(no_broker(), stop)
    assert (scene.calls, stop.waited_s) == (["disconnect"], [])
    assert "no broker (transport); stopping, the next start continues from what is committed" in caplog.text


@pytest.mark.tried(kind="waits that forget", given="an outage of minutes", outcome="one warning a minute")
def test_an_outage_is_logged_when_it_begins_once_a_minute_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    scene = Scene()
    scene.failing["connect"] = [no_broker() for _ in range(100)]
    stop = Moving(scene.clock, waits=26)  # 1 + 2 + 4 + 23 * 8 = 191 s
    scene.run(stop)
    scene.reconnecting.succeeded()
    scene.reconnecting.succeeded()
    *warnings, over = [record.getMessage() for record in caplog.records]
    assert warnings[0] == (
        "no broker (transport); reconnects and continues from what is committed in 1.0 s (failure 1)"
    )
    assert len(warnings) == 3
    assert over == "works again after 26 failures in 191.0 s"


@pytest.mark.tried(kind="waits that forget", given="short outages one after the other", outcome="each is logged")
def test_each_outage_is_logged_however_short_the_time_between_them(caplog: pytest.LogCaptureFixture) -> None:
    scene, stop = Scene(), Stop()
    for _ in range(3):
        scene.reconnecting.wait(no_broker(), stop)
        scene.reconnecting.succeeded()
    assert len(caplog.records) == 3


class Reachable:
    is_unreachable = False


class Unreachable:
    is_unreachable = True


def test_what_is_waited_for_is_the_last_error_until_something_succeeds() -> None:
    reconnecting, stop = Scene().reconnecting, Stop()
    assert reconnecting.waits_for(Reachable()) is None  # type: ignore[arg-type]
    assert reconnecting.waits_for(Unreachable()) == "Kafka does not answer"  # type: ignore[arg-type]
    errors: list[RetriableError] = [no_broker(), StoreUnavailable("down")]
    for error in errors:
        reconnecting.wait(error, stop)
        assert reconnecting.is_waiting
        assert reconnecting.waits_for(Unreachable()) == f"{error} ({error.code})"  # type: ignore[arg-type]
    reconnecting.succeeded()
    assert (reconnecting.is_waiting, reconnecting.waits_for(Reachable())) == (False, None)  # type: ignore[arg-type]


class Stuck:
    closed = False

    def close(self) -> None:
        self.closed = True
        raise TransportError("cannot leave the group")


def test_an_end_that_does_not_close_cleanly_is_logged_and_the_next_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Stuck(), Stuck()
    close_quietly(first, second)
    assert (first.closed, second.closed) == (True, True)
    assert caplog.text.count("cannot leave the group") == 2


def test_what_kafka_refuses_ends_a_loop_that_never_worked() -> None:
    scene = Scene()
    scene.failing["step"] = [AccessDenied("no right to read")]
    with pytest.raises(AccessDenied):
        scene.run(Stop(3))
    assert scene.calls == ["step"]
    scene.failing = {"step": [no_broker()], "connect": [AccessDenied("no right to join")]}
    with pytest.raises(AccessDenied):
        scene.run(Stop(3))


def test_what_kafka_refuses_a_loop_that_has_worked_is_waited_for_and_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.reconnecting.worked()
    scene.failing = {"step": [AccessDenied("no right to read")], "connect": [AccessDenied("still none"), None]}
    stop = Moving(scene.clock, 2)
    with caplog.at_level(logging.WARNING):
        scene.run(stop)
    assert scene.calls[:4] == ["step", "disconnect", "kafka_access_denied", "connect"]
    assert isinstance(scene.reconnecting.error, RetriableError | AccessDenied)
    assert [(record.levelno, "no right to read" in record.message) for record in caplog.records[:1]] == [
        (logging.ERROR, True)
    ]

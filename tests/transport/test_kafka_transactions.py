"""What is never committed, and how long is waited, where a real broker cannot be brought to fail as it may."""

from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidProducerEpochError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    UnknownMemberIdError,
    UnknownProducerIdError,
)
from kafka.structs import ConsumerGroupMetadata

from schemas.errors import DancerankError, Fenced, MembershipLost, TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from transport import kafka_transactions
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_transactions import KafkaTransactionalSink

CONNECTION = KafkaConnection(servers=("broker:9092",), timeout_s=3.0)
SETTINGS = TransactionOptions(timeout_s=45.0, delivery_timeout_s=7.0, batch_bytes=1_000, max_record_bytes=5_000)
PATIENCE_MS = 10_000
RECORDS = [OutgoingRecord("scored", b"clip-%d" % n, b"result", (("code", b"x"),), partition=n) for n in range(3)]
POSITIONS = {TopicPartition("uploads", 0): 3}
MEMBER = ConsumerGroupMetadata("streamers", 4, "member-1", None)


class Answer:
    """What kafka-python gives for a request: an error, an answer, or none for ever."""

    def __init__(self, producer: "Producer", what: str) -> None:
        self.producer, self.what = producer, what

    def wait(self, timeout_ms: float | None = None) -> bool:
        self.producer.waited_ms[self.what] = timeout_ms
        self.producer.happens(f"{self.what} answered")
        return self.what not in self.producer.silent

    def get(self, timeout: float | None = None) -> None:
        if self.what in self.producer.silent:
            raise KafkaTimeoutError(f"not done after {timeout} s")
        self.producer.happens(f"{self.what} acknowledged")


class Producer:
    """In the place of kafka-python's producer, its sender and its transaction manager."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.errors: dict[str, list[KafkaError]] = {}
        self.silent: set[str] = set()
        self.epoch_ends_at = ""
        self.done: list[str] = []
        self.memberships: list[object] = []
        self.sent: list[dict[str, Any]] = []
        self.waited_ms: dict[str, float | None] = {}
        self.closed_within_s: list[float] = []
        self.producer_id_and_epoch = 1
        self._transaction_manager = self._sender = self

    def happens(self, what: str) -> None:
        self.done.append(what)
        if what == self.epoch_ends_at:
            self.producer_id_and_epoch += 1
        if self.errors.get(what):
            raise self.errors[what].pop(0)

    def init_transactions(self) -> None:
        self.happens("init")

    def begin_transaction(self) -> None:
        self.happens("begin")

    def partitions_for(self, _: str) -> set[int]:
        return {0, 1, 2}

    def send(self, topic: str, **record: Any) -> Answer:
        self.sent.append(record | {"topic": topic})
        self.happens("send")
        return Answer(self, f"record {record['partition']}")

    def flush(self, timeout: float | None = None) -> None:
        self.waited_ms["flush"] = None if timeout is None else timeout * 1000
        self.happens("flush")

    def send_offsets_to_transaction(self, _: object, membership: object) -> Answer:
        self.memberships.append(membership)
        self.happens("offsets")
        return Answer(self, "offsets")

    def begin_commit(self) -> Answer:
        self.happens("commit")
        return Answer(self, "commit")

    def begin_abort(self) -> Answer:
        self.happens("abort")
        return Answer(self, "abort")

    def wakeup(self) -> None: ...

    def force_close(self) -> None:
        self.done.append("force close")

    def close(self, timeout: float) -> None:
        self.closed_within_s.append(timeout)
        self.happens("close")


class Member:
    """A source that is a member of its group, of one generation after the other."""

    def __init__(self, *memberships: object) -> None:
        self.memberships = list(memberships)

    def membership(self) -> object:
        return self.memberships.pop(0) if len(self.memberships) > 1 else self.memberships[0]


Open = Callable[[], KafkaTransactionalSink]


@pytest.fixture
def producer() -> Producer:
    return Producer()


@pytest.fixture
def open_sink(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> Open:
    def open_client(_: object, __: object, **settings: Any) -> tuple[Producer, None]:
        producer.settings = settings
        return producer, None

    monkeypatch.setattr(kafka_transactions, "open_client", open_client)
    return lambda: KafkaTransactionalSink(CONNECTION, "streamer-0", SETTINGS)


def commit(sink: KafkaTransactionalSink, source: Member | None = None) -> None:
    sink.commit(RECORDS, POSITIONS, source or Member(MEMBER))  # type: ignore[arg-type]


def test_records_are_acknowledged_and_offsets_added_before_the_transaction_is_committed(
    producer: Producer, open_sink: Open
) -> None:
    commit(open_sink())
    acknowledged = [f"record {n} acknowledged" for n in range(3)]
    steps = ["init", "begin", *["send"] * 3, "flush", *acknowledged, "offsets", "offsets answered"]
    assert producer.done == [*steps, "commit", "commit answered"]
    assert producer.memberships == [MEMBER]
    assert producer.sent == [
        {
            "topic": "scored",
            "key": b"clip-%d" % n,
            "value": b"result",
            "headers": [("code", b"x")],
            "partition": n,
        }
        for n in range(3)
    ]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("begin", KafkaError("no state for it")),
        ("send", KafkaTimeoutError("no room")),
        ("flush", KafkaTimeoutError("not flushed")),
        ("record 0 acknowledged", UnknownProducerIdError("lost")),
        ("record 2 acknowledged", MessageSizeTooLargeError("too large")),
        ("offsets", KafkaError("not in a transaction")),
        ("offsets answered", KafkaConnectionError("gone")),
    ],
)
def test_whatever_fails_on_the_way_nothing_is_committed_and_the_transaction_is_ended(
    producer: Producer, open_sink: Open, step: str, error: KafkaError
) -> None:
    producer.errors = {step: [error]}
    sink = open_sink()
    with pytest.raises(TransportError, match=r"cannot write 3 records.*broker:9092"):
        commit(sink)
    assert "commit" not in producer.done
    assert producer.done[-2:] == ["abort", "abort answered"]
    producer.done.clear()
    commit(sink)  # it is as good as before
    assert producer.done[-2:] == ["commit", "commit answered"]


@pytest.mark.parametrize("step", ["record 1", "offsets"])
def test_what_has_no_answer_is_not_committed(producer: Producer, open_sink: Open, step: str) -> None:
    producer.silent = {step}
    with pytest.raises(TransportError):
        commit(open_sink())
    assert "commit" not in producer.done
    assert "abort" in producer.done


@pytest.mark.parametrize("step", ["send", "flush", "record 2 acknowledged", "offsets", "offsets answered"])
def test_a_producer_whose_epoch_ended_in_between_commits_nothing(
    producer: Producer, open_sink: Open, step: str
) -> None:
    producer.epoch_ends_at = step
    with pytest.raises(TransportError, match="had to restart"):
        commit(open_sink())
    assert "commit" not in producer.done
    assert "abort" in producer.done


def test_no_answer_is_waited_for_longer_than_records_may_take(producer: Producer, open_sink: Open) -> None:
    producer.silent = {"commit", "abort"}
    with pytest.raises(TransportError, match="no answer within 10 s"):
        commit(open_sink())
    waited_ms = {"flush": PATIENCE_MS, "offsets": PATIENCE_MS, "commit": PATIENCE_MS, "abort": 2_000}
    assert producer.waited_ms == waited_ms


@pytest.mark.parametrize("error", [CommitFailedError(), IllegalGenerationError(), UnknownMemberIdError()])
def test_a_group_that_was_rebalanced_in_between_is_written_to_as_its_next_generation(
    producer: Producer, open_sink: Open, error: KafkaError
) -> None:
    producer.errors = {"offsets answered": [error]}
    later = MEMBER._replace(generation_id=5)
    commit(open_sink(), Member(MEMBER, later))
    assert producer.memberships == [MEMBER, later]
    assert producer.done.count("commit") == 1
    assert producer.done.index("abort answered") < len(producer.done) - 1 - producer.done[::-1].index("begin")


@pytest.mark.parametrize(
    "now", [MEMBER, MEMBER._replace(generation_id=5, member_id="member-2")], ids=["as before", "another member"]
)
def test_a_member_that_its_group_gave_up_does_not_try_again(
    producer: Producer, open_sink: Open, now: ConsumerGroupMetadata
) -> None:
    producer.errors = {"offsets answered": [IllegalGenerationError(), IllegalGenerationError()]}
    with pytest.raises(MembershipLost, match="the group rebalanced without this member"):
        commit(open_sink(), Member(MEMBER, now))
    assert producer.memberships == [MEMBER]


def test_a_group_that_is_rebalanced_repeatedly_is_left_to_the_caller(producer: Producer, open_sink: Open) -> None:
    producer.errors = {"offsets answered": [IllegalGenerationError() for _ in range(5)]}
    with pytest.raises(MembershipLost):
        commit(open_sink(), Member(*(MEMBER._replace(generation_id=number) for number in range(4, 9))))
    assert len(producer.memberships) == 2


@pytest.mark.parametrize("error", [FencedInstanceIdError(), InvalidProducerEpochError(), ProducerFencedError()])
def test_a_fenced_sink_raises_a_final_error(producer: Producer, open_sink: Open, error: KafkaError) -> None:
    producer.errors = {"commit answered": [error]}
    with pytest.raises(Fenced, match="another process uses the same transactional id"):
        commit(open_sink())


def test_a_transaction_that_cannot_be_ended_is_left_to_the_broker_and_closing_takes_a_moment(
    producer: Producer, open_sink: Open, caplog: pytest.LogCaptureFixture
) -> None:
    producer.errors = {
        "flush": [KafkaTimeoutError("not flushed")],
        "abort": [KafkaError("in no state for it")],
        "close": [KafkaTimeoutError("still busy")],
    }
    sink = open_sink()
    with pytest.raises(TransportError, match="not flushed"):
        commit(sink)
    assert "left to the broker to end" in caplog.text
    sink.close()
    sink.close()
    assert producer.closed_within_s == [2.0]
    assert producer.done[-2:] == ["close", "force close"]
    assert "the producer did not close cleanly" in caplog.text


def test_closing_waits_for_an_answer_where_nothing_went_wrong(producer: Producer, open_sink: Open) -> None:
    sink = open_sink()
    commit(sink)
    sink.close()
    assert producer.closed_within_s == [CONNECTION.timeout_s]
    assert "force close" not in producer.done


def test_a_sink_that_cannot_begin_leaves_no_producer_behind(producer: Producer, open_sink: Open) -> None:
    producer.errors = {"init": [KafkaTimeoutError("no coordinator")]}
    with pytest.raises(DancerankError, match="cannot begin as streamer-0"):
        open_sink()
    assert producer.done == ["init", "close"]


def test_the_time_limits_and_sizes_of_the_settings_are_those_of_the_producer(
    producer: Producer, open_sink: Open
) -> None:
    open_sink()
    asked = {
        "transactional_id": "streamer-0",
        "acks": "all",
        "enable_idempotence": True,
        "transaction_timeout_ms": 45_000,
        "delivery_timeout_ms": 7_000,
        "max_block_ms": 3_000,
        "batch_size": 1_000,
    }
    assert {name: producer.settings.get(name) for name in asked} == asked
    # The record as it is sent has headers besides.
    assert producer.settings["max_request_size"] > SETTINGS.max_record_bytes

"""Without transactions, no offset is committed before the results of its record are flushed."""

from collections.abc import Mapping

import pytest

from schemas.errors import RecordRefused, TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from transport import kafka_flushes
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_flushes import FlushingSink, open_results
from transport.refusals import RecordLimits

RECORDS = [OutgoingRecord("scored", b"clip-%d" % number, b"result") for number in range(3)]
POSITIONS = {TopicPartition("uploads", 0): 3}
CONNECTION = KafkaConnection(servers=("broker:9092",), transactions=False)


class Steps:
    """A fake sink and source; records their calls, and fails at a given one."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.fails_at: str | None = None

    def happens(self, what: str, *arguments: object) -> None:
        if what == self.fails_at:
            raise TransportError(f"cannot {what}")
        self.done.append((what, *arguments))

    def check(self, record: OutgoingRecord) -> None:
        raise RecordRefused(record.topic)

    def send(self, record: OutgoingRecord) -> None:
        self.happens("send", record.key)

    def flush(self, timeout_s: float) -> None:
        self.happens("flush", timeout_s)

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool = True) -> None:
        self.happens("commit", positions)

    def close(self) -> None:
        self.happens("close")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(kafka_flushes, "KafkaSink", lambda _: made)
    return made


def commit(steps: Steps) -> None:
    FlushingSink(CONNECTION, 7.0).commit(RECORDS, POSITIONS, steps)  # type: ignore[arg-type]


def test_positions_are_committed_once_every_record_is_safe(steps: Steps) -> None:
    commit(steps)
    sent = [("send", record.key) for record in RECORDS]
    assert steps.done == [*sent, ("flush", 7.0), ("commit", POSITIONS)]


@pytest.mark.parametrize("step", ["send", "flush"])
def test_a_record_that_is_not_safe_is_not_passed(steps: Steps, step: str) -> None:
    steps.fails_at = step
    with pytest.raises(TransportError, match=f"cannot {step}"):
        commit(steps)
    assert not [what for what, *_ in steps.done if what == "commit"]


def test_what_the_sink_would_refuse_is_refused_before(steps: Steps) -> None:
    with pytest.raises(RecordRefused, match="scored"):
        FlushingSink(CONNECTION, 7.0).check(RECORDS[0])


@pytest.mark.usefixtures("steps")
def test_a_broker_with_transactions_is_written_to_in_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(kafka_flushes, "KafkaTransactionalSink", lambda *arguments: opened.append(arguments))
    settings = TransactionOptions()
    with_them = KafkaConnection(servers=("broker:9092",))
    limits = RecordLimits()
    open_results(with_them, "streamer-0", settings, limits)
    assert opened == [(with_them, "streamer-0", settings, limits)]
    assert isinstance(open_results(CONNECTION, "streamer-0", settings), FlushingSink)

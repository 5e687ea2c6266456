"""A sink whose producer fails reports every failure once, leaks nothing, and opens a new producer."""

from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError

from schemas.errors import RecordRefused, TransportError
from schemas.ports import OutgoingRecord
from transport import kafka_sink
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

CONNECTION = KafkaConnection(servers=("broker:9092",), timeout_s=3.0)
SETTINGS = ProducerOptions(
    batch_bytes=1_000,
    linger_s=0.25,
    delivery_timeout_s=0.2,
    max_queued_bytes=100,
    max_record_bytes=5_000,
    compression="gzip",
)


class Sent:
    """A record on its way; ``arrives`` and ``fails`` are what comes of it."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[object], object]] = []
        self.errbacks: list[Callable[[Exception], object]] = []

    def add_callback(self, callback: Callable[[object], object]) -> None:
        self.callbacks.append(callback)

    def add_errback(self, errback: Callable[[Exception], object]) -> None:
        self.errbacks.append(errback)

    def arrives(self) -> None:
        for callback in self.callbacks:
            callback(None)

    def fails(self, error: Exception) -> None:
        for errback in self.errbacks:
            errback(error)


class Producer:
    """In the place of kafka-python's producer and its sender."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.sent: list[Sent] = []
        self.errors: dict[str, Exception] = {}
        self.closed_within_s: list[float] = []
        self.is_forced = False
        self._sender = self

    def partitions_for(self, _: str) -> set[int]:
        return {0, 1}

    def send(self, _: str, **__: object) -> Sent:
        self._fail("send")
        self.sent.append(Sent())
        return self.sent[-1]

    def flush(self, _: float) -> None:
        self._fail("flush")

    def close(self, timeout: float) -> None:
        self.closed_within_s.append(timeout)
        self._fail("close")

    def force_close(self) -> None:
        self.is_forced = True

    def _fail(self, step: str) -> None:
        if step in self.errors:
            raise self.errors[step]


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    """Those that were opened, in order."""
    opened: list[Producer] = []

    def open_client(_: object, __: object, **settings: Any) -> tuple[Producer, None]:
        opened.append(Producer(settings))
        return opened[-1], None

    monkeypatch.setattr(kafka_sink, "open_client", open_client)
    return opened


@pytest.fixture
def sink(producers: list[Producer]) -> KafkaSink:
    return KafkaSink(CONNECTION, SETTINGS)


def record(size: int, number: int = 0) -> OutgoingRecord:
    return OutgoingRecord("clips", b"%d" % number, bytes(size - 1))


def test_every_record_is_acknowledged_by_all_replicas_and_written_once(
    sink: KafkaSink, producers: list[Producer]
) -> None:
    asked = {
        "acks": "all",
        "enable_idempotence": True,
        "batch_size": 1_000,
        "linger_ms": 250,
        "delivery_timeout_ms": 200,
        "max_block_ms": 3_000,
        "compression_type": "gzip",
    }
    assert {name: producers[0].settings.get(name) for name in asked} == asked
    assert producers[0].settings["max_request_size"] >= SETTINGS.max_record_bytes


def test_room_comes_back_however_a_record_ends(sink: KafkaSink, producers: list[Producer]) -> None:
    for number in range(3):
        sink.send(record(30, number))
    arrived, failed, _ = producers[0].sent
    assert sink.queued_bytes == 90
    arrived.arrives()
    failed.fails(NotEnoughReplicasError())
    assert sink.queued_bytes == 30
    producers[0].errors["send"] = KafkaTimeoutError("no room")
    with pytest.raises(TransportError, match="cannot send to topic clips"):
        sink.send(record(30))
    assert sink.queued_bytes == 30


def test_a_send_without_room_in_time_says_how_much_waits(sink: KafkaSink, producers: list[Producer]) -> None:
    sink.send(record(60))
    with pytest.raises(TransportError, match=r"60 bytes await acknowledgement and none came within 0\.2 s"):
        sink.send(record(60))
    assert sink.queued_bytes == 60
    producers[0].sent[0].arrives()
    sink.send(record(60))
    assert len(producers[0].sent) == 2


def test_a_record_larger_than_all_the_room_goes_alone(sink: KafkaSink, producers: list[Producer]) -> None:
    sink.send(record(500))
    with pytest.raises(TransportError, match="await acknowledgement"):
        sink.send(record(1))
    producers[0].sent[0].arrives()
    sink.send(record(1))


def test_failures_are_raised_once_with_the_first_of_them_and_a_new_producer_continues(
    sink: KafkaSink, producers: list[Producer]
) -> None:
    for number in range(3):
        sink.send(record(10, number))
    for sent in producers[0].sent[1:]:
        sent.fails(NotEnoughReplicasError())
    with pytest.raises(TransportError, match=r"not written: topic clips partition \d key b'1' \(and 1 more\)"):
        sink.flush(1.0)
    assert producers[0].closed_within_s == [1.0]
    sink.flush(1.0)
    sink.send(record(10))
    assert len(producers) == 2
    assert len(producers[1].sent) == 1


def test_a_record_that_the_broker_finds_too_large_is_refused_for_good(
    sink: KafkaSink, producers: list[Producer]
) -> None:
    sink.send(record(10))
    producers[0].sent[0].fails(MessageSizeTooLargeError())
    with pytest.raises(RecordRefused, match="key b'0'"):
        sink.flush(1.0)


def test_a_record_that_the_client_finds_too_large_is_refused_for_good(
    sink: KafkaSink, producers: list[Producer]
) -> None:
    producers[0].errors["send"] = MessageSizeTooLargeError()
    with pytest.raises(RecordRefused, match="a record of 10 bytes"):
        sink.send(record(10))
    assert sink.queued_bytes == 0


def test_a_record_can_be_checked_before_it_is_sent(sink: KafkaSink) -> None:
    sink.check(record(5_000))
    with pytest.raises(RecordRefused, match="5001 bytes"):
        sink.check(record(5_001))


def test_closing_waits_as_long_as_records_may_take_but_a_moment_only_after_a_flush_that_failed(
    sink: KafkaSink, producers: list[Producer], caplog: pytest.LogCaptureFixture
) -> None:
    sink.close()
    sink.close()
    assert producers[0].closed_within_s == [pytest.approx(3.2)]
    assert not producers[0].is_forced
    failing = KafkaSink(CONNECTION, SETTINGS)
    producers[1].errors = {"flush": KafkaTimeoutError("slow"), "close": KafkaTimeoutError("still busy")}
    with pytest.raises(TransportError, match="not acknowledged within"):
        failing.flush(0.5)
    failing.close()
    assert producers[1].closed_within_s == [1.0]
    assert producers[1].is_forced
    assert "the producer did not close cleanly" in caplog.text


def test_a_flush_that_worked_in_the_end_is_no_failure_any_more(sink: KafkaSink, producers: list[Producer]) -> None:
    producers[0].errors["flush"] = KafkaTimeoutError("slow")
    with pytest.raises(TransportError):
        sink.flush(0.5)
    producers[0].errors.clear()
    sink.flush(0.5)
    sink.close()
    assert producers[0].closed_within_s == [pytest.approx(3.2)]


def test_the_producer_after_one_that_failed_is_given_its_time(sink: KafkaSink, producers: list[Producer]) -> None:
    sink.send(record(10))
    producers[0].sent[0].fails(NotEnoughReplicasError())
    with pytest.raises(TransportError):
        sink.flush(1.0)
    sink.send(record(10))
    sink.close()
    assert producers[1].closed_within_s == [pytest.approx(3.2)]

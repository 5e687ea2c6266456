"""Everything of kafka-python that is not its public interface, and why it is needed.

pyproject.toml bounds the version above for the sake of this module; ``tests/transport/test_kafka_internals.py`` names
what a new version lacks.
"""

import threading
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.net.compat import KafkaNetClient

USED: Final = {
    KafkaProducer: (
        "_sender.force_close",
        "_sender.wakeup",
        "_transaction_manager.begin_abort",
        "_transaction_manager.begin_commit",
        "_transaction_manager.producer_id_and_epoch",
        "_transaction_manager.send_offsets_to_transaction",
    ),
    KafkaNetClient: (
        "_manager.get_connection",
        "check_version",
        "cluster.partitions_for_topic",
        "cluster.request_update",
        "wakeup",
    ),
}
"""What must exist, as paths of attributes, of a producer with a transactional id and of the client beneath it."""


def transactions_of(producer: KafkaProducer) -> Any:
    """The producer's transactions, whose calls return results that can be awaited: the public ones wait for ever."""
    return producer._transaction_manager


def wake_sender(producer: KafkaProducer) -> None:
    """Let the producer's thread send what was begun on ``transactions_of`` at once."""
    producer._sender.wakeup()


def force_close(producer: KafkaProducer) -> None:
    """End the producer's thread, which ``close`` leaves running when it gives up waiting."""
    producer._sender.force_close()


def refresh_metadata(network: KafkaNetClient, timeout_s: float) -> None:
    """Return when the client has asked the broker which partitions its topics have now.

    Raises kafka-python's error for an answer that does not come.
    """
    answered = threading.Event()
    asked = network.cluster.request_update()
    asked.add_both(lambda *_: answered.set())
    network.wakeup()
    if not answered.wait(timeout_s):
        raise KafkaTimeoutError(f"no answer about the topics' partitions within {timeout_s:g} s")
    if asked.failed():
        raise asked.exception


def known_partitions(network: KafkaNetClient, topic: str) -> frozenset[int]:
    """The partitions of ``topic`` as of the client's last metadata; none for a topic that it did not know then."""
    return frozenset(network.cluster.partitions_for_topic(topic) or ())


def connection_failures(network: KafkaNetClient) -> list[BaseException]:
    """A list that receives what goes wrong with each connection: the client itself only says that time ran out."""
    failures: list[BaseException] = []
    manager = network._manager
    connect = manager.get_connection

    def remembering(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.init_future.add_errback(failures.append)
        return connection

    manager.get_connection = remembering
    return failures

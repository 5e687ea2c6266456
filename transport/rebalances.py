"""Carries the changes of a consumer group from Kafka's network thread to the thread that polls."""

from collections.abc import Callable, Iterable
from typing import Any

from kafka import AsyncConsumerRebalanceListener
from kafka.future import Future

from schemas.ports import TopicPartition

OnPollingThread = Callable[[Iterable[Any]], Future]
"""Has the thread that polls do something about partitions, as Kafka's client names them."""


class Call:
    """A call of Kafka's client that the thread which polls must answer."""

    def __init__(
        self, action: Callable[[frozenset[TopicPartition]], None], partitions: frozenset[TopicPartition]
    ) -> None:
        self._action = action
        self._partitions = partitions
        self.done = Future()

    def answer(self) -> list[BaseException]:
        """Make the call and let Kafka's client go on; what the listener raised, if it did."""
        try:
            self._action(self._partitions)
        except BaseException as error:  # noqa: BLE001 - raised by ``poll``, once the client has finished its own
            self.done.failure(error)
            return [error]
        self.done.success(None)
        return []


class Rebalances(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Kafka's listener; each change is done on the thread that polls while the client waits for it."""

    def __init__(self, *, assigned: OnPollingThread, revoked: OnPollingThread, lost: OnPollingThread) -> None:
        self._assigned, self._revoked, self._lost = assigned, revoked, lost

    async def on_partitions_assigned(self, assigned: set[Any]) -> None:
        await self._assigned(assigned)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        await self._revoked(revoked)

    async def on_partitions_lost(self, lost: set[Any]) -> None:
        await self._lost(lost)

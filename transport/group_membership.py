"""Taking over from the member of a group that this process was before it lost its broker."""

import logging
from collections.abc import Callable
from contextlib import closing

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from schemas.ports import RebalanceListener
from transport.connection import KafkaConnection, open_client
from transport.group_offsets import patiently
from transport.kafka_source import KafkaSource

log = logging.getLogger(__name__)

Open = Callable[[RebalanceListener], KafkaSource]


class Rejoining:
    """Opens the sources of one member of ``group``, one after the other.

    A member whose broker is unreachable cannot leave its group, so the group would wait for it until its session has
    timed out, and its partitions would have no reader. Therefore it is removed before the next source joins. A static
    member need not be: the next one takes its place.
    """

    def __init__(self, connection: KafkaConnection, group: str, open_source: Open) -> None:
        self._connection = connection
        self._group = group
        self._open_source = open_source
        self._former: KafkaSource | None = None

    def __call__(self, listener: RebalanceListener) -> KafkaSource:
        """A source whose predecessor, which is closed, is no member any more. Raises what opening raises."""
        if self._former is not None and self._former.left_behind is not None:
            self._remove(self._former.left_behind)
        self._former = self._open_source(listener)
        return self._former

    def _remove(self, member_id: str) -> None:
        admin, _ = open_client(KafkaAdminClient, self._connection)
        with closing(admin):
            try:
                member = MemberToRemove(member_id=member_id)
                patiently(self._connection, lambda: admin.remove_group_members(self._group, [member]))
            except KafkaError as error:
                log.warning("member %s of group %s leaves when its session ends: %s", member_id, self._group, error)

"""Where consumer groups stand, and setting them to another place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, Literal, TypeVar

import msgspec
import stamina
from kafka import KafkaAdminClient, OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.admin import OffsetSpec, OffsetTimestamp
from kafka.errors import KafkaError, NoError

from schemas.errors import FinalError, TransportError
from schemas.ports import TopicPartition
from transport.connection import KafkaConnection, open_client, transport_errors

Answer = TypeVar("Answer")
Place = Literal["earliest", "latest"] | int
"""One end of a partition, or a time in milliseconds since 1970, UTC: the first record written then or later."""

_COMMITTED_ONLY: Final = "read_committed"
_NO_OFFSET: Final = -1
_NO_GROUP: Final = "Dead"


class GroupBusy(FinalError):
    """A consumer group whose offsets cannot be set, because it has members; the message names them."""

    code = "group_busy"
    remedy = "Stop every member first; one that crashed leaves when its session timeout has passed."


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A live member of a group. ``instance``: its name if it is a static one."""

    id: str
    instance: str | None
    host: str
    partitions: tuple[TopicPartition, ...]

    def __str__(self) -> str:
        named = self.id if self.instance is None else f"instance {self.instance}"
        return f"{named} on {self.host.removeprefix('/')}"


class PartitionEnds(msgspec.Struct, frozen=True):
    """The first offset that is kept, and the one after the last that readers of committed records get to see."""

    start: int
    end: int


def members_of(connection: KafkaConnection, group: str) -> list[Member]:
    """The live members of a group; none for a group that is not known. Raises ``TransportError``."""
    with _admin(connection, f"cannot describe group {group}") as admin:
        described = patiently(connection, lambda: admin.describe_groups([group])[group])
    if described["error"] is not None and described["group_state"] != _NO_GROUP:
        raise TransportError(f"cannot describe group {group} (Kafka at {connection}): {described['error']}")
    # A group that does not exist comes with an error from newer brokers, as a dead one from older ones.
    return [
        Member(
            id=member["member_id"],
            instance=member.get("group_instance_id"),
            host=member["client_host"],
            partitions=assigned_to(member),
        )
        for member in described["members"]
    ]


def committed_offsets(connection: KafkaConnection, group: str) -> dict[TopicPartition, int]:
    """Next offset to read, for each partition that the group has committed. Raises ``TransportError``."""
    with _admin(connection, f"cannot read the offsets of group {group}") as admin:
        found = patiently(connection, lambda: admin.list_group_offsets({group: None})[group])
    return {TopicPartition(at.topic, at.partition): kept.offset for at, kept in found.items() if kept.offset >= 0}


def partition_ends(connection: KafkaConnection, topics: Iterable[str]) -> dict[TopicPartition, PartitionEnds]:
    """Where each partition of those of the topics that exist begins and ends. Raises ``TransportError``."""
    names = list(topics)
    with _admin(connection, f"cannot read the ends of {', '.join(names)}") as admin:
        partitions = [
            KafkaTopicPartition(topic["name"], partition["partition_index"])
            for topic in admin.describe_topics(names)
            if topic["error_code"] == 0
            for partition in topic["partitions"]
        ]
        if not partitions:
            return {}
        starts, ends = (
            _listed(admin, dict.fromkeys(partitions, end)) for end in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
    return {at: PartitionEnds(starts[at], ends[at]) for at in sorted(starts)}


def offsets_at(
    connection: KafkaConnection, partitions: Mapping[TopicPartition, PartitionEnds], place: Place
) -> dict[TopicPartition, int]:
    """The offset of each partition at ``place``; its end where nothing was written then or later.

    Raises ``TransportError``.
    """
    if not isinstance(place, int):
        return {at: ends.start if place == "earliest" else ends.end for at, ends in partitions.items()}
    if not partitions:
        return {}
    wanted = {KafkaTopicPartition(*at): OffsetTimestamp(place) for at in partitions}
    with _admin(connection, "cannot look up offsets by time") as admin:
        found = _listed(admin, wanted)
    return {at: ends.end if found[at] == _NO_OFFSET else found[at] for at, ends in partitions.items()}


def set_offsets(connection: KafkaConnection, group: str, positions: Mapping[TopicPartition, int]) -> None:
    """Set the next offset to read of an empty group. Raises ``GroupBusy``, and ``TransportError`` naming the partition
    that was refused.
    """
    check_empty(connection, group)
    with _admin(connection, f"cannot set the offsets of group {group}") as admin:
        offsets = {KafkaTopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in positions.items()}
        answers = patiently(connection, lambda: admin.alter_group_offsets(group, offsets)) if offsets else {}
    for at, answer in answers.items():
        if answer is not NoError:
            raise TransportError(
                f"the offset of {at.topic}[{at.partition}] in group {group} was not set ({answer.__name__}): "
                "stop every process of the group, then try again"
            )


def check_empty(connection: KafkaConnection, group: str) -> None:
    """Raise ``GroupBusy`` if the group has live members."""
    members = members_of(connection, group)
    if members:
        raise GroupBusy(
            f"group {group} has {len(members)} live member{'s' if len(members) > 1 else ''}: "
            f"{'; '.join(map(str, members))}. Stop them first; one that has crashed, and one with an "
            "instance name, is gone when its session timeout is over"
        )


def assigned_to(member: Mapping[str, Any]) -> tuple[TopicPartition, ...]:
    """The partitions of a member as the admin client describes it; one that waits for its share has none yet."""
    assignment = member["member_assignment"]
    topics = assignment["assigned_partitions"] if assignment else ()
    return tuple(TopicPartition(topic["topic"], number) for topic in topics for number in topic["partitions"])


def patiently(connection: KafkaConnection, ask: Callable[[], Answer]) -> Answer:
    """Ask again while the broker that keeps the group is not there yet: the first question makes Kafka choose one."""
    for attempt in stamina.retry_context(
        on=lambda error: isinstance(error, KafkaError) and error.retriable,
        attempts=None,
        timeout=connection.timeout_s,
        wait_max=1.0,
    ):
        with attempt:
            answer = ask()
    return answer


@contextmanager
def _admin(connection: KafkaConnection, doing: str) -> Iterator[KafkaAdminClient]:
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin), transport_errors(connection, doing):
        yield admin


def _listed(
    admin: KafkaAdminClient, wanted: Mapping[KafkaTopicPartition, OffsetSpec | OffsetTimestamp]
) -> dict[TopicPartition, int]:
    found = admin.list_partition_offsets(dict(wanted), isolation_level=_COMMITTED_ONLY)
    return {TopicPartition(at.topic, at.partition): place.offset for at, place in found.items()}

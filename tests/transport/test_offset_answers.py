"""Errors of single partitions are reported when offsets are read or set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import OffsetAndMetadata
from kafka import TopicPartition as KafkaTopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import NoError, UnknownMemberIdError

from schemas.errors import TransportError
from schemas.ports import TopicPartition
from transport import group_offsets
from transport.connection import KafkaConnection
from transport.group_offsets import GroupBusy, PartitionEnds, committed_offsets, partition_ends, set_offsets

CONNECTION = KafkaConnection(servers=("broker:9092",), timeout_s=1.0)
FIRST, SECOND = KafkaTopicPartition("clips", 0), KafkaTopicPartition("clips", 1)


class Admin:
    """In the place of kafka-python's."""

    def __init__(self) -> None:
        self.answers: dict[KafkaTopicPartition, type] = {}
        self.kept: dict[KafkaTopicPartition, OffsetAndMetadata] = {}
        self.members: list[dict[str, Any]] = []
        self.asked: list[Mapping[KafkaTopicPartition, OffsetAndMetadata]] = []

    def describe_groups(self, groups: list[str]) -> dict[str, Any]:
        return {group: {"error": None, "group_state": "Stable", "members": self.members} for group in groups}

    def list_group_offsets(self, groups: Mapping[str, None]) -> dict[str, Any]:
        return dict.fromkeys(groups, self.kept)

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "error_code": 0, "partitions": [{"partition_index": 0}]} for name in names]

    def list_partition_offsets(
        self, wanted: Mapping[KafkaTopicPartition, object], *, isolation_level: str
    ) -> dict[KafkaTopicPartition, OffsetAndMetadata]:
        """One record was committed and another belongs to a transaction that is open."""
        latest = 1 if isolation_level == "read_committed" else 2
        ends = {OffsetSpec.EARLIEST: 0, OffsetSpec.LATEST: latest}
        return {at: OffsetAndMetadata(ends[spec], "", -1) for at, spec in wanted.items()}  # type: ignore[index]

    def alter_group_offsets(
        self, _: str, positions: Mapping[KafkaTopicPartition, OffsetAndMetadata]
    ) -> dict[KafkaTopicPartition, type]:
        self.asked.append(positions)
        return {at: self.answers.get(at, NoError) for at in positions}


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    made = Admin()

    @contextmanager
    def opened(*_: object) -> Iterator[Admin]:
        yield made

    monkeypatch.setattr(group_offsets, "_admin", opened)
    return made


def test_a_partition_that_was_refused_is_named_though_others_were_set(admin: Admin) -> None:
    admin.answers[SECOND] = UnknownMemberIdError
    with pytest.raises(TransportError, match=r"clips\[1\] in group g was not set \(UnknownMemberIdError\)"):
        set_offsets(CONNECTION, "g", {TopicPartition("clips", 0): 3, TopicPartition("clips", 1): 4})
    assert [{at: kept.offset for at, kept in asked.items()} for asked in admin.asked] == [{FIRST: 3, SECOND: 4}]


@pytest.mark.usefixtures("admin")
def test_a_partition_ends_where_readers_get_to_while_a_transaction_is_open() -> None:
    assert partition_ends(CONNECTION, ["clips"]) == {TopicPartition("clips", 0): PartitionEnds(0, 1)}


def test_of_a_group_that_has_members_nothing_is_set(admin: Admin) -> None:
    admin.members = [{"member_id": "m-1", "client_host": "/10.0.0.1", "member_assignment": None}]
    with pytest.raises(GroupBusy, match=r"group g has 1 live member: m-1 on 10\.0\.0\.1\. Stop them first"):
        set_offsets(CONNECTION, "g", {TopicPartition("clips", 0): 3})
    assert admin.asked == []


def test_where_there_is_nothing_to_set_kafka_is_not_asked(admin: Admin) -> None:
    set_offsets(CONNECTION, "g", {})
    assert admin.asked == []


def test_a_partition_that_the_group_never_committed_has_no_offset(admin: Admin) -> None:
    admin.kept = {FIRST: OffsetAndMetadata(7, "", -1), SECOND: OffsetAndMetadata(-1, "", -1)}
    assert committed_offsets(CONNECTION, "g") == {TopicPartition("clips", 0): 7}

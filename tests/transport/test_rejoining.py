"""A member that lost its broker is removed from its group though the broker has just started."""

from types import SimpleNamespace

import pytest
from kafka.errors import NotCoordinatorError, UnknownMemberIdError

from transport import group_membership
from transport.connection import KafkaConnection
from transport.group_membership import Rejoining


class Admin:
    """Fails with ``errors``, one after the other, before it removes."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.removed = list(errors), list[str]()

    def remove_group_members(self, _: str, members: list[SimpleNamespace]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.removed += [member.member_id for member in members]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("errors", "removed"),
    [
        ([NotCoordinatorError(), NotCoordinatorError()], ["former"]),
        ([UnknownMemberIdError()], []),
    ],
)
def test_a_removal_is_tried_again_while_the_error_may_pass(
    errors: list[Exception], removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = Admin(*errors)
    monkeypatch.setattr(group_membership, "open_client", lambda *_: (admin, None))
    sources = [SimpleNamespace(left_behind="former"), SimpleNamespace(left_behind=None)]
    opened = Rejoining(KafkaConnection(servers=("localhost:1",)), "g", lambda _: sources.pop(0))  # type: ignore[arg-type,return-value]
    opened(None)  # type: ignore[arg-type]
    opened(None)  # type: ignore[arg-type]
    assert admin.removed == removed
    assert admin.errors == []

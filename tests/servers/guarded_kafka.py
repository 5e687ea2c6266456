"""A real Apache Kafka whose user may do what it was granted, and nothing else."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.servers.secure_kafka import USER, SecureKafkaServer

_PROPERTIES: Final = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""
Right = tuple[str, str, str]
"""Kind of resource, its name or ``*``, operation: ``("topic", "clips.uploaded", "read")``."""


class GuardedKafkaServer(SecureKafkaServer):
    """``PLAINTEXT`` may do everything; ``secure_kafka.USER``, on the other listeners, what ``grant`` gave it."""

    def _properties(self) -> str:
        return super()._properties() + _PROPERTIES

    def grant(self, rights: Iterable[Right]) -> None:
        admin = self._admin()
        for future in admin.create_acls([_binding(right) for right in rights]).values():
            future.result(30)

    def revoke(self, rights: Iterable[Right]) -> None:
        admin = self._admin()
        for future in admin.delete_acls([_filter(right) for right in rights]).values():
            future.result(30)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address})


def _parts(right: Right) -> tuple[object, ...]:
    kind, name, operation = right
    return (
        ResourceType[kind.upper()],
        name,
        ResourcePatternType.LITERAL,
        f"User:{USER}",
        "*",
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )


def _binding(right: Right) -> AclBinding:
    return AclBinding(*_parts(right))


def _filter(right: Right) -> AclBindingFilter:
    return AclBindingFilter(*_parts(right))

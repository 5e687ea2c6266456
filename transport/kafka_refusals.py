"""What Kafka refuses until a person changes something, told apart from what passes by itself."""

import re
import ssl
from collections.abc import Mapping
from typing import Final, cast

from kafka import errors as kafka

from schemas.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialsRefused,
    DancerankError,
    RequestRefused,
    UnsupportedByKafka,
)

_RIGHTS: Final[Mapping[type[Exception], str]] = {
    kafka.TopicAuthorizationFailedError: "Read on the topics that it reads, Write on those that it writes",
    kafka.GroupAuthorizationFailedError: "Read on its consumer group",
    kafka.TransactionalIdAuthorizationFailedError: "Write and Describe on transactional ids that begin with its group",
    kafka.ClusterAuthorizationFailedError: "IdempotentWrite on the cluster, and Create to have topics created",
    kafka.DelegationTokenAuthorizationFailedError: "Describe on the delegation token",
}
_CREDENTIALS: Final = (
    kafka.SaslAuthenticationFailedError,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.UnacceptableCredentialError,
    kafka.DelegationTokenExpiredError,
    kafka.DelegationTokenNotFoundError,
    ssl.SSLCertVerificationError,
)
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
_NUMBER: Final = re.compile(r"\[Error (\d+)\]")
_UNSUPPORTED: Final = (
    kafka.UnsupportedVersionError,
    kafka.UnsupportedForMessageFormatError,
    kafka.UnsupportedCompressionTypeError,
    kafka.UnsupportedCodecError,
    kafka.UnrecognizedBrokerVersion,
    kafka.UnsupportedAssignorError,
)
_SETTINGS: Final[Mapping[type[Exception], str]] = {
    kafka.InvalidTopicError: "correct the topic's name in the settings",
    kafka.InvalidGroupIdError: "correct the group's name under kafka",
    kafka.InvalidSessionTimeoutError: "set kafka.session_timeout_s between the broker's "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    kafka.InvalidTransactionTimeoutError: "lower streamer.flush_timeout_s, or raise the broker's "
    "transaction.max.timeout.ms",
    kafka.InvalidReplicationFactorError: "set kafka.replication to at most the number of brokers",
    kafka.InvalidPartitionsError: "correct kafka.partitions",
    kafka.InvalidConfigurationError: "correct what the message names, or the broker's defaults for topics",
    kafka.PolicyViolationError: "have the topics created as the broker's policy asks",
    kafka.InconsistentGroupProtocolError: "let no other program use this consumer group: its members share out "
    "partitions in another way",
    kafka.GroupMaxSizeReachedError: "stop members, or raise the broker's group.max.size",
    kafka.SecurityDisabledError: "have an authorizer configured, or do without",
}


def refusal_of(error: BaseException, doing: str, place: str, user: str | None) -> DancerankError | None:
    """The error for what ``error`` refuses, with the remedy; ``None`` if a later try may succeed.

    ``doing`` says what was tried, ``place`` where, ``user`` as whom.
    """
    what = f"{doing} ({place}): {error or type(error).__name__}"
    error = _within(error)
    who = "this process" if user is None else f"user {user}"
    rights = _of(error, _RIGHTS)
    if rights is not None or isinstance(error, kafka.AuthorizationError):
        return AccessDenied(f"{what}; grant {who} {rights or 'the right that the message names'}")
    if isinstance(error, _CREDENTIALS):
        return CredentialsRefused(f"{what}; correct the user, password or certificate of {who} (kafka.security)")
    if isinstance(error, FileNotFoundError | IsADirectoryError | ssl.SSLError):
        return ConfigurationError(f"{what}; correct the file or its password under kafka.security", field="security")
    if isinstance(error, _UNSUPPORTED):
        return UnsupportedByKafka(
            f"{what}; use a Kafka of version 2.5 or later, or pin another version of its protocol"
        )
    remedy = _of(error, _SETTINGS)
    return None if remedy is None else RequestRefused(f"{what}; {remedy}")


def _within(error: BaseException) -> BaseException:
    """What kafka-python wrapped in an error without a meaning of its own, by the number or the name in its text."""
    if _UNTRUSTED in str(error):
        return ssl.SSLCertVerificationError(str(error))
    number = _NUMBER.search(str(error)) if type(error) is kafka.KafkaError else None
    return error if number is None else cast(BaseException, kafka.for_code(int(number[1]))())


def _of(error: BaseException, remedies: Mapping[type[Exception], str]) -> str | None:
    return next((remedy for kind, remedy in remedies.items() if isinstance(error, kind)), None)

"""Errors of Kafka and of records in its topics."""

from typing import ClassVar

from schemas.errors.families import FinalError, RetriableError, Surface


class TransportError(RetriableError):
    """Kafka did not accept or deliver."""

    code = "transport"
    remedy = "Nothing if it passes; otherwise check the brokers, the topics and the settings under `[kafka]`."
    surfaces: ClassVar[tuple[Surface, ...]] = (Surface.RECONNECT, Surface.COMMAND)


class MembershipLost(TransportError):
    """The group rebalanced without this member; what it was about to write is not written, and it may join again."""

    code = "membership_lost"
    remedy = "Nothing if it is rare; otherwise raise `kafka.session_timeout_s` or give the process more CPU."
    surfaces = (Surface.RECONNECT,)


class KafkaRefused(FinalError):
    """Base of what Kafka answers and refuses. It ends a process that starts, as every ``FinalError`` does. A loop that
    has worked before tries again, because rights and passwords are changed while processes run; it says so once a
    minute as an error and is not ready.
    """

    code = "kafka_refused"
    remedy = "See the class that was raised."
    surfaces: ClassVar[tuple[Surface, ...]] = (Surface.COMMAND, Surface.RECONNECT)


class RequestRefused(KafkaRefused):
    """A setting of this process that this Kafka does not accept: a name, a timeout, a number of replicas."""

    code = "kafka_request_refused"
    remedy = "Do what the message says; it names the setting."


class AccessDenied(KafkaRefused):
    """This Kafka user has not the right to what was tried."""

    code = "kafka_access_denied"
    remedy = "Grant the right that the message names (`kafka-acls.sh --add`); a running process then continues."


class CredentialsRefused(KafkaRefused):
    """Kafka does not accept the user, the password or the certificate, or its own certificate is not trusted here."""

    code = "kafka_credentials"
    remedy = "Correct `kafka.security` and `kafka.secrets`, or the user in Kafka, then start the process again."


class UnsupportedByKafka(KafkaRefused):
    """This version of Kafka, or the format of its topics, lacks what is needed."""

    code = "kafka_unsupported"
    remedy = "Use a Kafka of version 2.5 or later."


class PositionBeyondLog(FinalError):
    """A view was built from another log, which ended later or was deleted: it would silently skip records."""

    code = "position_beyond_log"
    remedy = "Connect to the log that the view was built from, or delete the view (database or index folder)."


class DeletionsLost(RetriableError):
    """Deletions were dropped from their topic before a view had read them; it waits until an operator accepts that."""

    code = "deletions_lost"
    remedy = (
        "Send the deletions again that the message counts, then run `dancerank offsets accept-loss`; set "
        "`retention.ms` and `retention.bytes` of the topic to -1."
    )
    surfaces = (Surface.RECONNECT,)


class Fenced(FinalError):
    """Another process uses the same transactional id; what this one was about to write is not written."""

    code = "fenced"
    remedy = "Give every streamer a `kafka.instance` of its own, or none; then start the process again."


class RecordRefused(FinalError):
    """A record that cannot be written as it is: larger than its topic allows, or with neither key nor value."""

    code = "record_refused"
    remedy = "Send a smaller record (features as a file, not inline), or raise `max.message.bytes` of the topic."
    surfaces = (Surface.DEAD_LETTER, Surface.COMMAND)


class UnreadableBatch(FinalError):
    """Records that are damaged: a checksum differs, a batch is cut off, or cannot be decompressed or taken apart."""

    code = "unreadable_batch"
    remedy = (
        "Read what the message names. If the bytes are damaged on the broker's disk, restore them from a replica and "
        "replay the dead letter; if a client wrote them so, correct it and send the records again."
    )
    surfaces = (Surface.DEAD_LETTER, Surface.SKIPPED)


class UnsupportedBatch(UnreadableBatch):
    """Records in a format or a compression that this process cannot read."""

    code = "unsupported_batch"
    remedy = (
        "Install the library that the message names, or have the producer write a format that Kafka 4 documents; then "
        "replay the dead letter."
    )


class OversizedBatch(UnreadableBatch):
    """A compressed batch that holds more than `kafka.max_batch_bytes`; what lies beyond was not decompressed."""

    code = "oversized_batch"
    remedy = (
        "Nothing if it was an attack or a mistake; otherwise have the producer write smaller batches, or raise "
        "`kafka.max_batch_bytes`, and replay the dead letter."
    )

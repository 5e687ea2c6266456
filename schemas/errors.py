"""Every error raised on purpose: what is wrong, where, what to do, and whether trying again can help.

Below ``DancerankError`` there are two families and nothing between them: ``RetriableError`` and ``FinalError``. A loop
catches ``RetriableError`` and tries again; any other error ends it. ``docs/errors.md`` lists every class.
"""

from enum import StrEnum
from typing import ClassVar, Final

from schemas.escaping import shortened

_MAX_MESSAGE: Final = 8192
"""Characters: twenty findings of a data set. What quotes its input shortens the quotation; this holds for the rest."""
_MAX_FIELD: Final = 256


class Surface(StrEnum):
    """Where a person meets an error."""

    COMMAND = "exit 1"
    """A command prints it and exits with status 1; a long-running process logs it and ends likewise."""
    DEAD_LETTER = "dead letter"
    """Header ``code`` of a dead letter, and label ``reason`` of ``dancerank_records_dead_lettered_total``."""
    HTTP = "HTTP"
    """``error.code`` in the body of an HTTP answer."""
    RECONNECT = "reconnect"
    """A loop reconnects: log, ``/readyz`` and label ``reason`` of ``dancerank_interruptions_total``."""
    SKIPPED = "skipped"
    """A replica leaves the record unapplied: label ``reason`` of ``dancerank_records_skipped_total``."""
    LOG = "log"
    """A warning in the log; the process continues."""


class DancerankError(Exception):
    """Base of all errors raised on purpose; every one derives from ``RetriableError`` or ``FinalError``.

    ``code`` is a stable, lower-case slug: a header of a dead letter, the label of a metric, a field of an HTTP answer.
    ``remedy`` says what a person does about it, ``surfaces`` where they meet it. ``field`` names the offending field
    (``features.uri``, ``holistic``), if one can be named.
    """

    code: ClassVar[str] = "error"
    remedy: ClassVar[str]
    surfaces: ClassVar[tuple[Surface, ...]] = (Surface.COMMAND,)

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.message = shortened(message, _MAX_MESSAGE)
        super().__init__(self.message)
        self.field = None if field is None else shortened(field, _MAX_FIELD)


class RetriableError(DancerankError):
    """The same call may succeed later with nothing changed by a person."""


class FinalError(DancerankError):
    """The same call fails again until a person changes something: the input, a setting, or what the process runs on."""


class ConfigurationError(FinalError):
    """A setting, an option of a command or an argument is unknown or has a value that cannot work."""

    code = "configuration"
    remedy = "Correct the setting or option that the message names; `docs/settings.md` lists all settings."


class TopicsMissing(FinalError):
    """Topics are absent, and this Kafka user may not create them."""

    code = "topics_missing"
    remedy = "Have the topics that the message names created, or allow the user to create topics."


class ExtraMissing(FinalError):
    """A command needs a Python package that is not installed."""

    code = "extra_missing"
    remedy = "Install the extra that the message names, for example `pip install 'dancerank[cpu,train]'`."


class MalformedEvent(FinalError):
    """Bytes that are not an event, or an event with a missing, mistyped or out-of-range field."""

    code = "malformed_event"
    remedy = "Correct the producer, then replay the dead letter with `dancerank dead-letters replay --value FILE`."
    surfaces = (Surface.DEAD_LETTER, Surface.SKIPPED)


class UnknownSchemaVersion(FinalError):
    """A well-formed event of a schema or version that this release cannot read."""

    code = "unknown_schema_version"
    remedy = "Upgrade the process that reads the topic, then replay its dead letters."
    surfaces = (Surface.DEAD_LETTER, Surface.SKIPPED)


class FeatureError(FinalError):
    """Base of what can be wrong with a clip's features; a store that does not answer is ``FeatureStoreUnavailable``."""

    code = "features"
    remedy = "See the class that was raised."
    surfaces = (Surface.DEAD_LETTER,)


class FeatureFileMissing(FeatureError):
    """The URI names nothing that can be read."""

    code = "feature_file_missing"
    remedy = "Write the file where the upload says, readable for the streamer, then replay the dead letter."


class FeatureFileForbidden(FeatureError):
    """The URI leads outside the allowed roots, or uses a scheme that is not allowed."""

    code = "feature_file_forbidden"
    remedy = "Upload from an allowed root, or add the root to `streamer.feature_roots`; then replay the dead letter."


class FeatureFileOversized(FeatureError):
    """The file is larger than the configured limit; it was not read."""

    code = "feature_file_oversized"
    remedy = "Shorten the clip or write float16, or raise `streamer.max_feature_bytes`; then replay the dead letter."


class FeatureFileCorrupt(FeatureError):
    """The bytes are not a complete safetensors file, or do not match the checksum in the upload."""

    code = "feature_file_corrupt"
    remedy = "Write the file again, or send the right checksum; then replay the dead letter."


class FeatureShapeInvalid(FeatureError):
    """A tensor has a wrong rank, width, dtype or joint layout, no frames, or too many."""

    code = "feature_shape_invalid"
    remedy = "Extract the features as `docs/data.md` describes them and upload the clip again."


class FeatureValueInvalid(FeatureError):
    """A tensor holds NaN or an infinity, or joints that are undetected for too long to be interpolated."""

    code = "feature_value_invalid"
    remedy = "Extract the features again, with all joints and without NaN and infinities, and upload the clip again."


class FeaturesImplausible(FeatureError):
    """Features that no recording of a person gives: nothing moves, steps are repeated, most of the clip is missing."""

    code = "features_implausible"
    remedy = (
        "Extract the features from the clip itself; `docs/decisions/0029-plausible-features.md` gives each rule with "
        "its limit."
    )


class NoUsableModality(FeatureError):
    """The clip has none of the modalities that the model bundle scores."""

    code = "no_usable_modality"
    remedy = "Extract at least one modality of the bundle (`dancerank inspect` lists them) and upload the clip again."


class ExtractorMissing(FeatureError):
    """The upload names a video, and this process has no extractor to take features from it."""

    code = "extractor_missing"
    remedy = "Set `streamer.extractor`, or upload the clip with its features; then replay the dead letter."


class ExtractionFailed(FeatureError):
    """The extractor could not take features from a video, or returned what is not a clip's features."""

    code = "extraction_failed"
    remedy = "Look at the video and at the extractor's log, then replay the dead letter or upload the clip again."


class FeatureStoreUnavailable(RetriableError):
    """The feature store did not answer; the file may well exist."""

    code = "feature_store_unavailable"
    remedy = "Nothing if it passes; otherwise check the store, the network and `streamer.store_options`."
    surfaces = (Surface.RECONNECT, Surface.COMMAND)


class LoadingAbandoned(RetriableError):
    """The streamer stopped or reconnected before the features were loaded; the upload is read again."""

    code = "loading_abandoned"
    remedy = "Nothing."
    surfaces = (Surface.LOG,)


class BundleError(FinalError):
    """A model bundle that must not be served, or cannot be written: checksum, opset, shape or manifest does not fit."""

    code = "bundle"
    remedy = "Export the bundle again, or name an intact one of this release in `bundle`."


class CheckpointError(FinalError):
    """A trained model that cannot be loaded: absent, damaged, or not what its configuration says."""

    code = "checkpoint"
    remedy = "Name an intact checkpoint of this release, or train it again."


class InferenceFailed(FinalError):
    """ONNX Runtime failed on a clip, or returned a score that is not a finite number."""

    code = "inference_failed"
    remedy = "Check the clip's features and the bundle; replay the dead letter after a change of either."
    surfaces = (Surface.DEAD_LETTER,)


class GenerationMismatch(FinalError):
    """Embeddings of another model generation: their space cannot be compared with this index."""

    code = "generation_mismatch"
    remedy = "Export one bundle per generation; the message names the two that differ."
    surfaces = (Surface.SKIPPED, Surface.COMMAND)


class SnapshotError(FinalError):
    """An index snapshot that cannot be loaded."""

    code = "snapshot"
    remedy = "Delete the snapshot that the message names; the index is rebuilt from the log."


class SnapshotNotWritten(RetriableError):
    """The disk refused an index snapshot; the previous one stays current, and the next interval tries again."""

    code = "snapshot_not_written"
    remedy = "Free space, or correct the permissions of `ranking.index_folder`. Until then the next start takes longer."
    surfaces = (Surface.LOG,)


class StoreRefused(FinalError):
    """The database refused a statement, or its schema is not the one of this release."""

    code = "store"
    remedy = "Run the migrations of this release (any process does at its start), or correct the rights of its user."
    surfaces = (Surface.COMMAND, Surface.HTTP)


class StoreUnavailable(RetriableError):
    """The database did not answer, or asked for the transaction to be tried again."""

    code = "store_unavailable"
    remedy = "Nothing if it passes; otherwise check the database and `ranking.database_url`."
    surfaces = (Surface.RECONNECT, Surface.COMMAND, Surface.HTTP)


class DatabaseBusy(StoreUnavailable):
    """All database connections of this process stayed in use for as long as a request may wait for one."""

    code = "database_busy"
    remedy = "Nothing if it passes; otherwise raise `ranking.database_connections`, or run more processes."


class RankingsBehind(RetriableError):
    """The rankings do not yet hold the clips that the traffic pools have to decide about."""

    code = "rankings_behind"
    remedy = "Run `dancerank rank` on the same database, or more of them if their lag grows."
    surfaces = (Surface.RECONNECT,)


class GenerationRefused(FinalError):
    """A model generation cannot be activated, or be retired, now."""

    code = "generation_refused"
    remedy = "Do what the message says first: fill the generation, or activate another one before retiring this one."


class NotReady(RetriableError):
    """The service has not yet read enough of the log to answer."""

    code = "not_ready"
    remedy = "Ask again after `Retry-After` seconds; `/readyz` says what is missing."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class NotServedHere(FinalError):
    """This service was built without the view that answers the question."""

    code = "not_served_here"
    remedy = "Ask a process of `dancerank serve`, or build the `RankingService` with that view."
    surfaces = (Surface.HTTP,)


class QueryError(FinalError):
    """A request that cannot be answered as asked; ``field`` names the parameter."""

    code = "invalid_query"
    remedy = "Correct the parameter that the answer names."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class NotFound(QueryError):
    """The clip, dancer, challenge or generation asked for is not known."""

    code = "not_found"
    remedy = "Check the identifier. A clip is known once it is scored and the views have read it."


class ForeignCursor(QueryError):
    """A cursor that is not of the question it came with."""

    code = "foreign_cursor"
    remedy = "Repeat the question of the page before, everything but `k`; or leave the cursor out, for the first page."


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

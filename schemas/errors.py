"""Every error raised on purpose: what was wrong, where, what to do, and whether trying again can help."""

from typing import ClassVar


class DancerankError(Exception):
    """Base of all our errors.

    ``code`` is a stable, lower-case slug: the ``reason`` of a dead letter and the label of a metric.
    ``retriable`` says whether the same call may succeed later with nothing changed by a person.
    ``field`` names the offending field (``features.uri``, ``holistic``), if one can be named.
    """

    code: ClassVar[str] = "error"
    retriable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class ConfigurationError(DancerankError):
    """A setting is unknown or has a value that cannot work."""

    code = "configuration"


class MalformedEvent(DancerankError):
    """Bytes that are no event, or an event with a missing, mistyped or out-of-range field."""

    code = "malformed_event"


class UnknownSchemaVersion(DancerankError):
    """A well-formed event of a schema or version that this release cannot read."""

    code = "unknown_schema_version"


class FeatureError(DancerankError):
    """Base of everything that can be wrong with a clip's features."""

    code = "features"


class FeatureFileMissing(FeatureError):
    """The URI names nothing that can be read."""

    code = "feature_file_missing"


class FeatureFileForbidden(FeatureError):
    """The URI leads outside the allowed roots, or uses a scheme that is not allowed."""

    code = "feature_file_forbidden"


class FeatureFileOversized(FeatureError):
    """The file is larger than the configured limit; it was not read."""

    code = "feature_file_oversized"


class FeatureFileCorrupt(FeatureError):
    """The bytes are no complete safetensors file, or do not match the checksum in the upload."""

    code = "feature_file_corrupt"


class FeatureShapeInvalid(FeatureError):
    """A tensor has a wrong rank, width, dtype or joint layout, no frames, or too many."""

    code = "feature_shape_invalid"


class FeatureValueInvalid(FeatureError):
    """A tensor holds NaN or an infinity."""

    code = "feature_value_invalid"


class NoUsableModality(FeatureError):
    """The clip has none of the modalities that the model bundle scores."""

    code = "no_usable_modality"


class FeatureStoreUnavailable(FeatureError):
    """The feature store did not answer; the file may well be there."""

    code = "feature_store_unavailable"
    retriable = True


class BundleError(DancerankError):
    """A model bundle that must not be served: checksum, opset, shape or manifest does not fit."""

    code = "bundle"


class CheckpointError(DancerankError):
    """A trained framework that cannot be loaded: absent, damaged, or not what its configuration says."""

    code = "checkpoint"


class InferenceFailed(DancerankError):
    """ONNX Runtime failed on a clip, or returned a score that is no finite number."""

    code = "inference_failed"


class GenerationMismatch(DancerankError):
    """Embeddings of another model generation: their space cannot be compared with this index."""

    code = "generation_mismatch"


class SnapshotError(DancerankError):
    """An index snapshot that cannot be loaded; deleting it rebuilds the index from the log."""

    code = "snapshot"


class StoreError(DancerankError):
    """The database refused a statement, or its schema is not the one of this release."""

    code = "store"


class StoreUnavailable(StoreError):
    """The database did not answer, or asked for the transaction to be tried again."""

    code = "store_unavailable"
    retriable = True


class GenerationRefused(DancerankError):
    """A model generation cannot be put in force, or be retired, now."""

    code = "generation_refused"


class NotReady(DancerankError):
    """The service has not yet read enough of the log to answer."""

    code = "not_ready"
    retriable = True


class QueryError(DancerankError):
    """A request that cannot be answered as asked; ``field`` names the parameter."""

    code = "invalid_query"


class NotFound(QueryError):
    """The clip, dancer or challenge asked for is not known."""

    code = "not_found"


class TransportError(DancerankError):
    """Kafka did not accept or deliver; the client may succeed later."""

    code = "transport"
    retriable = True


class PositionBeyondLog(TransportError):
    """A view continues behind the end of the log: it was built from another one, and would skip records unnoticed."""

    code = "position_beyond_log"
    retriable = False


class MembershipLost(TransportError):
    """The group went on without this member; what it was about to write is not written, and it may join again."""

    code = "membership_lost"


class Fenced(TransportError):
    """Another process has taken this one's name; what this one was about to write is not written."""

    code = "fenced"
    retriable = False


class RecordRefused(TransportError):
    """A record that cannot be written as it is: larger than its topic allows, or with neither key nor value."""

    code = "record_refused"
    retriable = False

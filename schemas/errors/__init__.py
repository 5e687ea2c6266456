"""Every error raised on purpose: what is wrong, where, what to do, and whether trying again can help.

Below ``DancerankError`` there are two families and nothing between them: ``RetriableError`` and ``FinalError``. A loop
catches ``RetriableError`` and tries again; any other error ends it. ``docs/errors.md`` lists every class.
"""

from schemas.errors.clips import (
    ExtractionFailed,
    ExtractorMissing,
    FeatureError,
    FeatureFileCorrupt,
    FeatureFileForbidden,
    FeatureFileMissing,
    FeatureFileOversized,
    FeatureShapeInvalid,
    FeaturesImplausible,
    FeatureStoreUnavailable,
    FeatureValueInvalid,
    LoadingAbandoned,
    MalformedEvent,
    NoUsableModality,
    UnknownSchemaVersion,
)
from schemas.errors.families import DancerankError, FinalError, RetriableError, Surface
from schemas.errors.installation import ConfigurationError, ExtraMissing, TopicsMissing
from schemas.errors.logs import (
    AccessDenied,
    CredentialsRefused,
    DeletionsLost,
    Fenced,
    KafkaRefused,
    MembershipLost,
    OversizedBatch,
    PositionBeyondLog,
    RecordRefused,
    RequestRefused,
    TransportError,
    UnreadableBatch,
    UnsupportedBatch,
    UnsupportedByKafka,
)
from schemas.errors.models import BundleError, CheckpointError, GenerationMismatch, GenerationRefused, InferenceFailed
from schemas.errors.queries import ForeignCursor, NotFound, NotReady, NotServedHere, QueryError
from schemas.errors.stores import (
    DatabaseBusy,
    RankingsBehind,
    SnapshotError,
    SnapshotNotWritten,
    StoreRefused,
    StoreUnavailable,
)

__all__ = [
    "AccessDenied",
    "BundleError",
    "CheckpointError",
    "ConfigurationError",
    "CredentialsRefused",
    "DancerankError",
    "DatabaseBusy",
    "DeletionsLost",
    "ExtraMissing",
    "ExtractionFailed",
    "ExtractorMissing",
    "FeatureError",
    "FeatureFileCorrupt",
    "FeatureFileForbidden",
    "FeatureFileMissing",
    "FeatureFileOversized",
    "FeatureShapeInvalid",
    "FeatureStoreUnavailable",
    "FeatureValueInvalid",
    "FeaturesImplausible",
    "Fenced",
    "FinalError",
    "ForeignCursor",
    "GenerationMismatch",
    "GenerationRefused",
    "InferenceFailed",
    "KafkaRefused",
    "LoadingAbandoned",
    "MalformedEvent",
    "MembershipLost",
    "NoUsableModality",
    "NotFound",
    "NotReady",
    "NotServedHere",
    "OversizedBatch",
    "PositionBeyondLog",
    "QueryError",
    "RankingsBehind",
    "RecordRefused",
    "RequestRefused",
    "RetriableError",
    "SnapshotError",
    "SnapshotNotWritten",
    "StoreRefused",
    "StoreUnavailable",
    "Surface",
    "TopicsMissing",
    "TransportError",
    "UnknownSchemaVersion",
    "UnreadableBatch",
    "UnsupportedBatch",
    "UnsupportedByKafka",
]

for _each in __all__:
    globals()[_each].__module__ = __name__  # where they are imported from, for the reference and tracebacks

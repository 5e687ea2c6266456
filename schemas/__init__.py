"""Contracts between the parts: modalities, events, feature files, bundles, queries, ports and errors."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports, require_own_packages

if TYPE_CHECKING:
    from schemas.bundle import Bundle, read_bundle
    from schemas.codec import decode, encode, encode_json
    from schemas.errors import (
        ConfigurationError,
        DancerankError,
        FeatureError,
        FinalError,
        RetriableError,
        TransportError,
    )
    from schemas.events import (
        ClipDeleted,
        ClipScored,
        ClipUploaded,
        ClipUploadedV2,
        ClipUploadedV3,
        EngagementObserved,
        FeatureFile,
        InlineFeatures,
        ModalityResult,
        PoolDecision,
        VideoFile,
        embedding_array,
    )
    from schemas.features import ClipFeatures, decode_features, encode_features
    from schemas.modalities import DIMENSIONS, MODALITIES, Dimension, Modality
    from schemas.observation import Observer
    from schemas.ports import OutgoingRecord, Record
    from schemas.questions.retrieval import SimilarQuery

__all__ = [
    "DIMENSIONS",
    "MODALITIES",
    "Bundle",
    "ClipDeleted",
    "ClipFeatures",
    "ClipScored",
    "ClipUploaded",
    "ClipUploadedV2",
    "ClipUploadedV3",
    "ConfigurationError",
    "DancerankError",
    "Dimension",
    "EngagementObserved",
    "FeatureError",
    "FeatureFile",
    "FinalError",
    "InlineFeatures",
    "Modality",
    "ModalityResult",
    "Observer",
    "OutgoingRecord",
    "PoolDecision",
    "Record",
    "RetriableError",
    "SimilarQuery",
    "TransportError",
    "VideoFile",
    "decode",
    "decode_features",
    "embedding_array",
    "encode",
    "encode_features",
    "encode_json",
    "read_bundle",
]

require_own_packages()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "schemas.bundle": (
            "Bundle",
            "read_bundle",
        ),
        "schemas.codec": (
            "decode",
            "encode",
            "encode_json",
        ),
        "schemas.errors": (
            "ConfigurationError",
            "DancerankError",
            "FeatureError",
            "FinalError",
            "RetriableError",
            "TransportError",
        ),
        "schemas.events": (
            "ClipDeleted",
            "ClipScored",
            "ClipUploaded",
            "ClipUploadedV2",
            "ClipUploadedV3",
            "EngagementObserved",
            "FeatureFile",
            "InlineFeatures",
            "ModalityResult",
            "PoolDecision",
            "VideoFile",
            "embedding_array",
        ),
        "schemas.features": (
            "ClipFeatures",
            "decode_features",
            "encode_features",
        ),
        "schemas.modalities": (
            "DIMENSIONS",
            "MODALITIES",
            "Dimension",
            "Modality",
        ),
        "schemas.observation": ("Observer",),
        "schemas.ports": (
            "OutgoingRecord",
            "Record",
        ),
        "schemas.questions.retrieval": ("SimilarQuery",),
    },
)

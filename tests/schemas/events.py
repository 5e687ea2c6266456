"""Hypothesis strategies for every event."""

from collections.abc import Iterable
from unicodedata import category

import msgspec
import numpy as np
from hypothesis import strategies as st

from schemas.events import (
    MIN_DURATION_S,
    ClipDeleted,
    ClipScored,
    ClipScoredV3,
    ClipScoredV4,
    ClipUploaded,
    ClipUploadedV2,
    ClipUploadedV3,
    EngagementObserved,
    Event,
    FeatureFile,
    InlineFeatures,
    JointGuidance,
    ModalityResult,
    PoolDecision,
    StyleResult,
    TemporalAttention,
    VideoFile,
)
from schemas.modalities import MAX_DURATION_S, MAX_ROUTINE_S, MODALITIES, Dimension, Modality

BLANK = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(at) for at in (*range(0x180B, 0x1810), *range(0xE0000, 0xE1000))
}

identifiers = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters="\x7f/"),
    min_size=1,
    max_size=20,
).filter(lambda text: text not in (".", "..") and not any(c.isspace() for c in text))
upload_identifiers = identifiers.filter(lambda text: all(category(c) != "Cf" for c in text) and not BLANK & set(text))
times_ms = st.integers(0, (1 << 53) - 1)
durations_s = st.floats(MIN_DURATION_S, MAX_DURATION_S)
finite = st.floats(allow_nan=False, allow_infinity=False)
sha256 = st.text("0123456789abcdef", min_size=64, max_size=64)
plain_text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=50)

feature_sources = st.one_of(
    st.builds(FeatureFile, plain_text.filter(bool), st.none() | sha256),
    st.builds(InlineFeatures, st.binary(max_size=100)),
)
embeddings = st.lists(st.floats(-60000, 60000, width=16), min_size=1, max_size=12).map(
    lambda values: np.array(values, "<f2").tobytes()
)
results = st.builds(ModalityResult, finite, st.floats(0, 1), embeddings)

clips_uploaded = st.builds(
    ClipUploaded,
    clip_id=upload_identifiers,
    dancer_id=upload_identifiers,
    challenge_id=upload_identifiers,
    uploaded_at_ms=times_ms,
    duration_s=durations_s,
    features=feature_sources,
)
uploads_v2 = st.builds(
    ClipUploadedV2,
    clip_id=upload_identifiers,
    dancer_id=upload_identifiers,
    challenge_id=upload_identifiers,
    uploaded_at_ms=times_ms,
    duration_s=durations_s,
    features=feature_sources | st.builds(VideoFile, plain_text.filter(bool), st.none() | sha256),
)
uploads_v3 = st.tuples(uploads_v2, st.floats(MIN_DURATION_S, MAX_ROUTINE_S)).map(
    lambda both: ClipUploadedV3(**(msgspec.structs.asdict(both[0]) | {"duration_s": both[1]}))
)
clips_scored = st.sets(st.sampled_from(MODALITIES), min_size=1).flatmap(
    lambda present: st.builds(
        ClipScored,
        clip_id=identifiers,
        dancer_id=identifiers,
        challenge_id=identifiers,
        uploaded_at_ms=times_ms,
        duration_s=durations_s,
        generation=identifiers,
        modalities=st.fixed_dictionaries({m: results for m in MODALITIES if m in present}),
        missing=st.sampled_from([(), tuple(m for m in MODALITIES if m not in present)]),
        fused_score=finite,
        scored_at_ms=times_ms,
    )
)
guidance = st.tuples(st.integers(1, 4), st.integers(1, 3)).flatmap(
    lambda shape: st.builds(
        JointGuidance,
        joint_layout=identifiers,
        rate_hz=st.just(25.0),
        frames=st.integers(10 * shape[0] - 9, 10 * shape[0]),
        bin_s=st.just(0.4),
        scale=st.floats(0, 1e6),
        magnitudes=st.lists(st.floats(0, 1, width=16), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda values: np.array(values, "<f2").tobytes()
        ),
    )
)
scored_v3 = st.builds(
    lambda clip, more: ClipScoredV3(**{**msgspec.structs.asdict(clip), **more}),
    clips_scored,
    st.fixed_dictionaries(
        {},
        optional={
            "features": st.builds(FeatureFile, plain_text.filter(bool), st.none() | sha256)
            | st.builds(VideoFile, plain_text.filter(bool)),
            "training_distance": st.floats(0, 1e9),
            "guidance": guidance,
            "style": st.builds(StyleResult, style=st.none() | plain_text.filter(bool), probability=st.floats(0, 1)),
        },
    ),
)


def attentions_of(modalities: Iterable[Modality]) -> st.SearchStrategy[TemporalAttention]:
    """Of one of the modalities, which have results."""
    return st.tuples(st.integers(1, 2), st.integers(1, 5)).flatmap(
        lambda shape: st.builds(
            TemporalAttention,
            modality=st.sampled_from(sorted(modalities)),
            rate_hz=st.floats(0.1, 100),
            parts=st.just(("dynamic", "static")[: shape[0]]),
            weights=st.lists(st.floats(0, 1, width=16), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
                lambda values: np.array(values, "<f2").tobytes()
            ),
        )
    )


scored_v4 = scored_v3.flatmap(
    lambda clip: st.fixed_dictionaries(
        {"duration_s": st.floats(MIN_DURATION_S, MAX_ROUTINE_S)},
        optional={"temporal_attention": attentions_of(clip.modalities)},
    ).map(lambda more: ClipScoredV4(**(msgspec.structs.asdict(clip) | more)))
)
engagements = st.builds(
    EngagementObserved,
    clip_id=identifiers,
    observed_at_ms=times_ms,
    likes=times_ms,
    comments=times_ms,
    reposts=times_ms,
    views=st.none() | times_ms,
)
deletions = st.builds(ClipDeleted, clip_id=identifiers, reason=plain_text)
decisions = st.builds(
    PoolDecision,
    clip_id=identifiers,
    number=times_ms,
    tier=st.none() | identifiers,
    previous_tier=st.none() | identifiers,
    rule=identifiers,
    decided_by=st.none() | st.sampled_from(Dimension),
    exposures=times_ms,
    percentile=st.none() | finite,
    reactions=times_ms,
    views=times_ms,
    bound=st.none() | finite,
    limit=st.none() | finite,
    budget=st.none() | identifiers,
    budget_left=st.none() | times_ms,
    policy_version=identifiers,
    decided_at_ms=times_ms,
)
events: st.SearchStrategy[Event] = st.one_of(
    clips_uploaded, uploads_v2, uploads_v3, clips_scored, scored_v3, scored_v4, engagements, deletions, decisions
)


def as_map(event: Event) -> dict[str, object]:
    """The event as it stands in MessagePack, ready to be spoilt."""
    content: dict[str, object] = msgspec.msgpack.decode(msgspec.msgpack.encode(event))
    return content

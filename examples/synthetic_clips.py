"""Clips for the other examples: synthetic dances, as the shipped bundle was trained on."""

import time

from dancerank.synthetic import STANDARD, film, plan_clips
from schemas import ClipFeatures, ClipUploaded, InlineFeatures, Modality, encode_features

_PLANNED = plan_clips(64, seed=1)


def features_of(number: int) -> ClipFeatures:
    """(T, 16, C) poses in MPII order at 25 Hz, and (T, 512) features of the background at 4 Hz: small enough to be sent
    within an upload.
    """
    features = film(_PLANNED[number], STANDARD).features
    small = {m: features.frames[m] for m in (Modality.SKELETAL, Modality.SCENIC) if m in features.frames}
    return ClipFeatures(small, features.joint_layout)


def upload_of(number: int) -> ClipUploaded:
    """An upload that carries its features; a platform would name a file with ``FeatureFile``."""
    return ClipUploaded(
        clip_id=f"clip-{number}",
        dancer_id=f"dancer-{number % 3}",
        challenge_id="renegade",
        uploaded_at_ms=time.time_ns() // 1_000_000,
        duration_s=_PLANNED[number].duration_s,
        features=InlineFeatures(encode_features(features_of(number))),
    )
